"""Discovery: what the network uses that nobody named, shown so that a clinician can name it.

Directions are chosen on validation images, their importance and relations are measured on test images, and candidate
examples of a new concept are training images, so that the next release may use them.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.choices import Activation
from pipeline.config import RunSettings
from pipeline.data.cohort import Cohort
from pipeline.data.sample import Sample
from pipeline.data.splits import Part
from pipeline.data.transforms import display_transforms
from pipeline.evaluation.evaluate import bootstrap_weights
from pipeline.evaluation.evaluation_data import class_indices
from pipeline.evaluation.outputs import LayerOutputs
from pipeline.explanation.discovery.relations import Relation, Trait, TraitKind, relations
from pipeline.explanation.discovery.salient import (
    Salient,
    coordinates,
    random_directions,
    salient_directions,
    tail_of_coordinates,
)
from pipeline.explanation.discovery.traits import known_traits
from pipeline.explanation.explained_network import ExplainedNetwork
from pipeline.explanation.importance import ImportanceTable, importance
from pipeline.explanation.permutation import Effort
from pipeline.models.state import write_tensors
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import save_picture
from pipeline.run.progress import Tracker
from pipeline.whitening.activation import axis_activations

DISCOVERY = 5
"""Distinguishes the generator of the discovery from the run's others."""
FOLDER = "discovery"
DIRECTIONS = f"{FOLDER}/directions.safetensors"
PATCHES = 6
"""Most activated test images shown for each direction."""
CANDIDATES = 24
"""Training images offered as examples, at either end."""
NULL_DIRECTIONS = 20
WINDOW = 3
"""Side of a patch in positions of the layer."""
SHOWN_RELATIONS = 8


@dataclass(frozen=True)
class Peak:
    """Where a direction is most active in an image.

    Attributes:
        activation: Of the image, pooled.
        box: x0, y0, x1, y1 around the most active position, as fractions of the image's sides as the network sees it.
    """

    activation: float
    box: tuple[float, float, float, float]


def discover(
    network: ExplainedNetwork,
    *,
    run: RunFolder,
    outputs: LayerOutputs,
    tracker: Tracker,
) -> dict[str, Any]:
    """Look for the free directions that matter most; write their patches and candidates, return what was found.

    Args:
        network: The whitened one, with its experiment and images.
        run: Where to write.
        outputs: Of the layer for the test images, in order.
        tracker: Where progress is shown.
    """
    settings, cohort = network.settings, network.cohort
    named, count = len(cohort.concepts), settings.explanation.discovered
    if count == 0 or outputs.maps.shape[1] <= named:
        return {}
    found = _salient(network, tracker)
    run.file(FOLDER).mkdir(exist_ok=True)
    write_tensors(run.file(DIRECTIONS), {"directions": found.directions, "shares": found.shares}, metadata={})
    names = [f"free_{number}" for number in range(1, len(found.directions) + 1)]
    test = cohort.part(Part.TEST)
    maps = coordinates(outputs.maps, found.directions)
    table = _importance(settings, cohort, outputs, found, names, tracker)
    linked = _relations(settings, cohort, test, outputs, maps)
    train = _train_peaks(network, found, tracker)
    entries = []
    for index, name in enumerate(names):
        patches = _patches(settings, cohort, test, maps[:, index], run=run, name=name)
        _write_candidates(run, name, cohort.part(Part.TRAIN), [peaks[index] for peaks in train])
        entries.append(
            {
                "name": name,
                "share_of_slope": float(found.shares[index]),
                "importance": {target: axes[name].to_json() for target, axes in table.axes.items()},
                "relations": [one.to_json() for one in linked[index][:SHOWN_RELATIONS]],
                "patches": patches,
                "candidates": f"{FOLDER}/{name}.csv",
            }
        )
    compared = sum(len(one) for one in linked)
    return {"discovery": {"directions": entries, "relations_compared": compared, "chosen_on": str(Part.VALIDATION)}}


def peaks_of(maps: Tensor, activation: Activation) -> list[list[Peak]]:
    """For each of N images and m directions where it is most active.

    Args:
        maps: N x m x H x W, or N x m where the layer has no positions; then the box is the whole image.
        activation: How a map becomes one number.
    """
    pooled = axis_activations(maps, activation).double().tolist()
    if maps.ndim == 2:
        return [[Peak(value, (0.0, 0.0, 1.0, 1.0)) for value in row] for row in pooled]
    height, width = maps.shape[2:]
    tops = maps.flatten(2).argmax(dim=2).tolist()
    return [
        [Peak(value, _box(top // width, top % width, height, width)) for value, top in zip(values, row, strict=True)]
        for values, row in zip(pooled, tops, strict=True)
    ]


def _box(row: int, column: int, height: int, width: int) -> tuple[float, float, float, float]:
    """A window of `WINDOW` positions around one, moved inside the image."""
    tall, wide = min(WINDOW, height), min(WINDOW, width)
    top = min(max(row - tall // 2, 0), height - tall)
    left = min(max(column - wide // 2, 0), width - wide)
    return left / width, top / height, (left + wide) / width, (top + tall) / height


def _salient(network: ExplainedNetwork, tracker: Tracker) -> Salient:
    seen = network.validation_outputs(tracker)
    with tracker.task("directions that nobody named", len(seen.maps)) as advance:
        return salient_directions(
            seen.tail,
            seen.maps,
            seen.rest,
            named=len(network.cohort.concepts),
            count=network.settings.explanation.discovered,
            advance=advance,
        )


def _importance(
    settings: RunSettings,
    cohort: Cohort,
    outputs: LayerOutputs,
    found: Salient,
    names: Sequence[str],
    tracker: Tracker,
) -> ImportanceTable:
    """Importance of the directions by permutation, against a null band of random free directions."""
    test = cohort.part(Part.TEST)
    seed = [settings.seed, DISCOVERY]
    generator = torch.Generator().manual_seed(int(np.random.default_rng(seed).integers(2**31)))
    drawn = random_directions(found.directions, named=len(cohort.concepts), count=NULL_DIRECTIONS, generator=generator)
    basis = torch.cat([found.directions, drawn])
    own = coordinates(outputs.maps, basis)
    permutations = settings.explanation.permutations
    effort = Effort(
        permutations=permutations,
        joint_permutations=1,
        free_axes=NULL_DIRECTIONS,
        free_permutations=max(2, permutations // 10),
        batch_size=128,
    )
    with tracker.task("permuting free directions", effort.passes(len(names), len(basis))) as advance:
        return importance(
            tail_of_coordinates(outputs.tail, basis),
            own,
            (outputs.maps, own, *outputs.rest),
            torch.from_numpy(class_indices(test, cohort.classes)),
            concepts=names,
            classes=cohort.classes,
            weights=bootstrap_weights(settings, cohort.groups(test)),
            generator=np.random.default_rng([*seed, 1]),
            effort=effort,
            advance=advance,
        )


def _relations(
    settings: RunSettings, cohort: Cohort, test: Sequence[Sample], outputs: LayerOutputs, maps: Tensor
) -> list[list[Relation]]:
    activation = settings.model.activation
    named = outputs.activations(activation)[:, : len(cohort.concepts)]
    axes = [Trait(concept, TraitKind.CONCEPT_AXIS, named[:, column]) for column, concept in enumerate(cohort.concepts)]
    traits = [*axes, *known_traits(cohort, test, [_shown(settings, cohort, one) for one in test])]
    pooled = axis_activations(maps, activation).double().numpy()
    return relations(pooled, traits, bootstrap_weights(settings, cohort.groups(test)))


def _train_peaks(network: ExplainedNetwork, found: Salient, tracker: Tracker) -> list[list[Peak]]:
    activation = network.settings.model.activation
    peaks: list[list[Peak]] = []
    for maps in network.train_maps(tracker):
        peaks += peaks_of(coordinates(maps, found.directions), activation)
    return peaks


def _patches(
    settings: RunSettings, cohort: Cohort, test: Sequence[Sample], maps: Tensor, *, run: RunFolder, name: str
) -> list[dict[str, Any]]:
    peaks = [row[0] for row in peaks_of(maps[:, None], settings.model.activation)]
    order = np.argsort([-one.activation for one in peaks], kind="stable")[:PATCHES]
    entries = []
    for rank, row in enumerate(order.tolist(), start=1):
        shown, peak = _shown(settings, cohort, test[row]), peaks[row]
        picture, patch = (f"{FOLDER}/{name}-{rank}{part}.jpg" for part in ("", "-patch"))
        save_picture(run, picture, shown)
        save_picture(run, patch, _cut(shown, peak.box))
        entries.append(
            {
                "image_id": test[row].image_id,
                "diagnosis": test[row].diagnosis,
                "activation": peak.activation,
                "box": list(peak.box),
                "picture": picture,
                "patch": patch,
            }
        )
    return entries


def _write_candidates(run: RunFolder, name: str, train: Sequence[Sample], peaks: Sequence[Peak]) -> None:
    """The training images at both ends, most active first, for a clinician to judge."""
    order = np.argsort([-one.activation for one in peaks], kind="stable")
    some = min(CANDIDATES, len(order) // 2)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image_id", "digest", "end", "activation", "x0", "y0", "x1", "y1"])
    for end, rows in (("high", order[:some]), ("low", order[len(order) - some :])):
        for row in rows.tolist():
            sample, peak = train[row], peaks[row]
            box = [round(one, 4) for one in peak.box]
            writer.writerow([sample.image_id, sample.digest, end, round(peak.activation, 4), *box])
    run.write_text(f"{FOLDER}/{name}.csv", text.getvalue())


def _cut(shown: NDArray[np.uint8], box: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    height, width = shown.shape[:2]
    x0, y0, x1, y1 = (round(one * side) for one, side in zip(box, (width, height) * 2, strict=True))
    return shown[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]


def _shown(settings: RunSettings, cohort: Cohort, sample: Sample) -> NDArray[np.uint8]:
    return np.asarray(display_transforms(settings.transforms)({"image": cohort.cache.get(sample)})["image"])
