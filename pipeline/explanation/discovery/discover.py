"""Discovery: what the network uses that nobody named, shown so that a clinician can name it.

Directions are chosen on validation images, their importance and relations are measured on test images, and candidate
examples of a new concept are training images, so that the next release may use them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.choices import Activation
from pipeline.config import ExplanationSettings
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.evaluation.evaluation_data import EvaluationData
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.discovery.files import (
    DIRECTIONS,
    FOLDER,
    HIGH,
    LOW,
    Box,
    Candidate,
    candidates_file,
    write_candidates,
)
from pipeline.explanation.discovery.relations import relations
from pipeline.explanation.discovery.salient import (
    Salient,
    coordinates,
    random_directions,
    salient_directions,
    tail_of_coordinates,
)
from pipeline.explanation.discovery.traits import Trait, axis_traits, image_traits
from pipeline.explanation.explained_network import Display, ExplainedNetwork
from pipeline.explanation.importance import importance
from pipeline.explanation.permutation import Effort
from pipeline.models.state import write_tensors
from pipeline.results.discovery import Direction, DirectionPatch, Discovery
from pipeline.results.importance import AxisImportance
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import save_picture
from pipeline.run.progress import Tracker
from pipeline.run.seeds import Stream, random_generator, torch_seed
from pipeline.whitening.activation import axis_activations

PATCHES = 6
"""Most activated test images shown for each direction."""
CANDIDATES = 24
"""Training images offered as examples, at either end."""
NULL_DIRECTIONS = 20
"""Random free directions of which the null band is made."""
WINDOW = 3
"""Side of a patch in positions of the layer."""
MOST_RELATIONS = 8
"""Relations listed for each direction."""
TAIL_BATCH = 128
"""Images that the tail takes at a time."""
WHOLE_IMAGE: Box = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True)
class Peak:
    """Where a direction is most active in an image.

    Attributes:
        activation: Of the image, pooled.
        box: Around the most active position, as fractions of the image's sides as the network sees it.
    """

    activation: float
    box: Box


def discover(
    network: ExplainedNetwork, *, settings: ExplanationSettings, root: Path, run: RunFolder, tracker: Tracker
) -> Discovery | None:
    """Look for the free directions that matter most; write their patches and candidates into the run folder.

    Args:
        network: The whitened one, with its images.
        settings: How many directions, and with how many permutations.
        root: Folder of the cohort, which tells a phantom's artefacts.
        run: Where to write.
        tracker: Shows progress.

    Returns:
        None where none are asked for, or the layer has no free axis.
    """
    test, outputs = network.parts.test, network.test_outputs(tracker)
    named = len(test.concepts)
    if settings.discovered == 0 or outputs.maps.shape[1] <= named:
        return None
    salient = find_directions(network, settings.discovered, tracker)
    run.file(FOLDER).mkdir(exist_ok=True)
    write_tensors(run.file(DIRECTIONS), {"directions": salient.directions, "shares": salient.shares}, metadata={})
    basis = direction_basis(salient, named=named, seed=test.seed)
    effort = planned_effort(settings.permutations)
    with tracker.task("permuting free directions", effort.passes(len(salient.shares), len(basis))) as advance:
        tables = direction_importance(basis, len(salient.shares), outputs, test, effort=effort, advance=advance)
    traits = [
        *axis_traits(test.concepts, outputs.activations(network.activation)),
        *image_traits(test, root, [network.display(sample) for sample in test.samples]),
    ]
    maps = coordinates(outputs.maps, salient.directions)
    discovery = describe_directions(salient.shares, tables, maps, test, traits=traits, activation=network.activation)
    write_patches(run, discovery, test.samples, network.display)
    peaks = direction_peaks(network.train_maps(tracker), salient.directions, network.activation)
    for direction, column in zip(discovery.directions, peaks, strict=True):
        write_candidates(run, direction.name, candidates_of(network.parts.train.samples, column))
    return discovery


def find_directions(network: ExplainedNetwork, count: int, tracker: Tracker) -> Salient:
    """Choose on validation images the free directions along which the diagnosis changes most."""
    outputs = network.validation_outputs(tracker)
    with tracker.task("directions that nobody named", len(outputs.maps)) as advance:
        return salient_directions(
            outputs.tail,
            outputs.maps,
            outputs.rest,
            named=len(network.parts.validation.concepts),
            count=count,
            advance=advance,
        )


def direction_basis(salient: Salient, *, named: int, seed: int) -> Tensor:
    """Add to the m directions random free ones that make up the null band: at most (m + `NULL_DIRECTIONS`) x C."""
    generator = torch.Generator().manual_seed(torch_seed(seed, Stream.DISCOVERY))
    drawn = random_directions(salient.directions, named=named, count=NULL_DIRECTIONS, generator=generator)
    return torch.cat([salient.directions, drawn])


def planned_effort(permutations: int) -> Effort:
    """Plan few passes for each of the random directions, and none to speak of for joint permutations."""
    return Effort(
        permutations=permutations,
        joint_permutations=1,
        free_axes=NULL_DIRECTIONS,
        free_permutations=max(2, permutations // 10),
        batch_size=TAIL_BATCH,
    )


def direction_importance(
    basis: Tensor,
    count: int,
    outputs: LayerOutputs,
    data: EvaluationData,
    *,
    effort: Effort,
    advance: Callable[[int], None] | None = None,
) -> list[dict[str, AxisImportance]]:
    """Measure the importance of directions by permutation, against a null band of random free directions.

    Args:
        basis: From `direction_basis`: first the m directions, then the random ones.
        count: m.
        outputs: Of the layer for N images.
        data: The N images.
        effort: How much is computed.
        advance: Called with 1 after each pass.

    Returns:
        For each direction its importance by target.
    """
    names = [direction_name(index) for index in range(count)]
    along = coordinates(outputs.maps, basis)
    table = importance(
        tail_of_coordinates(outputs.tail, basis),
        along,
        (outputs.maps, along, *outputs.rest),
        torch.from_numpy(data.labels),
        concepts=names,
        classes=data.classes,
        weights=data.weights,
        generator=random_generator(data.seed, Stream.DISCOVERY_IMPORTANCE),
        effort=effort,
        advance=advance,
    )
    return [{target: importance.concepts[name] for target, importance in table.targets.items()} for name in names]


def describe_directions(
    shares: Tensor,
    tables: Sequence[Mapping[str, AxisImportance]],
    maps: Tensor,
    data: EvaluationData,
    *,
    traits: Sequence[Trait],
    activation: Activation,
) -> Discovery:
    """Put together what is known of each of m directions on test images.

    Args:
        shares: m, see `Salient`.
        tables: Importance of each direction by target.
        maps: N x m x H x W or N x m, coordinates of the layer's output along the directions.
        data: The N test images.
        traits: Of the same images.
        activation: How a map becomes one number.
    """
    related = relations(axis_activations(maps, activation).double().numpy(), traits, data.weights)
    peaks = list(zip(*peaks_of(maps, activation), strict=True))
    directions = []
    for index, share in enumerate(shares.tolist()):
        name = direction_name(index)
        directions.append(
            Direction(
                name=name,
                share_of_slope=share,
                importance=tables[index],
                relations=tuple(related[index][:MOST_RELATIONS]),
                patches=patches_of(name, data.samples, peaks[index]),
                candidates=candidates_file(name),
            )
        )
    return Discovery(
        directions=tuple(directions),
        relations_compared=sum(len(listed) for listed in related),
        chosen_on=str(Part.VALIDATION),
    )


def direction_name(index: int) -> str:
    """Name the directions of a run, the most salient first: ``free_1``, ``free_2``."""
    return f"free_{index + 1}"


def peaks_of(maps: Tensor, activation: Activation) -> list[list[Peak]]:
    """Find for each of N images where each of m directions is most active.

    Args:
        maps: N x m x H x W, or N x m where the layer has no positions; then the box is the whole image.
        activation: How a map becomes one number.
    """
    pooled = axis_activations(maps, activation).double().tolist()
    if maps.ndim == 2:
        return [[Peak(value, WHOLE_IMAGE) for value in row] for row in pooled]
    height, width = maps.shape[2:]
    tops = maps.flatten(2).argmax(dim=2).tolist()
    return [
        [Peak(value, _box(top // width, top % width, height, width)) for value, top in zip(values, row, strict=True)]
        for values, row in zip(pooled, tops, strict=True)
    ]


def direction_peaks(batches: Iterable[Tensor], directions: Tensor, activation: Activation) -> list[list[Peak]]:
    """Find for each of m directions where it is most active in each of N images.

    Args:
        batches: The layer's output, batch by batch.
        directions: m x C.
        activation: How a map becomes one number.
    """
    peaks = [row for maps in batches for row in peaks_of(coordinates(maps, directions), activation)]
    return [list(column) for column in zip(*peaks, strict=True)]


def patches_of(name: str, samples: Sequence[Sample], peaks: Sequence[Peak]) -> tuple[DirectionPatch, ...]:
    """List the images on which a direction is most active, the most active first.

    Args:
        name: Of the direction.
        samples: N images.
        peaks: N, where the direction is most active in each.
    """
    return tuple(
        DirectionPatch(
            image_id=samples[row].image_id,
            diagnosis=samples[row].diagnosis,
            activation=peaks[row].activation,
            box=peaks[row].box,
            picture=f"{FOLDER}/{name}-{rank}.jpg",
            patch=f"{FOLDER}/{name}-{rank}-patch.jpg",
        )
        for rank, row in enumerate(_most_active_first(peaks)[:PATCHES], start=1)
    )


def candidates_of(samples: Sequence[Sample], peaks: Sequence[Peak]) -> list[Candidate]:
    """Choose the images at both ends of a direction, most active first, for a clinician to judge.

    Args:
        samples: N images.
        peaks: N, where the direction is most active in each.

    Returns:
        At most `CANDIDATES` of either end; no image is in both.
    """
    order = _most_active_first(peaks)
    count = min(CANDIDATES, len(order) // 2)
    ends = [(HIGH, row) for row in order[:count]] + [(LOW, row) for row in order[len(order) - count :]]
    return [
        Candidate(samples[row].image_id, samples[row].digest, end, peaks[row].activation, peaks[row].box)
        for end, row in ends
    ]


def cut_out(picture: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
    """Cut a box out of a picture, H x W x 3; at least one pixel."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = (round(end * side) for end, side in zip(box, (width, height) * 2, strict=True))
    return picture[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def write_patches(run: RunFolder, discovery: Discovery, samples: Sequence[Sample], display: Display) -> None:
    """Write the pictures of all patches, and what lies in their boxes."""
    by_id = {sample.image_id: sample for sample in samples}
    for direction in discovery.directions:
        for patch in direction.patches:
            picture = display(by_id[patch.image_id])
            save_picture(run, patch.picture, picture)
            save_picture(run, patch.patch, cut_out(picture, patch.box))


def _most_active_first(peaks: Sequence[Peak]) -> list[int]:
    return np.argsort([-peak.activation for peak in peaks], kind="stable").tolist()


def _box(row: int, column: int, height: int, width: int) -> Box:
    """Return a window of `WINDOW` positions around one, moved inside the image."""
    tall, wide = min(WINDOW, height), min(WINDOW, width)
    top = min(max(row - tall // 2, 0), height - tall)
    left = min(max(column - wide // 2, 0), width - wide)
    return left / width, top / height, (left + wide) / width, (top + tall) / height
