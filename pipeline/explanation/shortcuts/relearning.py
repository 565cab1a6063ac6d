"""Training of what comes after a layer, so that it learns what an artefact had spared it."""

import math
from typing import cast

import torch
from torch import Tensor, nn

from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.loaders import CaseDataset, place_images
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
"""Number of the first epoch, so that images are drawn and augmented differently from the run's own training."""


def relearn(
    network: ExplainedNetwork,
    space: ArtefactSpace,
    settings: RunSettings,
    cohort: Cohort,
    *,
    epochs: int,
    weights: Tensor,
    tracker: Tracker,
) -> None:
    """Train what comes after the layer on training images in which some directions are suppressed, in place.

    Everything up to the layer stays as it is, and with it every axis; statistics of normalisations stay as well.
    Suppression is done again at the end, since training would otherwise find its way back to the directions.

    Args:
        network: Already without the directions; changed.
        space: The directions.
        settings: Of the run's training.
        cohort: Whose training part is loaded.
        epochs: Passes over the training images, augmented and balanced as in the run's training.
        weights: Of each training image, N. With those of `independence_weights` the remains of an
            artefact no longer help to tell the diagnoses apart.
        tracker: Shows progress.
    """
    module = network.module.eval()
    head, tail = split_at(module, network.layer, turns=network.turns)
    loader = training_loader(settings, cohort, network.description, with_concepts=False)
    loss = WeightedLoss(diagnosis_weights(cohort, settings.training.balance), weights.float())
    optimizer = torch.optim.AdamW(
        [parameter for parameter in tail.parameters() if parameter.requires_grad],
        lr=LEARNING_RATE,
        weight_decay=settings.training.weight_decay,
    )
    steps = epochs * len(loader)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / steps)) / 2)
    with tracker.task("training what comes after the layer", steps) as advance:
        for epoch in range(epochs):
            cast(CaseDataset, loader.dataset).set_epoch(FIRST_EPOCH + epoch)
            for batch in loader:
                with torch.no_grad():
                    maps, rest = head(place_images(batch["image"], network.device))
                    maps = space.removed(maps)
                optimizer.zero_grad()
                loss(tail(maps, rest), batch["label"].to(network.device), batch["index"]).backward()
                optimizer.step()
                schedule.step()
                advance(1)
    optimizer.zero_grad()
    suppress(module, network.layer, space)


class WeightedLoss(nn.Module):
    """Cross-entropy in which each diagnosis and each image has a weight.

    Args:
        diagnoses: D, as in the run's training; None: all 1.
        images: N, of the training images.
    """

    def __init__(self, diagnoses: Tensor | None, images: Tensor) -> None:
        super().__init__()
        self.diagnoses, self.images = None if diagnoses is None else diagnoses.cpu(), images

    def forward(self, logits: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """Average over a batch; an image's weight changes what it adds, not what the sum is divided by.

        Args:
            logits: M x D.
            labels: M indices of diagnoses.
            rows: M, which of the training images they are.
        """
        ones = torch.ones(logits.shape[1])
        of_diagnoses = (ones if self.diagnoses is None else self.diagnoses).to(logits.device)[labels]
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        return (losses * of_diagnoses * self.images[rows].to(logits.device)).sum() / of_diagnoses.sum()
