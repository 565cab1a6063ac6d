"""A whitened network as the audit of artefacts sees it: cut at its layer, with its images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.loaders import place_images
from pipeline.data.phantom.lesion import Lesion
from pipeline.data.sample import Sample
from pipeline.evaluation.outputs import LayerOutputs, layer_outputs
from pipeline.explanation.artefact_space import ArtefactSpace
from pipeline.explanation.repainting import network_view
from pipeline.models.checkpoint import ModelDescription
from pipeline.models.tail import split_at
from pipeline.progress import Tracker
from pipeline.training.phases import evaluation_loader
from pipeline.whitening.surgery import whitening_layers

BATCH = 64
"""Images at a time."""


@dataclass(frozen=True)
class AuditedNetwork:
    """A network, where it is cut, and what goes with it.

    Attributes:
        settings: The experiment.
        cohort: Its images.
        module: The network.
        description: Its description.
        layer: Name of the whitened layer.
    """

    settings: RunSettings
    cohort: Cohort
    module: nn.Module
    description: ModelDescription
    layer: str

    @property
    def channels(self) -> int:
        """C of the layer."""
        return whitening_layers(self.module)[self.layer].num_features

    def outputs(self, samples: Sequence[Sample], *, tracker: Tracker, title: str) -> LayerOutputs:
        """What the network gives for some of its images."""
        loader = evaluation_loader(self.settings, self.cohort, self.description, samples)
        turns = self.settings.model.turns
        return layer_outputs(self.module, self.layer, loader, turns=turns, tracker=tracker, title=title)

    @torch.no_grad()
    def maps(self, samples: Sequence[Sample], *, tracker: Tracker, title: str) -> Iterator[Tensor]:
        """The layer's output for some images, batch by batch, so that not all need be kept."""
        head, _ = split_at(self.module.eval(), self.layer, turns=self.settings.model.turns)
        loader = evaluation_loader(self.settings, self.cohort, self.description, samples)
        with tracker.task(title, len(loader)) as advance:
            for batch in loader:
                maps, _ = head(place_images(batch["image"], self._device))
                yield maps.cpu()
                advance(1)

    @torch.no_grad()
    def drawn_logits(self, lesions: Sequence[Lesion]) -> Tensor:
        """N x D logits for lesions of the phantom, drawn for this."""
        head, tail = split_at(self.module.eval(), self.layer, turns=self.settings.model.turns)
        parts = []
        for start in range(0, len(lesions), BATCH):
            images = network_view(self.settings, self.description, lesions[start : start + BATCH])
            parts.append(tail(*head(place_images(images, self._device))).cpu())
        return torch.cat(parts)

    @property
    def _device(self) -> torch.device:
        return next(self.module.parameters()).device


@torch.no_grad()
def logits_without(outputs: LayerOutputs, space: ArtefactSpace) -> Tensor:
    """N x D logits with an artefact's directions set to their reference."""
    parts = []
    for start in range(0, len(outputs.maps), BATCH):
        rows = slice(start, start + BATCH)
        maps = space.removed(outputs.maps[rows])
        parts.append(outputs.tail(maps, tuple(one[rows] for one in outputs.rest)).cpu())
    return torch.cat(parts)
