"""What artefacts do on test images: a linear network, whose changes are known by thought."""

from math import log

import numpy as np
import pytest
import torch
from fake_artefacts import MadeLesion, artefact_maps, dealt_part, labelled_part, reading_outputs
from fakes import made_data

from pipeline.data.splits import Part
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace, axis_space
from pipeline.explanation.shortcuts.figures import (
    DONORS,
    REPAINTED,
    ArtefactMeasures,
    accuracy,
    draw_donors,
    loss_ratios,
    mean_changes,
)
from pipeline.explanation.shortcuts.repainting import Repainting

AXIS = axis_space(1, 2)
DIAGNOSES = ["melanoma"] * 3 + ["nevus"] * 3
INK = [1, 0, 0, 0, 0, 0]
"""The only image with ink is a melanoma, so no nevus has a donor."""


@pytest.fixture
def measures():
    """The log-odds of melanoma are the first axis plus twice the second, along which ink adds 3."""
    maps = torch.tensor([[0.5, 3.0], [0.2, 0.0], [-1.0, 0.0], [0.0, 0.0], [0.3, 0.0], [-0.4, 0.0]]).double()
    return ArtefactMeasures(labelled_part(DIAGNOSES, {"ink": INK}), reading_outputs(maps, (1.0, 2.0)))


def values(figures):
    return [figure.value for figure in figures], [figure.n for figure in figures]


def test_taken_out_is_the_change_in_images_with_the_artefact(measures):
    assert values(measures.taken_out("ink", AXIS)) == ([-6.0, 6.0], [1, 1])


def test_put_in_is_the_change_in_images_without_it_that_have_a_donor(measures):
    assert values(measures.put_in("ink", AXIS)) == ([6.0, -6.0], [2, 2])


def test_where_no_image_has_the_artefact_nothing_is_taken_out_or_put_in(measures):
    bare = ArtefactMeasures(labelled_part(DIAGNOSES, {"ink": [0] * 6}), measures.outputs)
    for figures in (bare.taken_out("ink", AXIS), bare.put_in("ink", AXIS)):
        assert all(np.isnan(figure.value) and figure.n == 0 for figure in figures)


def test_what_is_taken_out_and_put_in_is_what_the_artefact_adds_among_noise():
    """It adds 2 along its axis, which the log-odds of melanoma read with a weight of 2: 4 nats out, 4 nats in."""
    part = dealt_part(Part.TEST, 200, tied=["ink"])
    outputs = reading_outputs(artefact_maps(part.artefacts), (1.0, 0.0, 2.0))
    measures = ArtefactMeasures(part, outputs)
    out, into = (change("ink", axis_space(2, 6))[0] for change in (measures.taken_out, measures.put_in))
    assert out.value == pytest.approx(-4, abs=0.3)
    assert into.value == pytest.approx(4, abs=0.3)
    assert out.low < out.value < out.high
    labels = part.artefacts.column("ink")
    assert (out.n, into.n) == ((labels == 1).sum(), (labels == 0).sum())


def test_what_is_not_read_does_nothing():
    part = dealt_part(Part.TEST, 80)
    measures = ArtefactMeasures(part, reading_outputs(artefact_maps(part.artefacts), (1.0, 0.0, 2.0)))
    space = axis_space(3, 6)
    for figure in (*measures.taken_out("hair", space), *measures.put_in("hair", space)):
        assert figure.value == pytest.approx(0, abs=1e-12)
    for figure in measures.loss_ratios(space):
        assert figure.value == pytest.approx(1, abs=1e-12)


def test_an_artefact_is_read_where_it_lies_and_nowhere_else(measures):
    reading = measures.reading("ink", AXIS)
    assert (reading.value, reading.n) == (1.0, 6)
    assert measures.reading("ink", axis_space(0, 2)).value == pytest.approx(0.8), "one image has a larger square"


def test_images_whose_label_is_not_known_are_left_out(measures):
    part = labelled_part(DIAGNOSES, {"ink": [1, np.nan, 0, 0, 0, np.nan]})
    unknown = ArtefactMeasures(part, measures.outputs)
    assert unknown.reading("ink", AXIS).n == 4
    assert unknown.taken_out("ink", AXIS)[0].n == 1
    assert unknown.put_in("ink", AXIS)[0].n == 1


def test_the_loss_ratio_is_the_balanced_loss_without_over_the_loss_with():
    """Each image at log-odds 0 loses log 2; at log-odds l of its own diagnosis, log(1 + exp(-l))."""
    data = made_data(["melanoma", "nevus", "nevus", "nevus"])
    logits = torch.tensor([[3.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    melanoma, nevus = loss_ratios(logits, torch.zeros(4, 2), data)
    intact = (log(1 + np.exp(-3)) + log(1 + np.exp(-1))) / 2
    assert melanoma.value == pytest.approx(log(2) / intact)
    assert nevus.value == pytest.approx(log(2) / intact)
    assert melanoma.n == 4
    assert len(melanoma.replicates) == data.resamples


def test_the_loss_ratio_of_an_artefact_sets_its_directions_to_their_reference(measures):
    """With ink at its reference of 3 in all images, nevi lose more."""
    shifted = ArtefactSpace(AXIS.directions, torch.tensor([3.0]).double(), torch.ones(1).double())
    inked = measures.outputs.logits.clone()
    inked[1:, 0] += 6.0
    assert measures.loss_ratios(shifted)[1].value == pytest.approx(
        loss_ratios(measures.outputs.logits, inked, measures.part.data)[1].value
    )
    assert measures.loss_ratios(shifted)[1].value > 1


def test_donors_have_the_artefact_and_the_same_diagnosis():
    labels = np.array([1.0, 0.0, 1.0, 0.0, np.nan, 0.0, 1.0])
    diagnoses = np.array([0, 0, 0, 1, 0, 2, 2])
    donors = draw_donors(labels, diagnoses, np.random.default_rng(0))
    assert donors.shape == (DONORS, 7) == (5, 7)
    assert set(donors[:, 1]) == {0, 2}
    assert set(donors[:, 5]) == {6}
    assert (donors[:, [0, 2, 3, 4, 6]] == -1).all()


def test_changes_are_averaged_over_the_rows_that_count_by_diagnosis():
    changes = np.array([[1.0, -1.0], [3.0, -5.0], [100.0, 100.0]])
    weights = np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 1.0], [0.0, 2.0, 1.0]] * 20)
    first, second = mean_changes(changes, np.array([True, True, False]), weights)
    assert (first.value, second.value) == (2.0, -3.0)
    assert (first.low, first.high) == (1.0, 3.0)
    assert first.n == second.n == 2


def repainted(lesions, *, shortcut=True, score=lambda lesion: 3.0 * ("ink" in lesion.artefacts)):
    def logits(changed):
        return torch.tensor([[score(lesion), 0.0] for lesion in changed])

    return Repainting(tuple(lesions), logits, shortcut)


def test_drawn_figures_are_of_images_without_and_with_the_artefact(measures):
    lesions = [MadeLesion(frozenset(["ink", "hair"]))] * 2 + [MadeLesion(frozenset(["hair"]))] * 4
    drawn_in, drawn_out = ArtefactMeasures(measures.part, measures.outputs, repainted(lesions)).drawn("ink")
    assert values(drawn_in) == ([3.0, -3.0], [4, 4])
    assert values(drawn_out) == ([-3.0, 3.0], [2, 2])


def test_no_more_than_two_hundred_images_are_drawn_again():
    size = REPAINTED + 40
    part = labelled_part(["melanoma", "nevus"] * (size // 2), {"ink": [0] * size}, resamples=20)
    outputs = reading_outputs(torch.zeros(size, 2), (1.0,))
    lesions = [MadeLesion(frozenset(), image_seed=row) for row in range(size)]
    seen = []

    def score(lesion):
        seen.append(lesion.image_seed)
        return 0.0

    drawn_in, _ = ArtefactMeasures(part, outputs, repainted(lesions, score=score)).drawn("ink")
    assert drawn_in[0].n == REPAINTED == 200
    assert len(set(seen)) == REPAINTED
    assert max(seen) >= REPAINTED, "drawn at random, not the first ones"


def test_images_that_are_not_drawn_have_no_exact_effects(measures):
    assert measures.drawn("ink") is None
    assert measures.counterpart() == {}
    lesions = repainted([MadeLesion(frozenset())] * 6, shortcut=False)
    painted = ArtefactMeasures(measures.part, measures.outputs, lesions)
    assert painted.drawn("tattoo") is None, "the phantom cannot draw it"
    assert painted.counterpart() == {}


def test_the_counterpart_is_the_same_lesions_without_the_tie(measures):
    """With the shortcut all melanomas are told from nevi; on the counterparts, whose artefacts are redrawn, none is."""
    lesions = [MadeLesion(frozenset(["ink"]), image_seed=row) for row in range(6)]

    def score(lesion):
        assert lesion.artefacts != {"ink"}
        return -1.0 if lesion.image_seed < 3 else 1.0

    maps = torch.tensor([[4.0, 0.0]] * 3 + [[-4.0, 0.0]] * 3)
    tied = ArtefactMeasures(measures.part, reading_outputs(maps, (1.0,)), repainted(lesions, score=score))
    figures = tied.counterpart()
    assert list(figures) == ["macro_auc", "balanced_accuracy"]
    for figure in figures.values():
        assert (figure.with_shortcut.value, figure.without_shortcut.value) == (1.0, 0.0)
        assert figure.difference.value == -1.0


def test_accuracy_is_macro_auc_and_balanced_accuracy():
    data = made_data(["melanoma", "melanoma", "nevus", "nevus", "nevus", "nevus"])
    logits = torch.tensor([[3.0, 0.0], [-1.0, 0.0], [-2.0, 0.0], [-2.0, 0.0], [-2.0, 0.0], [1.0, 0.0]])
    figures = accuracy(logits, data)
    assert figures["macro_auc"].value == pytest.approx(7 / 8)
    assert figures["balanced_accuracy"].value == pytest.approx((1 / 2 + 3 / 4) / 2)
