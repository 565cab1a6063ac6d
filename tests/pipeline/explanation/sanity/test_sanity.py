"""Sanity checks: what was learnt must be told from randomised weights and labels, what was not must be called so."""

import numpy as np
import pytest
import torch
from torch import nn

from concepts.statistics.bootstrap import Resampled, group_weights
from pipeline.choices import Activation, Objective
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.importance import OVERALL, importance
from pipeline.explanation.permutation import Effort
from pipeline.explanation.sanity.check import Ground, axis_aucs, random_label_ratios, random_weight_ratios
from pipeline.explanation.sanity.null_check import against_null
from pipeline.explanation.sanity.randomised import randomised_tail
from pipeline.explanation.sanity.relabelled import relabelled_axes
from pipeline.whitening.layer import ConceptWhitening

CASES, CHANNELS, CLASSES = 160, 32, ("melanoma", "nevus")
CONCEPTS = ("streaks", "globules")


class ReadingTail(nn.Module):
    """Pools the maps and reads axis 0 alone; nothing else was learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(CHANNELS, 2, bias=False)
        with torch.no_grad():
            self.read.weight.zero_()
            self.read.weight[0, 0] = 6.0

    def forward(self, maps, rest=()):
        return self.read(maps.mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def world():
    """Maps, a tail that reads their first axis, labels that follow it, and what the checks stand on."""
    maps = torch.randn(CASES, CHANNELS, 2, 2, generator=torch.Generator().manual_seed(1))
    tail = ReadingTail()
    labels = torch.where(maps[:, 0].mean(dim=(1, 2)) > 0, 0, 1)
    with torch.no_grad():
        outputs = LayerOutputs(maps, (), tail(maps), tail)
    weights = group_weights([str(one) for one in range(CASES)], resamples=200, generator=np.random.default_rng(0))
    ground = Ground(labels.numpy(), weights, CLASSES, np.random.default_rng(2))
    table = importance(
        tail,
        maps,
        (),
        labels,
        concepts=CONCEPTS,
        classes=CLASSES,
        weights=weights,
        generator=np.random.default_rng(3),
        effort=Effort(permutations=5, joint_permutations=2, free_axes=2, free_permutations=2),
    )
    return outputs, ground, table


def checks(table, draws, ground):
    return {
        name: against_null(table.resampled[OVERALL][name], [one[OVERALL][column] for one in draws], ground.generator)
        for column, name in enumerate(CONCEPTS)
    }


def test_what_the_network_learnt_to_read_is_told_from_randomised_weights_and_the_rest_is_not(world):
    outputs, ground, table = world
    draws = random_weight_ratios(outputs, 2, draws=6, ground=ground, advance=lambda _: None)
    found = checks(table, draws, ground)
    assert found["streaks"].meaningless is False
    assert found["streaks"].difference.low > 0
    assert found["globules"].own.value == 1
    assert found["globules"].meaningless is True
    assert found["streaks"].null.n == 6


def test_a_network_that_learnt_nothing_is_reported_as_meaningless(world):
    outputs, ground, _ = world
    tail = randomised_tail(outputs.tail, outputs.maps, (), generator=np.random.default_rng(9))
    labels = torch.from_numpy(np.random.default_rng(10).permutation(ground.labels))
    blind = Ground(labels.numpy(), ground.weights, CLASSES, np.random.default_rng(4))
    with torch.no_grad():
        blank = LayerOutputs(outputs.maps, (), tail(outputs.maps), tail)
    table = importance(
        tail,
        outputs.maps,
        (),
        labels,
        concepts=CONCEPTS,
        classes=CLASSES,
        weights=ground.weights,
        generator=np.random.default_rng(3),
        effort=Effort(permutations=5, joint_permutations=2, free_axes=2, free_permutations=2),
    )
    draws = random_weight_ratios(blank, 2, draws=6, ground=blind, advance=lambda _: None)
    assert all(one.meaningless for one in checks(table, draws, blind).values())


def test_axes_in_other_directions_lose_the_importance(world):
    outputs, ground, table = world
    elsewhere = torch.eye(CHANNELS, dtype=torch.float64)[[4, 5]]
    draws = random_label_ratios(outputs, [elsewhere] * 3, ground=ground, advance=lambda _: None)
    assert draws[0][OVERALL][0].value == pytest.approx(1)
    assert checks(table, draws, ground)["streaks"].meaningless is False
    same = random_label_ratios(
        outputs, [torch.eye(CHANNELS, dtype=torch.float64)[:2]] * 3, ground=ground, advance=lambda _: None
    )
    assert checks(table, same, ground)["streaks"].meaningless is True, "a figure is not told from itself"


def test_randomised_weights_keep_their_values_and_lose_their_places():
    tail = nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5), nn.ReLU())

    class Tail(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = tail

        def forward(self, maps, rest=()):
            return self.inner(maps)

    whole = Tail().eval()
    maps = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0)) + 3
    before = {name: one.clone() for name, one in whole.state_dict().items()}
    drawn = randomised_tail(whole, maps, (), generator=np.random.default_rng(0))
    for name, one in whole.state_dict().items():
        assert torch.equal(one, before[name]), "the tail itself is unchanged"
    own, other = whole.inner[0].weight, drawn.inner[0].weight
    assert torch.equal(own.flatten().sort().values, other.flatten().sort().values)
    assert not torch.equal(own, other)
    with torch.no_grad():
        normed = drawn.inner[1](drawn.inner[0](maps))
    scaled = normed - drawn.inner[1].bias[:, None, None]
    assert scaled.mean(dim=(0, 2, 3)).abs().max() < 1e-4, "normalisations fit what now reaches them"
    assert not drawn.inner[1].training


def aligned_layer(inputs, labels, objective=Objective.CONTRAST):
    """A layer with exact statistics, aligned with the labels."""
    layer = ConceptWhitening(inputs.shape[1], concepts=CONCEPTS, activation=Activation.MEAN).double().eval()
    centred = inputs - inputs.mean(dim=0)
    layer.set_statistics(inputs.mean(dim=0), centred.mT @ centred / len(inputs))
    axes = relabelled_axes(layer, layer(inputs), labels, objective=objective)
    rest = torch.linalg.svd(axes, full_matrices=True).Vh[len(axes) :]
    layer.set_rotation(torch.cat([axes, rest]) @ layer.rotation.double())
    return layer


@pytest.mark.parametrize("objective", [Objective.CONTRAST, Objective.POSITIVES])
def test_the_labels_that_a_layer_was_aligned_with_give_its_own_axes_and_others_do_not(objective):
    generator = np.random.default_rng(0)
    labels = (generator.random((CASES, 2)) < 0.4).astype(float)
    inputs = torch.from_numpy(generator.normal(size=(CASES, CHANNELS)) @ generator.normal(size=(CHANNELS, CHANNELS)))
    inputs[:, :2] += 3 * torch.from_numpy(labels)
    layer = aligned_layer(inputs, labels, objective)
    pooled = layer(inputs)
    own = relabelled_axes(layer, pooled, labels, objective=objective)
    assert torch.allclose(own, torch.eye(CHANNELS, dtype=torch.float64)[:2], atol=1e-6)
    other = relabelled_axes(layer, pooled, labels[generator.permutation(CASES)], objective=objective)
    assert torch.allclose(other @ other.mT, torch.eye(2, dtype=torch.float64), atol=1e-9)
    assert (other - own).abs().max() > 0.1


def test_purity_falls_to_chance_when_labels_are_permuted():
    generator = np.random.default_rng(1)
    labels = (generator.random((CASES, 2)) < 0.5).astype(float)
    inputs = torch.from_numpy(generator.normal(size=(CASES, CHANNELS)))
    inputs[:, :2] += 2 * torch.from_numpy(labels)
    layer = aligned_layer(inputs, labels)
    pooled = layer(inputs)
    weights = group_weights([str(one) for one in range(CASES)], resamples=200, generator=generator)
    identity = torch.eye(CHANNELS, dtype=torch.float64)[:2]

    def aucs(axes):
        return axis_aucs(pooled, axes, labels, activation=Activation.MEAN, weights=weights, assessable=[True, True])

    draws = [
        aucs(relabelled_axes(layer, pooled, labels[generator.permutation(CASES)], objective=Objective.CONTRAST))
        for _ in range(40)
    ]
    for column in range(2):
        found = against_null(aucs(identity)[column], [one[column] for one in draws], generator)
        assert found.own.value > 0.85
        assert abs(found.null.value - 0.5) < 0.1
        assert found.meaningless is False


def test_a_figure_without_a_value_or_without_draws_is_neither_meaningful_nor_meaningless():
    nothing = Resampled(float("nan"), np.full(50, np.nan), 10)
    something = Resampled(1.0, np.ones(50), 10)
    for own, draws in ((nothing, [something]), (something, []), (something, [nothing])):
        assert against_null(own, draws, np.random.default_rng(0)).meaningless is None


def test_the_interval_of_the_difference_holds_the_spread_of_the_draws():
    own = Resampled(1.5, np.full(2000, 1.5), 10)
    draws = [Resampled(value, np.full(2000, value), 10) for value in (1.0, 1.2, 1.4)]
    found = against_null(own, draws, np.random.default_rng(0))
    assert found.difference.value == pytest.approx(0.3)
    assert (found.difference.low, found.difference.high) == pytest.approx((0.1, 0.5))
