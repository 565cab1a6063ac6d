"""The loss is that of the whole batch, and of each layer's concepts where labels and masks speak of them."""

from math import log

import pytest
import torch
from fake_processes import in_processes
from torch import nn

from pipeline.choices import Activation
from pipeline.config import ConceptLossSettings
from pipeline.training.loss import TrainingLoss
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.subspaces import Subspace

LABELS = torch.tensor([0, 0, 2, 1, 0])
LOGITS = torch.linspace(-1, 2, 15).reshape(5, 3).sin()
UNDECIDED = log(2)
"""The concept loss of logits that are 0."""


@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 5.0, 0.2])])
def test_every_process_has_the_loss_of_the_whole_batch(weights):
    whole = nn.CrossEntropyLoss(weight=weights, label_smoothing=0.1)(LOGITS, LABELS)
    loss = TrainingLoss(class_weights=weights, label_smoothing=0.1)
    shares = in_processes(lambda rank: loss(LOGITS[rank::2], {"label": LABELS[rank::2]}))
    torch.testing.assert_close(torch.stack(shares), whole.expand(2))


def concept_part(maps, targets, *, concepts=("streaks",), subspaces=(), weight=0.0, region_weight=0.0):
    """What the concepts of a layer that leaves maps as they are add to the loss."""
    layer = ConceptWhitening(maps.shape[1], concepts, subspaces=subspaces, activation=Activation.MEAN, eps=0.0).eval()
    settings = ConceptLossSettings(weight=weight, region_weight=region_weight)
    loss = TrainingLoss(layers=[layer], concept_settings=settings)
    layer(maps)
    logits, labels = LOGITS[: len(maps)], LABELS[: len(maps)]
    return (loss(logits, {"label": labels} | targets) - TrainingLoss()(logits, {"label": labels})).item()


SEEN = torch.tensor([[1.0], [0.0]])
HALF = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(2, 1, 4, 4)
"""Masks of the left half."""


def test_masks_are_learnt_from_by_their_weight_where_there_are_maps():
    maps = torch.zeros(2, 3, 4, 4)
    assert concept_part(maps, {"regions": HALF}, region_weight=3.0) == pytest.approx(3 * UNDECIDED)
    assert concept_part(maps, {"regions": HALF}, weight=0.0, region_weight=0.0) == 0


def test_without_masks_only_the_labels_count():
    maps = torch.zeros(2, 3, 4, 4)
    assert concept_part(maps, {"concepts": SEEN}, weight=2.0, region_weight=3.0) == pytest.approx(2 * UNDECIDED)


def test_vectors_have_no_place_for_a_mask():
    targets = {"concepts": SEEN, "regions": HALF}
    assert concept_part(torch.zeros(2, 3), targets, weight=2.0, region_weight=3.0) == pytest.approx(2 * UNDECIDED)


def test_labels_and_masks_both_count():
    targets = {"concepts": SEEN, "regions": HALF}
    both = concept_part(torch.zeros(2, 3, 4, 4), targets, weight=2.0, region_weight=3.0)
    assert both == pytest.approx(5 * UNDECIDED)


FAMILY = {"concepts": ("network", "typical"), "subspaces": (Subspace("network", ("typical",)),)}


def test_masks_of_a_child_count_only_inside_its_parent():
    maps, stray = torch.zeros(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)
    stray[:, 1, :, 2:] = 50
    child = torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(2, 1, 4, 4)
    targets = {"regions": torch.cat([HALF, child], dim=1)}
    figures = [concept_part(x, targets, region_weight=1.0, **FAMILY) for x in (maps, stray)]
    assert figures == pytest.approx([UNDECIDED, UNDECIDED])


def test_labels_of_a_child_count_only_where_its_parent_is():
    maps, stray = torch.zeros(3, 3), torch.zeros(3, 3)
    stray[2, 1] = 50
    targets = {"concepts": torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])}
    figures = [concept_part(x, targets, weight=1.0, **FAMILY) for x in (maps, stray)]
    assert figures == pytest.approx([UNDECIDED, UNDECIDED])
