"""Importance by permutation, on tails that read what we choose."""

import numpy as np
import pytest
import torch

from concepts.errors import DataError
from concepts.statistics.bootstrap import Resampled, group_weights
from pipeline.explanation.importance import axis_importances, balanced, free_share, importance
from pipeline.explanation.permutation import (
    Effort,
    Joint,
    Layer,
    SingleAxis,
    measure,
    one_against_rest,
    permuted_losses,
    sample_free,
)
from pipeline.results.importance import OVERALL

CONCEPTS, CLASSES = ("pigment_network", "streaks"), ("melanoma", "nevus", "seborrheic_keratosis")
CASES, CHANNELS = 150, 10
LIGHT = Effort(permutations=8, joint_permutations=4, free_axes=4, free_permutations=3, batch_size=64)


def maps_of(seed=0):
    return torch.randn(CASES, CHANNELS, 2, 2, generator=torch.Generator().manual_seed(seed))


def weights_of(groups=None, resamples=200):
    groups = groups or [str(case // 2) for case in range(CASES)]
    return group_weights(groups, resamples=resamples, generator=np.random.default_rng(0))


def reader(*columns):
    """A tail whose logit d is a multiple of the mean of axis columns[d]; None is a constant."""

    def tail(maps, rest):
        pooled = maps.mean(dim=(2, 3))
        zero = torch.zeros(len(maps))
        return torch.stack([zero if column is None else 4 * pooled[:, column] for column in columns], dim=1)

    return tail


def one_axis_labels(axis):
    """The first diagnosis where an axis is positive, one of the others where it is not."""
    return torch.where(maps_of()[:, axis].mean(dim=(1, 2)) > 0, 0, torch.arange(CASES) % 2 + 1)


def measured(tail, *, maps=None, rest=(), labels=None, effort=LIGHT, concepts=CONCEPTS, seed=0, weights=None, **more):
    maps = maps_of() if maps is None else maps
    labels = tail(maps, rest).argmax(dim=1) if labels is None else labels
    return importance(
        tail,
        maps,
        rest,
        labels,
        concepts=concepts,
        classes=CLASSES,
        weights=weights_of() if weights is None else weights,
        generator=np.random.default_rng(seed),
        effort=effort,
        **more,
    )


def axis(table, target, concept):
    return table.targets[target].concepts[concept]


def test_the_axis_that_is_read_matters_and_the_other_does_not():
    table = measured(reader(0, None, None), labels=one_axis_labels(0))
    used, unused = (axis(table, "melanoma", concept) for concept in CONCEPTS)
    assert used.ratio.low > 1
    assert used.ratio.low <= used.ratio.value <= used.ratio.high
    assert used.ratio.n == CASES
    assert used.rank == 1
    assert (unused.ratio.value, unused.ratio.low, unused.ratio.high) == (1, 1, 1)
    assert unused.rank == 2
    assert (used.null.low, used.null.high) == (1, 1)
    assert set(table.targets) == set(table.resampled) == {*CLASSES, OVERALL}


def test_nothing_is_unnamed_where_only_named_axes_are_read():
    table = measured(reader(0, 1, None))
    assert {target.unnamed_share.value for target in table.targets.values()} == {0}
    assert {target.unnamed_share.high for target in table.targets.values()} == {0}


def test_all_is_unnamed_where_only_a_free_axis_is_read():
    table = measured(reader(7, None, None), labels=one_axis_labels(7))
    assert {target.unnamed_share.value for target in table.targets.values()} == {1}
    assert {figure.ratio.value for figure in table.targets[OVERALL].concepts.values()} == {1}


def test_named_and_free_share_alike_what_they_carry_alike():
    table = measured(reader(0, None, 7), effort=Effort(permutations=2, joint_permutations=20, free_permutations=1))
    share = table.targets[OVERALL].unnamed_share
    assert share.value == pytest.approx(0.5, abs=0.1)
    assert share.low < share.value < share.high


def test_a_layer_that_is_not_read_has_no_share():
    table = measured(reader(None, None, None), labels=torch.arange(CASES) % 3)
    assert np.isnan(table.targets[OVERALL].unnamed_share.value)


@pytest.mark.parametrize(
    ("named", "free", "together", "share"),
    [
        (3.0, 1.0, 4.0, 0.25),
        (0.0, 4.0, 4.0, 1.0),
        (4.0, 0.0, 4.0, 0.0),
        (4.0, 4.0, 4.0, 0.5),
        (5.0, 0.0, 4.0, 0.0),
        (-1.0, 4.0, 4.0, 1.0),
    ],
)
def test_the_unnamed_share_is_the_mean_of_what_the_free_axes_cost_first_and_last(named, free, together, share):
    costs = {Joint.NAMED: np.array([named]), Joint.FREE: np.array([free]), Joint.ALL: np.array([together])}
    assert free_share(costs) == pytest.approx([share])


@pytest.mark.parametrize("together", [0.0, -1.0])
def test_what_costs_nothing_has_no_share(together):
    assert np.isnan(free_share({kind: np.array([together]) for kind in Joint})).all()


@pytest.mark.parametrize("batch_size", [7, CASES])
def test_batches_do_not_matter(batch_size):
    light = {"permutations": 3, "joint_permutations": 2, "free_axes": 2, "free_permutations": 2}
    table, expected = (measured(reader(0, 1, 7), effort=Effort(**light, batch_size=size)) for size in (batch_size, 64))
    for target in (*CLASSES, OVERALL):
        for concept in CONCEPTS:
            ratio, other = axis(table, target, concept).ratio, axis(expected, target, concept).ratio
            assert (ratio.value, ratio.low) == pytest.approx((other.value, other.low))
        shares = (result.targets[target].unnamed_share.value for result in (table, expected))
        assert next(shares) == pytest.approx(next(shares))
    assert axis(table, "melanoma", "pigment_network").ratio.value > 1.5


def test_maps_come_from_the_ordered_case_of_the_whole_set_not_of_the_batch():
    maps = torch.arange(6.0)[:, None].expand(-1, 3)
    order = torch.tensor([5, 4, 3, 2, 1, 0])
    fed = []

    def tail(features, rest):
        fed.append(features)
        return features[:, :2]

    permuted_losses(Layer(tail, maps), torch.zeros(6, dtype=torch.long), axes=1, order=order, batch_size=2)
    assert torch.cat(fed)[:, 1].tolist() == [5, 4, 3, 2, 1, 0]
    assert torch.cat(fed)[:, 0].tolist() == torch.cat(fed)[:, 2].tolist() == [0, 1, 2, 3, 4, 5]
    assert [len(batch) for batch in fed] == [2, 2, 2]


def test_ratio_is_the_mean_permuted_loss_over_the_intact_one():
    maps, tail = maps_of(), reader(0, 1, None)
    labels = tail(maps, ()).argmax(dim=1)
    losses = measure(Layer(tail, maps), labels, named=2, effort=LIGHT, generator=np.random.default_rng(3))
    table = measured(tail, seed=3)

    def loss(by_case):
        is_case = (labels == 0).numpy()
        return (by_case[is_case, 0].mean() + by_case[~is_case, 0].mean()) / 2

    expected = np.mean([loss(permuted) for permuted in losses.single[0]]) / loss(losses.intact)
    assert axis(table, "melanoma", "pigment_network").ratio.value == pytest.approx(expected)
    assert table.resampled["melanoma"]["pigment_network"].value == pytest.approx(expected)


def test_cases_of_a_diagnosis_and_all_others_count_alike_and_so_do_diagnoses():
    losses = np.array([[[8.0, 1.0], [1.0, 1.0], [3.0, 1.0]]])
    belongs = np.array([[True, False], [False, True], [False, True]])
    by_target = balanced(np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 0.0], [0.0, 1.0, 1.0]]), losses, belongs)
    assert by_target.shape == (3, 1, 3)
    assert by_target[0, 0].tolist() == [(8 + 2) / 2, 1, 3]
    assert by_target[1, 0].tolist() == [(8 + 1) / 2, 1, 2.75]
    assert np.isnan(by_target[2]).all(), "a resample without a diagnosis has neither its figure nor the mean"


def test_a_stronger_axis_ranks_before_a_weaker_one():
    def tail(maps, rest):
        pooled = maps.mean(dim=(2, 3))
        return torch.stack([pooled[:, 0] + 4 * pooled[:, 1], -pooled[:, 0], torch.zeros(len(maps))], dim=1)

    table = measured(tail)
    assert axis(table, "melanoma", "streaks").rank == 1
    assert axis(table, "melanoma", "pigment_network").rank == 2
    assert list(table.targets["melanoma"].ranked) == ["streaks", "pigment_network"]


def ratio_of(value):
    return Resampled(value, np.full(50, value), 9)


def test_axes_are_ranked_by_ratio_and_the_band_is_the_middle_of_the_free_ones():
    named = {"a": ratio_of(1.1), "b": ratio_of(1.4), "c": ratio_of(float("nan")), "d": ratio_of(1.2)}
    axes = axis_importances(named, [float(number) for number in range(101)])
    assert {concept: figure.rank for concept, figure in axes.items()} == {"a": 3, "b": 1, "c": None, "d": 2}
    assert {(figure.null.low, figure.null.high) for figure in axes.values()} == {(2.5, 97.5)}
    assert axes["d"].ratio.value == 1.2


def test_weights_decide_what_is_resampled():
    alone = measured(reader(0, 1, None), weights=weights_of(["the only patient"] * CASES))
    figure = axis(alone, "melanoma", "pigment_network").ratio
    assert figure.value > 1
    assert np.isnan([figure.low, figure.high]).all()
    assert np.isnan(alone.targets[OVERALL].unnamed_share.low)


def test_what_bypasses_the_layer_stays_with_its_case():
    maps, skip = maps_of(), maps_of(seed=1)

    def tail(maps, rest):
        return reader(None, None, 1)(maps, ()) + reader(0, None, None)(rest[0], ())

    labels = tail(maps, (skip,)).argmax(dim=1)
    losses = permuted_losses(Layer(tail, maps, (skip,)), labels, axes=0, order=torch.randperm(CASES), batch_size=11)
    np.testing.assert_array_equal(losses, one_against_rest(tail(maps, (skip,)), labels))
    assert axis(measured(tail, rest=(skip,)), OVERALL, "pigment_network").ratio.value == 1


def test_maps_are_left_as_they_were():
    maps = maps_of()
    measured(reader(0, 1, 7), maps=maps)
    assert torch.equal(maps, maps_of())


def test_maps_without_positions_serve_too():
    maps = maps_of().mean(dim=(2, 3))
    table = measured(lambda features, rest: 3 * features[:, [0, 1, 7]], maps=maps)
    assert axis(table, "melanoma", "pigment_network").ratio.low > 1


def test_same_seed_same_table_other_seed_other_table():
    first, again, other = (measured(reader(0, 1, 7), seed=seed).targets for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_few_permutations_widen_the_interval():
    few, many = (
        measured(reader(0, 1, None), effort=Effort(permutations=count, joint_permutations=1, free_axes=0))
        for count in (3, 40)
    )
    few, many = (axis(table, "nevus", "streaks").ratio for table in (few, many))
    assert few.high - few.low > many.high - many.low


def test_a_diagnosis_without_cases_is_not_a_number_and_not_in_the_mean():
    table = measured(reader(0, 1, None), labels=(maps_of()[:, 0].mean((1, 2)) < 0).long())
    absent = axis(table, "seborrheic_keratosis", "pigment_network")
    assert np.isnan(absent.ratio.value)
    assert absent.rank is None
    assert np.isfinite(axis(table, OVERALL, "pigment_network").ratio.low)


def test_without_free_axes_there_is_no_band_and_no_unnamed_share():
    names = tuple(str(number) for number in range(CHANNELS))
    table = measured(reader(0, 1, None), concepts=names, effort=Effort(permutations=2, joint_permutations=2))
    band = axis(table, OVERALL, "0").null
    assert np.isnan([band.low, band.high]).all()
    assert table.targets[OVERALL].unnamed_share.value == 0


def test_the_band_is_that_of_the_free_axes_and_not_of_the_named_ones():
    table = measured(reader(0, 7, None), effort=Effort(permutations=2, joint_permutations=1, free_permutations=4))
    assert axis(table, "nevus", "streaks").null.high > 1
    only_named = measured(reader(0, 1, None)).targets[OVERALL].concepts["streaks"].null
    assert (only_named.low, only_named.high) == (1, 1)


def test_free_axes_are_drawn_without_repetition_from_behind_the_named_ones():
    generator = np.random.default_rng(0)
    assert sample_free(2, 5, 20, generator) == [2, 3, 4]
    drawn = sample_free(2, 40, 10, generator)
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 10
    assert min(drawn) >= 2
    assert max(drawn) < 40
    assert sample_free(5, 5, 20, generator) == []


def test_as_many_passes_as_asked_for_each_kind_of_axis():
    tail, labels = reader(0, 1, 7), torch.arange(CASES) % 3
    losses = measure(Layer(tail, maps_of()), labels, named=2, effort=LIGHT, generator=np.random.default_rng(0))
    assert [len(losses.single[named]) for named in (0, 1)] == [8, 8]
    assert [len(permuted) for number, permuted in losses.single.items() if number >= 2] == [3] * 4
    assert {kind: len(permuted) for kind, permuted in losses.joint.items()} == dict.fromkeys(Joint, 4)
    assert losses.intact.shape == (CASES, 3)


def test_joint_permutations_move_the_axes_they_name():
    def intact_where(kind, *columns):
        tail, labels = reader(*columns), torch.arange(CASES) % 3
        losses = measure(Layer(tail, maps_of()), labels, named=2, effort=LIGHT, generator=np.random.default_rng(0))
        return bool((losses.joint[kind] == losses.intact).all())

    assert intact_where(Joint.NAMED, 7, None, 9)
    assert not intact_where(Joint.NAMED, None, 1, None)
    assert intact_where(Joint.FREE, 0, 1, None)
    assert not intact_where(Joint.FREE, None, 2, None)
    assert not intact_where(Joint.ALL, 0, None, None)
    assert not intact_where(Joint.ALL, 9, None, None)


def test_progress_counts_every_pass():
    calls = []
    measured(reader(0, 1, None), advance=calls.append)
    assert sum(calls) == len(calls) == LIGHT.passes(len(CONCEPTS), CHANNELS) == 1 + 2 * 8 + 4 * 3 + 3 * 4
    assert LIGHT.passes(8, 10) == 1 + 8 * 8 + 2 * 3 + 3 * 4


def test_a_single_axis_goes_the_ordered_way_and_reports_each_pass():
    tail, labels, orders, calls = reader(0, 1, 7), torch.arange(CASES) % 3, [torch.randperm(CASES)] * 2, []
    layer = Layer(tail, maps_of())
    first, second = SingleAxis(layer, labels, batch_size=16).losses(1, orders, advance=calls.append)
    expected = permuted_losses(layer, labels, axes=1, order=orders[0], batch_size=64)
    np.testing.assert_allclose(first, expected, rtol=1e-6)
    np.testing.assert_array_equal(first, second)
    assert calls == [1, 1]


def test_losses_are_cross_entropies_and_finite_at_the_ends():
    logits, labels = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    probabilities = logits.double().softmax(dim=1)
    is_class = torch.nn.functional.one_hot(labels, 3).bool()
    expected = -torch.where(is_class, probabilities, 1 - probabilities).log()
    np.testing.assert_allclose(one_against_rest(logits, labels), expected.numpy(), rtol=1e-9)
    extreme = one_against_rest(torch.tensor([[1e4, 0.0, -1e4]]), torch.tensor([2]))
    assert extreme.tolist() == [[1e4, 0.0, 2e4]]


def test_numbers_that_do_not_agree_are_refused():
    tail = reader(0, 1, None)
    with pytest.raises(DataError, match=r"maps 150, labels 3, weights 150"):
        measured(tail, labels=torch.zeros(3, dtype=torch.long))
    with pytest.raises(DataError, match=r"rest\[0\] 4"):
        measured(tail, rest=(torch.zeros(4, 1),), labels=one_axis_labels(0))
    with pytest.raises(DataError, match="11 concepts for a layer of 10 axes"):
        measured(tail, concepts=tuple("abcdefghijk"))
    with pytest.raises(DataError, match="1 diagnosis"):
        importance(
            tail,
            maps_of(),
            (),
            one_axis_labels(0),
            concepts=CONCEPTS,
            classes=["melanoma"],
            weights=weights_of(),
            generator=np.random.default_rng(0),
        )
