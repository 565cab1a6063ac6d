"""A network cut at its layer, and the whitened network of a run with the images that it is explained on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipeline.choices import Activation
from pipeline.config import RunSettings, TransformSettings
from pipeline.data.cohort import Cohort
from pipeline.data.decoded import DecodedCache
from pipeline.data.loaders import place_images
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.data.transforms import display_transforms
from pipeline.evaluation.evaluation_data import EvaluatedParts, evaluated_parts
from pipeline.evaluation.outputs import LayerOutputs, layer_outputs
from pipeline.models.backbones import layer_name
from pipeline.models.checkpoint import ModelDescription, load_model, main_layer
from pipeline.models.inputs import evaluation_loader
from pipeline.models.tail import Head, Tail, split_at
from pipeline.run.files import MODEL, PLAIN
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Tracker
from pipeline.whitening.layer import ConceptWhitening
from pipeline.whitening.surgery import whitening_layers

MOST_CACHED_BYTES = 2 * 2**30
"""Bytes that the layer's output for all training images may take to be kept."""

Loader = Callable[[Sequence[Sample]], DataLoader[Any]]
"""Gives images as a network wants them, in order: batches with an ``image`` of N x 3 x H x W."""
Display = Callable[[Sample], NDArray[np.uint8]]
"""Gives an image as a network sees it, for people: H x W x 3."""
Masks = Callable[[Sample, Sequence[Path | None]], Tensor]
"""Gives the masks of an image's k concepts as a network sees them: k x h x w, 0 to 1; NaN where there is no file."""


@dataclass(frozen=True, eq=False, kw_only=True)
class CutNetwork:
    """A network and where it is cut.

    Attributes:
        module: The network.
        layer: Name of the module at whose output it is cut.
        turns: Over how many turns of an image the layer's output is averaged.
        activation: How the map of an axis becomes one number for each image.
    """

    module: nn.Module
    layer: str
    turns: int
    activation: Activation

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.module.parameters()).device

    @property
    def whitening(self) -> ConceptWhitening:
        """The whitening layer, where the network is cut at one."""
        return whitening_layers(self.module)[self.layer]

    @property
    def channels(self) -> int:
        """Number C of the layer's axes, named and free."""
        return self.whitening.num_features

    @cached_property
    def _sides(self) -> tuple[Head, Tail]:
        return split_at(self.module.eval(), self.layer, turns=self.turns)

    @property
    def head(self) -> Head:
        """The network up to the layer: N x 3 x H x W images become N x C x H' x W' maps, and what bypasses it."""
        return self._sides[0]

    @property
    def tail(self) -> Tail:
        """The network after the layer: the head's output becomes N x D logits."""
        return self._sides[1]


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageNetwork(CutNetwork):
    """A cut network that finds its images.

    Attributes:
        load: Gives images as it wants them.
    """

    load: Loader

    def outputs(self, samples: Sequence[Sample], *, tracker: Tracker, title: str) -> LayerOutputs:
        """Run the network on some images, in order."""
        loader = self.load(samples)
        return layer_outputs(self.module, self.layer, loader, turns=self.turns, tracker=tracker, title=title)


@dataclass(frozen=True, eq=False, kw_only=True)
class ExplainedNetwork(ImageNetwork):
    """The whitened network of a run, with the run's images.

    What it gives for the images of a part is computed once and kept, so leave its weights as they are; of a changed
    copy (`dataclasses.replace`) nothing is kept yet.

    Attributes:
        description: What its images have to be like.
        parts: The images that it was trained, chosen and tested on, with everything that is known of them.
        display: Gives an image as it sees it, for people.
        masks: Gives an image's masks as it sees them.
    """

    description: ModelDescription
    parts: EvaluatedParts
    display: Display
    masks: Masks
    _outputs: dict[Part, LayerOutputs] = field(default_factory=dict, init=False, repr=False)
    _train: list[Tensor] = field(default_factory=list, init=False, repr=False)

    def test_outputs(self, tracker: Tracker) -> LayerOutputs:
        """Return what the network gives for the test images, in order."""
        return self._outputs_of(Part.TEST, self.parts.test.samples, tracker)

    def validation_outputs(self, tracker: Tracker) -> LayerOutputs:
        """Return what the network gives for the validation images, in order."""
        return self._outputs_of(Part.VALIDATION, self.parts.validation.samples, tracker)

    def train_maps(self, tracker: Tracker) -> Iterator[Tensor]:
        """Give the layer's output for the training images, batch by batch, in order.

        Kept for the next call where all of it takes at most `MOST_CACHED_BYTES` bytes; else the network runs again.
        """
        if self._train:
            yield from self._train
            return
        samples, batches = self.parts.train.samples, []
        for maps in self._maps(samples, tracker=tracker, title="whitened network, training images"):
            if maps[0].nbytes * len(samples) <= MOST_CACHED_BYTES:
                batches.append(maps)
            yield maps
        self._train.extend(batches)

    def _outputs_of(self, part: Part, samples: Sequence[Sample], tracker: Tracker) -> LayerOutputs:
        if part not in self._outputs:
            title = f"whitened network, {part} images"
            self._outputs[part] = self.outputs(samples, tracker=tracker, title=title)
        return self._outputs[part]

    @torch.no_grad()
    def _maps(self, samples: Sequence[Sample], *, tracker: Tracker, title: str) -> Iterator[Tensor]:
        loader = self.load(samples)
        self.module.eval()
        with tracker.task(title, len(loader)) as advance:
            for batch in loader:
                maps, _ = self.head(place_images(batch["image"], self.device))
                yield maps.cpu()
                advance(1)


def open_explained(settings: RunSettings, cohort: Cohort, *, run: RunFolder) -> ExplainedNetwork:
    """Open the whitened network of a run, with the run's images.

    Raises:
        WeightsError: If the stored network is damaged.
    """
    module, description = load_model(run.path / MODEL)
    return ExplainedNetwork(
        module=module,
        layer=main_layer(module, description),
        turns=settings.model.turns,
        activation=settings.model.activation,
        description=description,
        parts=evaluated_parts(cohort, seed=settings.seed, resamples=settings.evaluation.resamples),
        load=lambda samples: evaluation_loader(settings, cohort, description, samples),
        display=display_of(settings.transforms, cohort.cache),
        masks=masks_of(settings.transforms, cohort.cache),
    )


def open_plain(settings: RunSettings, cohort: Cohort, *, run: RunFolder) -> ImageNetwork:
    """Open the plain network of a run, cut at the layer that was whitened.

    Raises:
        WeightsError: If the stored network is damaged.
    """
    module, description = load_model(run.path / PLAIN)
    return ImageNetwork(
        module=module,
        layer=layer_name(settings.model),
        turns=settings.model.turns,
        activation=settings.model.activation,
        load=lambda samples: evaluation_loader(settings, cohort, description, samples),
    )


def display_of(settings: TransformSettings, cache: DecodedCache) -> Display:
    """Return what turns a cohort's image into what its networks see of it."""
    transform = display_transforms(settings)
    return lambda sample: np.asarray(transform({"image": cache.get(sample)})["image"])


def masks_of(settings: TransformSettings, cache: DecodedCache) -> Masks:
    """Return what turns the mask files of a cohort's image into what its networks see of them."""
    transform = display_transforms(settings)

    def masks(sample: Sample, paths: Sequence[Path | None]) -> Tensor:
        item = {"image": cache.get(sample), "regions": cache.get_masks(sample, tuple(paths))}
        planes = torch.from_numpy(np.ascontiguousarray(transform(item)["regions"])) / 255
        planes[torch.tensor([path is None for path in paths])] = torch.nan
        return planes

    return masks
