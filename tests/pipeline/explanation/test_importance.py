import json

import numpy as np
import pytest
import torch

from concepts.errors import DataError
from concepts.statistics.bootstrap import group_weights
from pipeline.explanation.exemplars import most_activated
from pipeline.explanation.importance import OVERALL, importance
from pipeline.explanation.permutation import Effort, Layer, measure, one_against_rest, permuted_losses

CONCEPTS, CLASSES = ("pigment_network", "streaks"), ("melanoma", "nevus", "seborrheic_keratosis")
CASES, CHANNELS = 150, 10
LIGHT = Effort(permutations=8, joint_permutations=4, free_axes=4, free_permutations=3, batch_size=64)


def maps_of(seed=0):
    return torch.randn(CASES, CHANNELS, 2, 2, generator=torch.Generator().manual_seed(seed))


def weights_of(resamples=200):
    groups = [str(one // 2) for one in range(CASES)]
    return group_weights(groups, resamples=resamples, generator=np.random.default_rng(0))


def reader(*columns):
    """A tail whose logit d is a multiple of the mean of axis columns[d]; None is a constant."""

    def tail(maps, rest):
        pooled = maps.mean(dim=(2, 3))
        zero = torch.zeros(len(maps))
        return torch.stack([zero if one is None else 4 * pooled[:, one] for one in columns], dim=1)

    return tail


def one_axis_labels(axis):
    """The first diagnosis where an axis is positive, one of the others where it is not."""
    return torch.where(maps_of()[:, axis].mean(dim=(1, 2)) > 0, 0, torch.arange(CASES) % 2 + 1)


def measured(tail, *, maps=None, rest=(), labels=None, effort=LIGHT, concepts=CONCEPTS, seed=0, **more):
    maps = maps_of() if maps is None else maps
    labels = tail(maps, rest).argmax(dim=1) if labels is None else labels
    return importance(
        tail,
        maps,
        rest,
        labels,
        concepts=concepts,
        classes=CLASSES,
        weights=weights_of(),
        generator=np.random.default_rng(seed),
        effort=effort,
        **more,
    )


def test_the_axis_that_is_read_matters_and_the_other_does_not():
    table = measured(reader(0, None, None), labels=one_axis_labels(0))
    used, unused = (table.axes["melanoma"][name] for name in CONCEPTS)
    assert used.ratio.low > 1
    assert used.ratio.low <= used.ratio.value <= used.ratio.high
    assert used.rank == 1
    assert (unused.ratio.value, unused.ratio.low, unused.ratio.high) == (1, 1, 1)
    assert unused.rank == 2
    assert used.null == (1, 1)


def test_nothing_is_unnamed_where_only_named_axes_are_read():
    table = measured(reader(0, 1, None))
    assert {share.value for share in table.unnamed_share.values()} == {0}
    assert {share.high for share in table.unnamed_share.values()} == {0}


def test_all_is_unnamed_where_only_a_free_axis_is_read():
    table = measured(reader(7, None, None), labels=one_axis_labels(7))
    assert {share.value for share in table.unnamed_share.values()} == {1}
    assert {axis.ratio.value for axis in table.axes[OVERALL].values()} == {1}
    assert set(table.unnamed_share) == {*CLASSES, OVERALL}


def test_named_and_free_share_alike_what_they_carry_alike():
    table = measured(reader(0, None, 7), effort=Effort(permutations=2, joint_permutations=20, free_permutations=1))
    share = table.unnamed_share[OVERALL]
    assert share.value == pytest.approx(0.5, abs=0.1)
    assert share.low < share.value < share.high


def test_a_layer_that_is_not_read_has_no_share():
    table = measured(reader(None, None, None), labels=torch.arange(CASES) % 3)
    assert np.isnan(table.unnamed_share[OVERALL].value)


@pytest.mark.parametrize("batch_size", [1, 7, CASES])
def test_batches_do_not_matter(batch_size):
    effort = Effort(permutations=3, joint_permutations=2, free_axes=2, free_permutations=2, batch_size=batch_size)
    whole = Effort(permutations=3, joint_permutations=2, free_axes=2, free_permutations=2, batch_size=64)
    found, expected = (measured(reader(0, 1, 7), effort=one) for one in (effort, whole))
    for target in (*CLASSES, OVERALL):
        for name in CONCEPTS:
            assert found.axes[target][name].ratio.value == pytest.approx(expected.axes[target][name].ratio.value)
            assert found.axes[target][name].ratio.low == pytest.approx(expected.axes[target][name].ratio.low)
        assert found.unnamed_share[target].value == pytest.approx(expected.unnamed_share[target].value)
    assert found.axes["melanoma"]["pigment_network"].ratio.value > 1.5


def test_ratio_is_the_mean_permuted_loss_over_the_intact_one():
    maps, tail = maps_of(), reader(0, 1, None)
    labels = tail(maps, ()).argmax(dim=1)
    losses = measure(Layer(tail, maps), labels, named=2, effort=LIGHT, generator=np.random.default_rng(3))
    table = measured(tail, seed=3)

    def loss(cases):
        own = (labels == 0).numpy()
        return (cases[own, 0].mean() + cases[~own, 0].mean()) / 2

    expected = np.mean([loss(one) for one in losses.single[0]]) / loss(losses.intact)
    assert table.axes["melanoma"]["pigment_network"].ratio.value == pytest.approx(expected)


def test_a_stronger_axis_ranks_before_a_weaker_one():
    def tail(maps, rest):
        pooled = maps.mean(dim=(2, 3))
        return torch.stack([pooled[:, 0] + 4 * pooled[:, 1], -pooled[:, 0], torch.zeros(len(maps))], dim=1)

    table = measured(tail)
    assert table.axes["melanoma"]["streaks"].rank == 1
    assert table.axes["melanoma"]["pigment_network"].rank == 2


def test_what_bypasses_the_layer_stays_with_its_case():
    maps, skip = maps_of(), maps_of(seed=1)

    def tail(maps, rest):
        return reader(None, None, 1)(maps, ()) + reader(0, None, None)(rest[0], ())

    labels = tail(maps, (skip,)).argmax(dim=1)
    losses = permuted_losses(Layer(tail, maps, (skip,)), labels, axes=0, order=torch.randperm(CASES), batch_size=11)
    np.testing.assert_array_equal(losses, one_against_rest(tail(maps, (skip,)), labels))
    assert measured(tail, rest=(skip,)).axes[OVERALL]["pigment_network"].ratio.value == 1


def test_maps_are_left_as_they_were():
    maps = maps_of()
    measured(reader(0, 1, 7), maps=maps)
    assert torch.equal(maps, maps_of())


def test_maps_without_positions_serve_too():
    maps = maps_of().mean(dim=(2, 3))
    table = measured(lambda one, rest: 3 * one[:, [0, 1, 7]], maps=maps)
    assert table.axes["melanoma"]["pigment_network"].ratio.low > 1


def test_same_seed_same_table_other_seed_other_table():
    first, again, other = (measured(reader(0, 1, 7), seed=seed).to_json() for seed in (5, 5, 6))
    assert first == again
    assert first != other


def test_few_permutations_widen_the_interval():
    few, many = (
        measured(reader(0, 1, None), effort=Effort(permutations=count, joint_permutations=1, free_axes=0))
        for count in (3, 40)
    )
    few, many = (table.axes["nevus"]["streaks"].ratio for table in (few, many))
    assert few.high - few.low > many.high - many.low


def test_a_diagnosis_without_cases_is_not_a_number_and_not_in_the_mean():
    table = measured(reader(0, 1, None), labels=(maps_of()[:, 0].mean((1, 2)) < 0).long())
    absent = table.axes["seborrheic_keratosis"]["pigment_network"]
    assert np.isnan(absent.ratio.value)
    assert absent.rank is None
    assert np.isfinite(table.axes[OVERALL]["pigment_network"].ratio.low)


def test_without_free_axes_there_is_no_band_and_no_unnamed_share():
    names = tuple(str(one) for one in range(CHANNELS))
    table = measured(reader(0, 1, None), concepts=names, effort=Effort(permutations=2, joint_permutations=2))
    assert np.isnan(table.axes[OVERALL]["0"].null).all()
    assert table.unnamed_share[OVERALL].value == 0
    assert table.free_ratios[OVERALL] == ()


def test_the_band_holds_the_free_axes_that_are_read():
    table = measured(reader(0, 7, None), effort=Effort(permutations=2, joint_permutations=1, free_permutations=4))
    assert len(table.free_ratios[OVERALL]) == CHANNELS - len(CONCEPTS)
    assert table.axes["nevus"]["streaks"].null[1] > 1


def test_progress_counts_every_pass():
    calls = []
    measured(reader(0, 1, None), advance=calls.append)
    assert sum(calls) == LIGHT.passes(len(CONCEPTS), CHANNELS)


def test_json_has_the_agreed_shape():
    found = json.loads(json.dumps(measured(reader(0, 1, None)).to_json(), allow_nan=False))
    assert set(found) == {*CLASSES, OVERALL}
    assert set(found[OVERALL]) == {*CONCEPTS, "unnamed_share"}
    assert set(found[OVERALL]["streaks"]) == {"ratio", "rank", "null"}
    assert set(found[OVERALL]["streaks"]["null"]) == {"low", "high"}
    assert set(found[OVERALL]["unnamed_share"]) == {"value", "low", "high", "n"}


def test_losses_are_cross_entropies_and_finite_at_the_ends():
    logits, labels = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    probabilities = logits.double().softmax(dim=1)
    own = torch.nn.functional.one_hot(labels, 3).bool()
    expected = -torch.where(own, probabilities, 1 - probabilities).log()
    np.testing.assert_allclose(one_against_rest(logits, labels), expected.numpy(), rtol=1e-9)
    extreme = one_against_rest(torch.tensor([[1e4, 0.0, -1e4]]), torch.tensor([2]))
    assert extreme.tolist() == [[1e4, 0.0, 2e4]]


def test_numbers_that_do_not_agree_are_refused():
    with pytest.raises(DataError, match=r"maps 150, labels 3, weights 150"):
        measured(reader(0, 1, None), labels=torch.zeros(3, dtype=torch.long))
    with pytest.raises(DataError, match="11 concepts for a layer of 10 axes"):
        measured(reader(0, 1, None), concepts=tuple("abcdefghijk"))


def test_exemplars_are_the_strongest_first_and_ties_keep_their_order():
    first, second = most_activated([[1, 0], [3, 0], [2, 0], [3, 5]], ["a", "b", "c", "d"], count=3)
    assert [one.image_id for one in first] == ["b", "d", "c"]
    assert [one.activation for one in first] == [3, 3, 2]
    assert [one.percentile for one in first] == [100, 100, 50]
    assert [one.image_id for one in second] == ["d", "a", "b"]
    assert second[1].percentile == 75


def test_exemplars_of_fewer_images_than_wanted():
    assert len(most_activated([[1.0], [2.0]], ["a", "b"], count=5)[0]) == 2
