"""Images of the phantom drawn again with an artefact put in or taken out, everything else as it was."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from pipeline.config import DataSettings, TransformSettings
from pipeline.data.decoded import image_square
from pipeline.data.loaders import place_images
from pipeline.data.phantom.lesion import Lesion, draw
from pipeline.data.phantom.patients import throw_cohort
from pipeline.data.sample import Sample
from pipeline.data.transforms import eval_transforms
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.models.checkpoint import ModelDescription

BATCH = 64
"""Images at a time."""


@dataclass(frozen=True)
class Repainting:
    """Test images that can be drawn again.

    Attributes:
        lesions: N, from which the images were drawn, in order.
        logits_of: Gives M x D logits for M lesions drawn for this.
        has_shortcut: Whether a shortcut was planted in the images.
    """

    lesions: tuple[Lesion, ...]
    logits_of: Callable[[Sequence[Lesion]], Tensor]
    has_shortcut: bool


def repainting_of(network: ExplainedNetwork, settings: DataSettings) -> Repainting | None:
    """Return what draws a network's test images again; None where they are not of the phantom."""
    lesions = painted_lesions(settings, network.parts.test.samples)
    if not lesions:
        return None
    shortcut = settings.phantom.shortcut is not None
    return Repainting(tuple(lesions), lambda changed: drawn_logits(network, changed), shortcut)


def painted_lesions(settings: DataSettings, samples: Sequence[Sample]) -> list[Lesion]:
    """Return the lesions from which the images of a generated cohort were drawn; empty for any other source."""
    if settings.source != "phantom":
        return []
    by_id = {image.image_id: image.lesion for image in throw_cohort(settings.phantom)}
    return [by_id[sample.image_id] for sample in samples]


def with_artefact(lesion: Lesion, artefact: str, *, present: bool) -> Lesion:
    """Put one artefact in or take it out, and change nothing else of an image."""
    others = lesion.artefacts - {artefact}
    return replace(lesion, artefacts=others | {artefact} if present else others)


def network_view(description: ModelDescription, lesions: Sequence[Lesion]) -> Tensor:
    """Draw lesions as the network sees images of the cohort: N x 3 x size x size."""
    settings = TransformSettings(size=description.size, margin=description.margin, fit=description.fit)
    transform = eval_transforms(settings, description.mean, description.std)
    side = settings.size + settings.margin
    squares = (image_square(Image.fromarray(draw(lesion).image), size=side, fit=settings.fit) for lesion in lesions)
    return torch.stack([transform({"image": square})["image"] for square in squares])


@torch.no_grad()
def drawn_logits(network: ExplainedNetwork, lesions: Sequence[Lesion]) -> Tensor:
    """Return N x D logits for lesions of the phantom, drawn for this."""
    network.module.eval()
    logits = []
    for start in range(0, len(lesions), BATCH):
        images = network_view(network.description, lesions[start : start + BATCH])
        logits.append(network.tail(*network.head(place_images(images, network.device))).cpu())
    return torch.cat(logits)
