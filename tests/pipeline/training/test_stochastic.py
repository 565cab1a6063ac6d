"""The gradient of mean activations is the mean of what concepts' images whiten to, known by thought."""

import copy

import pytest
import torch
from fake_networks import MadeNetwork, made_maps
from ignite.engine import Engine

from pipeline.choices import Activation, FreeAxes, Objective, Schedule
from pipeline.training.alignment import ConceptAlignment, align
from pipeline.training.axis_dropout import drop_free_axes
from pipeline.training.refinement import refine
from pipeline.training.stochastic import ActivationGradient
from pipeline.whitening.layer import ConceptWhitening

NAN = torch.nan
CENTRE = torch.tensor([1.0, -2.0, 3.0])
WHITE = torch.tensor([[1.0, 0.0, 2.0], [3.0, 0.0, 0.0], [0.0, 5.0, 0.0], [9.0, 9.0, 9.0]])
LABELS = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, NAN], [NAN, NAN]])
PRESENT, ABSENT = (
    torch.tensor([[2.0, 0.0, 1.0], [3.0, 0.0, 0.0]]).double(),
    torch.tensor([[0.0, 5.0, 0.0], [1.0, 0.0, 2.0]]).double(),
)
"""Means of `WHITE` over the images in which each concept is present, and absent."""


def gradient(objective: Objective) -> ActivationGradient:
    """Of a layer that takes `CENTRE` off and halves."""
    layer = ConceptWhitening(3, ("streaks", "veil"), activation=Activation.MEAN, eps=0.0).eval()
    layer.mean.copy_(CENTRE)
    layer.covariance.copy_(4 * torch.eye(3))
    return ActivationGradient(layer, objective)


@pytest.mark.parametrize(
    ("objective", "expected"), [(Objective.POSITIVES, PRESENT), (Objective.CONTRAST, PRESENT - ABSENT)]
)
def test_the_gradient_is_the_mean_of_whitened_images_over_all_batches(objective, expected):
    sums = gradient(objective)
    for rows in (slice(0, 1), slice(1, 4)):
        sums.add(made_maps((2 * WHITE + CENTRE)[rows].tolist()), LABELS[rows])
    torch.testing.assert_close(sums.averaged(None, momentum=0.9), expected)


def test_the_past_weighs_by_momentum_and_stays_where_there_is_no_positive():
    sums, past = gradient(Objective.POSITIVES), torch.full((2, 3), 10.0)
    sums.add(made_maps((2 * WHITE + CENTRE)[:1].tolist()), LABELS[:1])
    averaged = sums.averaged(past, momentum=0.75)
    torch.testing.assert_close(averaged[0], 0.25 * WHITE[0].double() + 7.5)
    torch.testing.assert_close(averaged[1], past[1].double())


def test_it_is_complete_once_every_concept_was_present():
    sums = gradient(Objective.POSITIVES)
    completed = []
    for row in range(2):
        sums.add(made_maps(WHITE[row : row + 1].tolist()), LABELS[row : row + 1])
        sums.add(made_maps(WHITE[row : row + 1].tolist()), None)
        completed.append(sums.complete)
    assert completed == [False, True]


def test_a_resumed_run_draws_the_batches_that_the_others_did_not():
    network = MadeNetwork([[1.0, 0.0, 0.0]], ("streaks",))
    batches = [{"image": made_maps([row]), "concepts": torch.ones(1, 1)} for row in WHITE[:3].tolist()]
    handler = ConceptAlignment(network, batches, schedule=Schedule.PAPER, every=1)
    updates(handler, 2)
    resumed = ConceptAlignment(copy.deepcopy(network), batches, schedule=Schedule.PAPER, every=1)
    resumed.load_state_dict(copy.deepcopy(handler.state_dict()))
    assert handler.state_dict()["drawn"] == 2
    for continued in (handler, resumed):
        updates(continued, 1)
    torch.testing.assert_close(resumed.network.layer.rotation, network.layer.rotation)


def updates(handler: ConceptAlignment, count: int) -> None:
    trainer = Engine(lambda _engine, _batch: None)
    handler.attach(trainer)
    trainer.run([0] * count, max_epochs=1)


def test_a_layer_is_as_far_from_white_as_its_variance_from_1():
    corners = [[2.0, 2.0], [2.0, -2.0], [-2.0, 2.0], [-2.0, -2.0]]
    batch = {"image": made_maps(corners), "concepts": torch.tensor([[1.0], [1.0], [0.0], [0.0]])}
    (report,) = align(MadeNetwork([[1.0, 0.0]], ("streaks",)), [batch]).values()
    assert report.residual_before == pytest.approx(3)
    assert report.residual == pytest.approx(0, abs=1e-6)


MEANS = [[4.0, 7.0, 5.0, 1.0], [8.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [2.0, 1.0, 1.0, 1.0], [3.0, 3.0, 1.0, 1.0]]
KNOWN_LABELS = [
    [1.0, 1.0, 1.0, NAN],
    [1.0, NAN, NAN, NAN],
    [0.0, NAN, NAN, NAN],
    [0.0, NAN, NAN, NAN],
    [0.0, 0.0, NAN, NAN],
]
"""Present twice and absent thrice; once each; present only; never known."""


@pytest.mark.parametrize(
    ("objective", "expected"),
    [(Objective.CONTRAST, ((6 - 2) + (7 - 3)) / 2), (Objective.POSITIVES, (6 + 7 + 5) / 3)],
)
def test_what_is_refined_is_the_mean_over_the_concepts_that_have_what_it_takes(objective, expected):
    network = MadeNetwork([[1.0, 0.0, 0.0, 0.0]], ("a", "b", "c", "d"))
    batch = {"image": made_maps(MEANS), "concepts": torch.tensor(KNOWN_LABELS)}
    report = refine(network, "layer", [batch], objective=objective, steps=0)
    assert (report.before, report.after, report.steps) == (pytest.approx(expected), pytest.approx(expected), 0)


def test_images_without_labels_refine_nothing():
    network = MadeNetwork([[1.0, 0.0, 0.0, 0.0]], ("a", "b"))
    report = refine(network, "layer", [{"image": made_maps(MEANS)}], objective=Objective.CONTRAST, steps=2)
    assert (report.before, report.after, report.steps) == (0, 0, 0)
    torch.testing.assert_close(network.layer.rotation, torch.eye(4))


def test_the_share_dropped_is_the_probability_exactly(monkeypatch):
    quarters = torch.tensor([0.0, 0.25, 0.5, 0.75]).view(4, 1, 1, 1)
    monkeypatch.setattr("pipeline.training.axis_dropout.uniform_numbers", lambda *_, **__: quarters)
    layer = ConceptWhitening(2, ("streaks",))
    free = []
    drop_free_axes(layer, 0.5, FreeAxes.EXPECTED)
    layer.register_forward_hook(lambda _module, _inputs, output: free.append(output[:, 1].abs().amax(dim=(1, 2)) > 0))
    layer(torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)))
    assert free[0].tolist() == [False, False, True, True]
