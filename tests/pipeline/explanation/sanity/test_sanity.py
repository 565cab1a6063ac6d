"""Sanity checks: what was learnt must be told from randomised weights and labels, what was not must be called so."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fake_networks import CountingTracker, MadeNetwork, chance, made_network, made_parts
from fakes import made_data
from torch import nn

from concepts.statistics.bootstrap import Resampled, auc
from pipeline.choices import Activation, Objective
from pipeline.config import AlignmentSettings
from pipeline.data.splits import Part
from pipeline.explanation.importance import importance
from pipeline.explanation.permutation import Effort, Layer
from pipeline.explanation.sanity.check import (
    PURITY_DRAWS,
    against_null,
    axes_of_permuted_labels,
    check_sanity,
    importance_checks,
    permuted_ratios,
    purity_checks,
    random_label_ratios,
    random_weight_ratios,
)
from pipeline.explanation.sanity.randomised import randomised_tail, relabelled_axes
from pipeline.results.importance import OVERALL
from pipeline.run.progress import Silent
from pipeline.whitening.layer import ConceptWhitening

CASES, CHANNELS, CLASSES = 80, 16, ("melanoma", "nevus")
CONCEPTS = ("streaks", "globules")
READ = 0
"""The named axis that the network reads; it reads no other named one, and free ones little."""
UNREAD = [CHANNELS - 2, CHANNELS - 1]
"""Free axes that the network does not read."""


def images_of(seed):
    return chance(seed)(CASES, CHANNELS, 2, 2)


def data_of(part, images, *, groups=None):
    """Melanoma where the first axis is positive; concepts where their axes are above a third."""
    means = images.mean(dim=(2, 3))
    labels = (means[:, : len(CONCEPTS)] > 0.3).double().numpy()
    diagnoses = [CLASSES[int(mean <= 0)] for mean in means[:, READ]]
    return made_data(diagnoses, labels, part=part, concepts=CONCEPTS, groups=groups)


def network_of(*, groups=None, **more):
    images = {Part.TRAIN: images_of(1), Part.TEST: images_of(2), Part.VALIDATION: images_of(3)}
    train, test = data_of(Part.TRAIN, images[Part.TRAIN]), data_of(Part.TEST, images[Part.TEST], groups=groups)
    weights = chance(4)(len(CLASSES), CHANNELS)
    weights[:, : len(CONCEPTS)] = weights[:, UNREAD] = 0.0
    weights[0, READ] = 6.0
    parts = made_parts(test, train=train, validation=data_of(Part.VALIDATION, images[Part.VALIDATION]))
    return made_network(MadeNetwork(weights.tolist(), CONCEPTS), parts, images, **more)


def table_of(outputs, test):
    return importance(
        outputs.tail,
        outputs.maps,
        (),
        torch.from_numpy(test.labels),
        concepts=CONCEPTS,
        classes=CLASSES,
        weights=test.weights,
        generator=np.random.default_rng(3),
        effort=Effort(permutations=5, joint_permutations=2, free_axes=2, free_permutations=2),
    )


def checked(network, *, draws=6, minimum=1, table=None):
    test = network.parts.test
    return check_sanity(
        network,
        table or table_of(network.test_outputs(Silent()), test),
        draws=draws,
        alignment=AlignmentSettings(),
        minimum_positives=minimum,
        tracker=Silent(),
    )


@pytest.fixture(scope="module")
def network():
    return network_of()


@pytest.fixture(scope="module")
def sanity(network):
    return checked(network)


def test_what_the_network_learnt_is_told_from_both_randomisations_and_what_it_does_not_read_is_not(sanity):
    for table in (sanity.importance_randomised_weights, sanity.importance_permuted_labels):
        assert set(table) == {*CLASSES, OVERALL}
        for target in (*CLASSES, OVERALL):
            assert table[target]["streaks"].meaningless is False
            assert table[target]["streaks"].difference.low > 0
            assert table[target]["globules"].meaningless is True
    assert [sanity.is_meaningless(OVERALL, concept) for concept in CONCEPTS] == [False, True]
    assert sanity.concepts == CONCEPTS
    assert sanity.checks == 2 * 3 * 2 + 2


def test_the_figures_that_are_checked_are_those_of_the_explanation(network, sanity):
    table = table_of(network.test_outputs(Silent()), network.parts.test)
    for checks in (sanity.importance_randomised_weights, sanity.importance_permuted_labels):
        for target, row in checks.items():
            for concept, check in row.items():
                assert check.figure == table.targets[target].concepts[concept].ratio
                assert check.difference.value == pytest.approx(check.figure.value - check.null.value)


def test_every_draw_is_another_one_and_the_two_randomisations_differ(sanity):
    weights, labels = (
        table[OVERALL]["streaks"].null
        for table in (sanity.importance_randomised_weights, sanity.importance_permuted_labels)
    )
    assert sanity.draws == weights.n == labels.n == 6
    assert weights.low < weights.value < weights.high
    assert labels.low < labels.value < labels.high
    assert weights != labels
    purity = sanity.purity_permuted_labels["streaks"].null
    assert purity.n == 6 * PURITY_DRAWS
    assert purity.low < purity.value < purity.high


def test_purity_is_that_of_the_named_axes_on_test_images(network, sanity):
    test = network.parts.test
    scores = network.test_outputs(Silent()).activations(Activation.MEAN)
    for column, concept in enumerate(CONCEPTS):
        check = sanity.purity_permuted_labels[concept]
        assert check.figure == auc(scores[:, column], test.concept_labels[:, column], test.weights).estimate()
        assert abs(check.null.value - 0.5) < 0.2
        assert check.meaningless is False


def test_purity_is_of_the_activation_that_the_network_has(network, sanity):
    by_maximum = checked(replace(network, activation=Activation.MAX), draws=1)
    maxima = network.test_outputs(Silent()).activations(Activation.MAX)[:, 0]
    expected = auc(maxima, network.parts.test.concept_labels[:, 0], network.parts.test.weights).estimate()
    assert by_maximum.purity_permuted_labels["streaks"].figure == expected
    assert expected != sanity.purity_permuted_labels["streaks"].figure


def test_a_concept_with_too_few_training_images_has_no_purity(network):
    positives = network.parts.train.positives
    fewest, most = sorted(positives)
    assert fewest < most
    sanity = checked(network, draws=1, minimum=most)
    unknown = [concept for concept in CONCEPTS if sanity.purity_permuted_labels[concept].meaningless is None]
    assert unknown == [CONCEPTS[positives.index(fewest)]]


def test_with_a_single_patient_nothing_is_told_from_anything():
    sanity = checked(network_of(groups=["the only patient"] * CASES), draws=2)
    checks = [check for row in sanity.importance_randomised_weights.values() for check in row.values()]
    checks += [check for row in sanity.importance_permuted_labels.values() for check in row.values()]
    checks += sanity.purity_permuted_labels.values()
    assert {check.meaningless for check in checks} == {None}
    assert all(np.isfinite(check.figure.value) for check in checks)
    assert sanity.is_meaningless(OVERALL, "streaks") is None


def test_without_draws_or_axes_there_is_no_check(network):
    assert checked(network, draws=0) is None
    test = replace(network.parts.test, concepts=())
    assert checked(replace(network, parts=replace(network.parts, test=test)), table=object()) is None


def test_progress_counts_every_draw(network):
    tracker = CountingTracker()
    check_sanity(
        network,
        table_of(network.test_outputs(Silent()), network.parts.test),
        draws=2,
        alignment=AlignmentSettings(),
        minimum_positives=1,
        tracker=tracker,
    )
    title = "randomised weights and labels"
    assert tracker.totals[title] == tracker.steps[title] == 4


def test_a_network_that_learnt_nothing_is_reported_as_meaningless(network):
    outputs = network.test_outputs(Silent())
    labels = np.random.default_rng(10).permutation(network.parts.test.labels)
    test = replace(network.parts.test, labels=labels)
    tail = randomised_tail(outputs.tail, outputs.maps, (), generator=np.random.default_rng(9))
    blank = replace(outputs, tail=tail)
    draws = random_weight_ratios(blank, test, draws=6, generator=np.random.default_rng(4), advance=lambda _: None)
    checks = importance_checks(table_of(blank, test), draws, np.random.default_rng(5))
    assert all(check.meaningless for check in checks[OVERALL].values())


def test_axes_in_other_directions_lose_the_importance_and_the_same_ones_keep_it(network):
    outputs, test = network.test_outputs(Silent()), network.parts.test
    table, identity = table_of(outputs, test), torch.eye(CHANNELS, dtype=torch.float64)
    generator, calls = np.random.default_rng(2), []
    elsewhere = random_label_ratios(outputs, test, [identity[UNREAD]] * 3, generator=generator, advance=calls.append)
    assert [draw[OVERALL][0].value for draw in elsewhere] == pytest.approx([1, 1, 1])
    assert importance_checks(table, elsewhere, generator)[OVERALL]["streaks"].meaningless is False
    same = random_label_ratios(outputs, test, [identity[:2]] * 3, generator=generator, advance=calls.append)
    check = importance_checks(table, same, generator)[OVERALL]["streaks"]
    assert check.meaningless is True, "a figure is not told from itself"
    assert len({draw[OVERALL][0].value for draw in same}) == 3
    assert sum(calls) == 6


def test_draws_are_resampled_with_the_weights_of_the_test_images(network):
    outputs, test = network.test_outputs(Silent()), network.parts.test
    layer = Layer(outputs.tail, outputs.maps)
    alone = replace(test, groups=("the only patient",) * CASES)
    draws = [
        permuted_ratios(layer, data, axes=1, generator=np.random.default_rng(0))[OVERALL][0] for data in (test, alone)
    ]
    assert draws[0].value == draws[1].value > 1
    assert np.isfinite(draws[0].replicates).all()
    assert np.isnan(draws[1].replicates).all()


def test_purity_of_draws_is_resampled_like_that_of_the_axes(network):
    outputs, test = network.test_outputs(Silent()), network.parts.test
    same = torch.eye(CHANNELS, dtype=torch.float64)[: len(CONCEPTS)]
    checks = purity_checks(
        outputs.maps,
        test,
        [same],
        activation=Activation.MEAN,
        assessable=[True, True],
        generator=np.random.default_rng(0),
    )
    for check in checks.values():
        assert (check.difference.value, check.difference.low, check.difference.high) == (0, 0, 0)
        assert check.meaningless is True


def test_permuted_labels_are_those_of_the_training_images_row_by_row(network):
    axes = axes_of_permuted_labels(
        network, AlignmentSettings(), draws=3, generator=np.random.default_rng(0), tracker=Silent()
    )
    generator, train = np.random.default_rng(0), network.parts.train
    pooled = torch.cat(list(network.train_maps(Silent()))).mean(dim=(2, 3))
    for directions in axes:
        labels = train.concept_labels[generator.permutation(CASES)]
        expected = relabelled_axes(network.whitening, pooled, labels, objective=Objective.CONTRAST)
        torch.testing.assert_close(directions, expected)


def test_randomised_weights_keep_their_values_and_lose_their_places():
    class BlockTail(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5, momentum=0.2), nn.ReLU())

        def forward(self, maps, rest=()):
            return self.inner(maps)

    tail = BlockTail().eval()
    maps = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + 3
    before = {name: tensor.clone() for name, tensor in tail.state_dict().items()}
    drawn, again, other = (randomised_tail(tail, maps, (), generator=np.random.default_rng(seed)) for seed in (0, 0, 1))
    for name, tensor in tail.state_dict().items():
        assert torch.equal(tensor, before[name]), "the tail itself is unchanged"
    weights = [module.inner[0].weight for module in (tail, drawn, again, other)]
    assert all(torch.equal(weight.flatten().sort().values, weights[0].flatten().sort().values) for weight in weights)
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
    assert not torch.equal(weights[1], weights[3])
    with torch.no_grad():
        normed = drawn.inner[1](drawn.inner[0](maps))
    scaled = normed - drawn.inner[1].bias[:, None, None]
    assert scaled.mean(dim=(0, 2, 3)).abs().max() < 1e-4, "normalisations fit what now reaches them"
    assert not drawn.inner[1].training
    assert drawn.inner[1].momentum == 0.2


def aligned_layer(inputs, labels, objective=Objective.CONTRAST):
    """A layer with exact statistics, aligned with the labels."""
    layer = ConceptWhitening(inputs.shape[1], concepts=CONCEPTS, activation=Activation.MEAN).double().eval()
    centred = inputs - inputs.mean(dim=0)
    layer.set_statistics(inputs.mean(dim=0), centred.mT @ centred / len(inputs))
    axes = relabelled_axes(layer, layer(inputs), labels, objective=objective)
    rest = torch.linalg.svd(axes, full_matrices=True).Vh[len(axes) :]
    layer.set_rotation(torch.cat([axes, rest]) @ layer.rotation.double())
    return layer


def correlated_inputs(shift=3.0):
    generator = np.random.default_rng(0)
    labels = (generator.random((CASES, 2)) < 0.4).astype(float)
    inputs = torch.from_numpy(generator.normal(size=(CASES, CHANNELS)) @ generator.normal(size=(CHANNELS, CHANNELS)))
    inputs[:, :2] += shift * torch.from_numpy(labels)
    return inputs, labels


@pytest.mark.parametrize("objective", [Objective.CONTRAST, Objective.POSITIVES])
def test_the_labels_that_a_layer_was_aligned_with_give_its_axes_and_others_do_not(objective):
    inputs, labels = correlated_inputs()
    layer = aligned_layer(inputs, labels, objective)
    pooled = layer(inputs)
    axes = relabelled_axes(layer, pooled, labels, objective=objective)
    assert torch.allclose(axes, torch.eye(CHANNELS, dtype=torch.float64)[:2], atol=1e-6)
    permuted = labels[np.random.default_rng(1).permutation(CASES)]
    other = relabelled_axes(layer, pooled, permuted, objective=objective)
    assert torch.allclose(other @ other.mT, torch.eye(2, dtype=torch.float64), atol=1e-9)
    assert (other - axes).abs().max() > 0.1


def test_regions_are_replaced_by_contrast_and_shrinkage_moves_the_axes():
    inputs, labels = correlated_inputs()
    layer = aligned_layer(inputs, labels)
    pooled = layer(inputs)
    contrast, regions = (
        relabelled_axes(layer, pooled, labels, objective=objective)
        for objective in (Objective.CONTRAST, Objective.REGIONS)
    )
    assert torch.equal(contrast, regions)
    shrunk = relabelled_axes(layer, pooled, labels, objective=Objective.CONTRAST, shrinkage=1.0)
    assert (shrunk - contrast).abs().max() > 1e-3


def test_a_concept_without_labels_keeps_the_direction_that_the_layer_remembers():
    inputs, labels = correlated_inputs()
    layer = aligned_layer(inputs, labels)
    layer.concept_directions.copy_(torch.eye(CHANNELS)[[5, 6]])
    labels[:, 1] = np.nan
    axes = relabelled_axes(layer, layer(inputs), labels, objective=Objective.CONTRAST)
    assert axes.isfinite().all()
    layer.concept_directions.copy_(torch.eye(CHANNELS)[[5, 7]])
    assert (relabelled_axes(layer, layer(inputs), labels, objective=Objective.CONTRAST) - axes).abs().max() > 0.1


def test_purity_falls_to_chance_where_labels_are_permuted():
    generator = np.random.default_rng(1)
    inputs, labels = correlated_inputs(shift=8.0)
    layer = aligned_layer(inputs, labels)
    pooled = layer(inputs)
    axes = [
        relabelled_axes(layer, pooled, labels[generator.permutation(CASES)], objective=Objective.CONTRAST)
        for _ in range(30)
    ]
    test = made_data(["nevus"] * CASES, labels, concepts=CONCEPTS)
    assessable, activation = [True, False], Activation.MEAN
    checks = purity_checks(pooled, test, axes, activation=activation, assessable=assessable, generator=generator)
    assert checks["streaks"].figure.value > 0.85
    assert abs(checks["streaks"].null.value - 0.5) < 0.1
    assert checks["streaks"].meaningless is False
    assert checks["globules"].meaningless is None


def test_a_figure_without_a_value_or_without_draws_is_neither_meaningful_nor_meaningless():
    nothing = Resampled(float("nan"), np.full(50, np.nan), 10)
    something = Resampled(1.0, np.ones(50), 10)
    for figure, draws, usable in ((nothing, [something], 1), (something, [], 0), (something, [nothing], 0)):
        check = against_null(figure, draws, np.random.default_rng(0))
        assert check.meaningless is None
        assert check.null.n == usable
        assert check.difference.n == 10
        assert np.isnan([check.null.value, check.difference.value]).all()


def test_draws_without_a_figure_are_left_out():
    draws = [Resampled(1.0, np.ones(50), 10), Resampled(float("nan"), np.full(50, np.nan), 10)]
    check = against_null(Resampled(2.0, np.full(50, 2.0), 10), draws, np.random.default_rng(0))
    assert (check.null.value, check.null.n) == (1, 1)
    assert (check.difference.value, check.difference.low) == (1, 1)


@pytest.mark.parametrize(("value", "meaningless"), [(1.0, True), (1.0 + 1e-9, False), (0.9, True)])
def test_a_figure_is_told_apart_only_where_the_whole_interval_is_above_zero(value, meaningless):
    draws = [Resampled(1.0, np.ones(50), 10)]
    check = against_null(Resampled(value, np.full(50, value), 10), draws, np.random.default_rng(0))
    assert check.meaningless is meaningless


def test_the_interval_of_the_difference_holds_the_spread_of_the_draws():
    figure = Resampled(1.5, np.full(2000, 1.5), 10)
    draws = [Resampled(value, np.full(2000, value), 10) for value in (1.0, 1.2, 1.4)]
    check = against_null(figure, draws, np.random.default_rng(0))
    assert check.difference.value == pytest.approx(0.3)
    assert (check.difference.low, check.difference.high) == pytest.approx((0.1, 0.5))
    assert (check.null.value, check.null.low, check.null.high) == pytest.approx((1.2, 1.01, 1.39))


def test_resamples_of_figure_and_draw_are_paired():
    noise = np.linspace(-1, 1, 200)
    check = against_null(Resampled(2.0, 2 + noise, 10), [Resampled(1.0, 1 + noise, 10)], np.random.default_rng(0))
    assert (check.difference.low, check.difference.high) == pytest.approx((1, 1))
