"""Stand-ins for images with artefacts, and for the phantom's lesions: labels, maps and logits known by thought."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from fakes import made_data
from torch import Tensor

from pipeline.data.splits import Part
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.shortcuts.artefacts import ArtefactLabels, LabelledPart, LabelledParts
from pipeline.results.shortcuts import LabelSource

CLASSES = ("melanoma", "nevus")
ARTEFACTS = ("ruler", "ink", "hair")


def labelled_part(
    diagnoses: Sequence[str],
    artefacts: Mapping[str, Sequence[float]],
    *,
    part: Part = Part.TEST,
    source: LabelSource = LabelSource.READERS,
    **more,
) -> LabelledPart:
    """Images of these diagnoses, and by artefact its labels."""
    labels = ArtefactLabels(tuple(artefacts), (source,) * len(artefacts), np.array(list(artefacts.values()), float).T)
    return LabelledPart(made_data(diagnoses, part=part, classes=CLASSES, **more), labels)


def dealt_part(part: Part, size: int, *, tied: Sequence[str] = (), seed: int = 0, **more) -> LabelledPart:
    """Half of the images of either diagnosis; each artefact in one of five, those that are tied in most melanomas."""
    generator = np.random.default_rng([seed, list(Part).index(part)])
    diagnoses = [CLASSES[row % 2] for row in range(size)]
    is_melanoma = np.array([diagnosis == "melanoma" for diagnosis in diagnoses])
    artefacts = {
        name: (generator.random(size) < np.where(is_melanoma & (name in tied), 0.8, 0.2)).astype(float)
        for name in ARTEFACTS
    }
    return labelled_part(diagnoses, artefacts, part=part, **more)


def dealt_parts(*, tied: Sequence[str] = (), seed: int = 0, sizes=(120, 100, 80), **more) -> LabelledParts:
    """Training, validation and test images, all with the same ties."""
    train, validation, test = (
        dealt_part(part, size, tied=tied, seed=seed, **more)
        for part, size in zip((Part.TRAIN, Part.VALIDATION, Part.TEST), sizes, strict=True)
    )
    return LabelledParts(train=train, validation=validation, test=test)


def artefact_maps(labels: ArtefactLabels, *, channels: int = 6, seed: int = 0) -> Tensor:
    """N x C x 2 x 2 white maps; artefact j adds 2 along axis j + 1."""
    size = len(labels.table)
    maps = torch.randn(size, channels, 2, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for column in range(labels.table.shape[1]):
        maps[:, column + 1] += 2.0 * torch.from_numpy(np.nan_to_num(labels.table[:, column])).view(-1, 1, 1)
    return maps


def reading_outputs(maps: Tensor, weights: Sequence[float]) -> LayerOutputs:
    """Outputs of a network whose log-odds of the first diagnosis are the axes' means, weighed."""

    def tail(features: Tensor, rest: tuple[Tensor, ...] = ()) -> Tensor:
        means = features.mean(dim=(2, 3)) if features.ndim == 4 else features
        first = means[:, : len(weights)] @ torch.tensor(weights, dtype=means.dtype)
        return torch.stack([first, torch.zeros_like(first)], dim=1)

    return LayerOutputs(maps, (), tail(maps), tail)


@dataclass(frozen=True)
class MadeLesion:
    """What of a lesion decides its artefacts."""

    artefacts: frozenset[str]
    image_seed: int = 0
