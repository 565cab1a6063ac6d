"""Stand-ins for networks whose answers are known by thought: they take maps for images and whiten nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from fakes import made_data
from torch import Tensor, nn

from pipeline.choices import Activation
from pipeline.data.splits import Part
from pipeline.evaluation.evaluation_data import EvaluatedParts, EvaluationData
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.run.progress import Advance, Silent
from pipeline.whitening.layer import ConceptWhitening

BATCH = 4


class MadeNetwork(nn.Module):
    """Take N x C x H x W maps for images, leave them as they are at ``layer``, and weigh their means linearly.

    Args:
        weights: D x C, what each logit takes of the mean of each axis.
        concepts: Names of the first axes.
    """

    def __init__(self, weights: Sequence[Sequence[float]], concepts: Sequence[str] = ()) -> None:
        super().__init__()
        self.layer = ConceptWhitening(len(weights[0]), concepts, activation=Activation.MEAN, eps=0.0)
        self.read = nn.Linear(len(weights[0]), len(weights), bias=False)
        self.read.weight.data = torch.tensor(weights, dtype=torch.float32)
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        return self.read(self.layer(images).mean(dim=(2, 3)))


def made_maps(means: Sequence[Sequence[float]], size: int = 2) -> Tensor:
    """Maps, N x C x size x size, of these means over the positions."""
    return torch.tensor(means, dtype=torch.float32)[:, :, None, None].expand(-1, -1, size, size).clone()


def made_outputs(network: MadeNetwork, maps: Tensor) -> LayerOutputs:
    """What a made network gives for its images."""

    def tail(features: Tensor, rest: tuple[Tensor, ...] = ()) -> Tensor:
        return network.read(features.mean(dim=(2, 3)))

    with torch.no_grad():
        return LayerOutputs(maps, (), tail(maps), tail)


def made_parts(test: EvaluationData, *, train=None, validation=None) -> EvaluatedParts:
    """Three parts; what is not given is two images of the test part's classes without concepts shown."""

    def small(part: Part) -> EvaluationData:
        labels = np.zeros((2, len(test.concepts)))
        return made_data(test.classes[:2], labels, part=part, classes=test.classes, concepts=test.concepts)

    return EvaluatedParts(train=train or small(Part.TRAIN), validation=validation or small(Part.VALIDATION), test=test)


def made_network(
    module: MadeNetwork,
    parts: EvaluatedParts,
    images: Mapping[Part, Tensor],
    *,
    loads: list[int] | None = None,
    **more,
) -> ExplainedNetwork:
    """A made network with its images; ``loads`` gets the number of images each time some are loaded."""
    by_id = {
        sample.image_id: image
        for data in (parts.train, parts.validation, parts.test)
        for sample, image in zip(data.samples, images.get(data.part, torch.zeros(len(data), 1)), strict=True)
    }

    def load(samples):
        if loads is not None:
            loads.append(len(samples))
        rows = torch.stack([by_id[sample.image_id] for sample in samples])
        return [{"image": batch} for batch in rows.split(BATCH)]

    network = ExplainedNetwork(
        module=module,
        layer="layer",
        turns=1,
        activation=Activation.MEAN,
        description=None,
        parts=parts,
        load=load,
        display=made_picture,
        masks=no_masks,
    )
    return replace(network, **more)


def made_picture(sample) -> np.ndarray:
    """A picture of one grey, that of the last digit of the sample's identifier."""
    return np.full((8, 8, 3), 20 * int(sample.image_id[-1]), dtype=np.uint8)


def no_masks(_sample, paths) -> Tensor:
    """The masks of an image that has none."""
    return torch.full((len(paths), 8, 8), torch.nan)


class CountingTracker(Silent):
    """A tracker that keeps, by title, how much work each task announced and how much of it was reported."""

    def __init__(self) -> None:
        self.totals: dict[str, int] = {}
        self.steps: dict[str, int] = {}

    @contextmanager
    def task(self, title: str, total: int) -> Iterator[Advance]:
        self.totals[title], self.steps[title] = total, 0

        def advance(steps: int) -> None:
            self.steps[title] += steps

        yield advance


def chance(seed: int) -> Callable[..., Tensor]:
    """Normal numbers of a shape."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator)
