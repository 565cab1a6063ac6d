"""What a run found that nobody named, read from its folder; imports no torch."""

import csv
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from concepts.errors import RunError
from pipeline.run.folder import RunFolder

HIGH, LOW = "high", "low"
Figure = dict[str, float | int | None]
"""An `Estimate` as JSON has it: value, low, high, n."""


class Found(BaseModel):
    """Part of what was found: immutable, closed to keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RelationFound(Found):
    """A trait that goes with the direction: Spearman's correlation, and whether it is beyond chance (Holm)."""

    trait: str
    kind: str
    correlation: Figure
    beyond_chance: bool


class PatchFound(Found):
    """A test image on which the direction is very active, and where: fractions of the image's sides."""

    image_id: str
    diagnosis: str
    activation: float
    box: tuple[float, float, float, float]
    picture: str
    patch: str


class ImportanceFound(Found):
    """Loss ratio for one diagnosis; the middle 95 % of random free directions as null band."""

    ratio: Figure
    rank: int | None
    null: dict[str, float | None]


class DirectionFound(Found):
    """One direction among the free axes.

    Attributes:
        name: What the run calls it, e.g. ``free_1``.
        share_of_slope: Share of the mean squared slope of all free axes that lies along it, 0 to 1.
        importance: By diagnosis, and overall.
        relations: Strongest first.
        patches: Most active first.
        candidates: File with the training images at both ends.
    """

    name: str
    share_of_slope: float
    importance: dict[str, ImportanceFound]
    relations: tuple[RelationFound, ...]
    patches: tuple[PatchFound, ...]
    candidates: str


class Discovery(Found):
    """All directions of a run, the most salient first, and how many relations were looked at."""

    directions: tuple[DirectionFound, ...]
    relations_compared: int
    chosen_on: str


def read_discovery(run: RunFolder) -> Discovery | None:
    """What a run found; None where it did not look.

    Raises:
        RunError: If the file is of another version.
    """
    content: dict[str, Any] = run.read_json("explanation.json")
    if "discovery" not in content:
        return None
    try:
        return Discovery.model_validate(content["discovery"])
    except ValidationError as error:
        raise RunError(f"{run.file('explanation.json')}: not of this version; explain the run again") from error


def candidate_values(run: RunFolder, direction: DirectionFound) -> dict[str, float]:
    """How strongly the direction is active on the candidates, by SHA-256 of the image file.

    Returns:
        1 for the most active of the high end down to 0.5, and below 0.5 down to 0 for the low end: places among the
        candidates, not probabilities.

    Raises:
        RunError: If the file is missing or damaged.
    """
    path = run.file(direction.candidates)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(row["digest"], row["end"], float(row["activation"])) for row in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error!r:.60}); explain the run again") from error
    ordered = [digest for digest, _, _ in sorted(rows, key=lambda row: (row[1] == LOW, -row[2]))]
    last = max(1, len(ordered) - 1)
    return {digest: 1 - place / last for place, digest in enumerate(ordered)}
