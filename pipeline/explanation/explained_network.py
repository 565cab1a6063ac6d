"""A whitened network as its explanations see it: cut at its layer, with its images."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.loaders import place_images
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.evaluation.outputs import LayerOutputs, layer_outputs
from pipeline.models.checkpoint import ModelDescription, load_model, main_layer
from pipeline.models.inputs import evaluation_loader
from pipeline.models.tail import split_at
from pipeline.run.files import MODEL
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.whitening.surgery import whitening_layers

KEPT = 2 * 2**30
"""Bytes that the layer's output for all training images may take to be kept."""


@dataclass(frozen=True)
class ExplainedNetwork:
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
    _validation: list[LayerOutputs] = field(default_factory=list, init=False, repr=False, compare=False)
    _train: list[Tensor] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.module.parameters()).device

    @property
    def channels(self) -> int:
        """C of the layer."""
        return whitening_layers(self.module)[self.layer].num_features

    def outputs(self, samples: Sequence[Sample], *, tracker: Tracker, title: str) -> LayerOutputs:
        """What the network gives for some of its images."""
        loader = evaluation_loader(self.settings, self.cohort, self.description, samples)
        turns = self.settings.model.turns
        return layer_outputs(self.module, self.layer, loader, turns=turns, tracker=tracker, title=title)

    def validation_outputs(self, tracker: Tracker) -> LayerOutputs:
        """What the network gives for the validation images; run once and kept, so leave the network as it is then."""
        if not self._validation:
            samples = self.cohort.part(Part.VALIDATION)
            self._validation.append(self.outputs(samples, tracker=tracker, title="whitened network, validation images"))
        return self._validation[0]

    def train_maps(self, tracker: Tracker) -> Iterator[Tensor]:
        """The layer's output for the training images, batch by batch; leave the network as it is between calls.

        Kept for the next call where all of it takes at most `KEPT` bytes; else the network runs again.
        """
        if self._train:
            yield from self._train
            return
        samples, parts = self.cohort.part(Part.TRAIN), []
        for maps in self._maps(samples, tracker=tracker, title="whitened network, training images"):
            if maps[0].nbytes * len(samples) <= KEPT:
                parts.append(maps)
            yield maps
        self._train.extend(parts)

    @torch.no_grad()
    def _maps(self, samples: Sequence[Sample], *, tracker: Tracker, title: str) -> Iterator[Tensor]:
        head, _ = split_at(self.module.eval(), self.layer, turns=self.settings.model.turns)
        loader = evaluation_loader(self.settings, self.cohort, self.description, samples)
        with tracker.task(title, len(loader)) as advance:
            for batch in loader:
                maps, _ = head(place_images(batch["image"], self.device))
                yield maps.cpu()
                advance(1)


def open_explained(settings: RunSettings, cohort: Cohort, *, run: RunFolder) -> ExplainedNetwork:
    """The whitened network of a run, with the run's images.

    Raises:
        WeightsError: If the stored network is damaged.
    """
    network, description = load_model(run.path / MODEL)
    return ExplainedNetwork(settings, cohort, network, description, main_layer(network, description))
