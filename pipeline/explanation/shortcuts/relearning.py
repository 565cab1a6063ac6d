"""The part of a network after its layer trained on, so that it learns what an artefact had spared it."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.data.loaders import CaseDataset, place_images
from pipeline.data.splits import Part
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.shortcuts.artefact_space import ArtefactSpace
from pipeline.explanation.shortcuts.suppression import suppress
from pipeline.models.inputs import training_loader
from pipeline.models.tail import split_at
from pipeline.run.progress import Tracker
from pipeline.training.phases import diagnosis_weights

LEARNING_RATE = 1e-3
"""Of AdamW at the start; a cosine to zero follows."""
FIRST_EPOCH = 10_000
"""Number of the first epoch, so that images are drawn and augmented otherwise than in the run's own training."""


def relearn(
    network: ExplainedNetwork, space: ArtefactSpace, *, epochs: int, weights: Tensor | None = None, tracker: Tracker
) -> None:
    """Train what comes after the layer on training images in which some directions are suppressed, in place.

    All up to the layer stays as it is, and with it every axis; statistics of normalisations stay as well. Suppression
    is done again at the end, since training would else find its way back to the directions.

    Args:
        network: Already without the directions; changed.
        space: The directions.
        epochs: Passes over the training images, augmented and balanced as in the run's training.
        weights: Of each training image, N; default: all 1. With those of `independence_weights` nothing is to be gained
            any more from what is left of an artefact.
        tracker: Where progress is shown.
    """
    module = network.module.eval()
    head, tail = split_at(module, network.layer, turns=network.settings.model.turns)
    loader = training_loader(network.settings, network.cohort, network.description, with_concepts=False)
    rule = _Loss(network, weights)
    optimizer = torch.optim.AdamW(
        [one for one in tail.parameters() if one.requires_grad],
        lr=LEARNING_RATE,
        weight_decay=network.settings.training.weight_decay,
    )
    steps = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
    with tracker.task("learning without what is suppressed", steps) as advance:
        for epoch in range(epochs):
            cast(CaseDataset, loader.dataset).set_epoch(FIRST_EPOCH + epoch)
            for batch in loader:
                with torch.no_grad():
                    maps, rest = head(place_images(batch["image"], network.device))
                    maps = space.removed(maps)
                optimizer.zero_grad()
                rule(tail(maps, rest), batch["label"].to(network.device), batch["index"]).backward()
                optimizer.step()
                schedule.step()
                advance(1)
    optimizer.zero_grad()
    suppress(module, network.layer, space)


class _Loss(nn.Module):
    """Cross-entropy in which diagnoses weigh as in the run's training, and images besides as they are told to."""

    def __init__(self, network: ExplainedNetwork, weights: Tensor | None) -> None:
        super().__init__()
        diagnoses = diagnosis_weights(network.cohort, network.settings.training.balance)
        self.diagnoses = torch.ones(len(network.cohort.classes)) if diagnoses is None else diagnoses.cpu()
        self.images = torch.ones(len(network.cohort.part(Part.TRAIN))) if weights is None else weights.float()

    def forward(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """Mean over the batch; ``rows`` are those of the training images."""
        of_diagnoses = self.diagnoses.to(logits.device)[labels]
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        return (losses * of_diagnoses * self.images[rows].to(logits.device)).sum() / of_diagnoses.sum()
