"""Images of the phantom drawn again with an artefact put in or taken out, everything else as it was."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipeline.config import RunSettings
from pipeline.data.decoded import fit_square
from pipeline.data.loaders import place_images
from pipeline.data.phantom.lesion import Lesion, draw
from pipeline.data.phantom.patients import counterpart, throw_cohort
from pipeline.data.sample import Sample
from pipeline.data.transforms import eval_transforms
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.models.checkpoint import ModelDescription
from pipeline.models.tail import split_at

BATCH = 64
"""Images at a time."""


def painted_lesions(settings: RunSettings, samples: Sequence[Sample]) -> list[Lesion]:
    """The parameters from which the images of a generated cohort were drawn; empty for any other source."""
    if settings.data.source != "phantom":
        return []
    by_id = {image.image_id: image.lesion for image in throw_cohort(settings.data.phantom)}
    return [by_id[sample.image_id] for sample in samples]


def with_artefact(lesion: Lesion, artefact: str, *, present: bool) -> Lesion:
    """The same image with one artefact put in or taken out, and nothing else changed."""
    others = lesion.artefacts - {artefact}
    return replace(lesion, artefacts=others | {artefact} if present else others)


def without_shortcut(settings: RunSettings, lesions: Sequence[Lesion]) -> list[Lesion]:
    """The images as they were in the cohort without the planted shortcut; unchanged where none was planted."""
    return [counterpart(one) for one in lesions] if settings.data.phantom.shortcut is not None else list(lesions)


def network_view(settings: RunSettings, description: ModelDescription, lesions: Sequence[Lesion]) -> Tensor:
    """Drawn lesions as the network sees images of the cohort: N x 3 x size x size."""
    transform = eval_transforms(settings.transforms, description.mean, description.std)
    side = settings.transforms.size + settings.transforms.margin
    return torch.stack([transform({"image": _decoded(one, settings, side)})["image"] for one in lesions])


@torch.no_grad()
def drawn_logits(network: ExplainedNetwork, lesions: Sequence[Lesion]) -> Tensor:
    """N x D logits for lesions of the phantom, drawn for this."""
    settings = network.settings
    head, tail = split_at(network.module.eval(), network.layer, turns=settings.model.turns)
    parts = []
    for start in range(0, len(lesions), BATCH):
        images = network_view(settings, network.description, lesions[start : start + BATCH])
        parts.append(tail(*head(place_images(images, network.device))).cpu())
    return torch.cat(parts)


def _decoded(lesion: Lesion, settings: RunSettings, side: int) -> NDArray[np.uint8]:
    square = Image.fromarray(fit_square(draw(lesion).image, settings.transforms.fit))
    return np.asarray(square.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0))
