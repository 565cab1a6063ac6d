"""Directions that the network uses and nobody named, as ``explanation.json`` has them."""

from collections.abc import Mapping
from enum import StrEnum

from pipeline.results.importance import AxisImportance
from pipeline.results.result import Figure, Result


class TraitKind(StrEnum):
    """Where a trait comes from."""

    CONCEPT_AXIS = "concept_axis"
    """Activation of a named axis."""
    CONCEPT = "concept"
    """What the release says."""
    ARTEFACT = "artefact"
    """What was planted, or is labelled, of artefacts."""
    METADATA = "metadata"
    """Age, sex, site and the like."""
    PICTURE = "picture"
    """Measured on the picture."""


class TraitRelation(Result):
    """A trait that goes with a direction.

    Attributes:
        trait: Which: a concept, an artefact, age, a measure of the picture.
        kind: Where it comes from.
        correlation: Spearman's, -1 to 1, on test images.
        beyond_chance: Whether it differs from 0 by Holm's procedure over all relations that were compared.
    """

    trait: str
    kind: TraitKind
    correlation: Figure
    beyond_chance: bool


class DirectionPatch(Result):
    """A test image on which a direction is very active, and where.

    Attributes:
        image_id: Which image.
        diagnosis: Its recorded diagnosis.
        activation: Of the direction, pooled.
        box: x0, y0, x1, y1 as fractions of the image's sides.
        picture: File with what the network saw, in the run folder.
        patch: File with the box alone.
    """

    image_id: str
    diagnosis: str
    activation: float
    box: tuple[float, float, float, float]
    picture: str
    patch: str


class Direction(Result):
    """One direction among the free axes.

    Attributes:
        name: What the run calls it, e.g. ``free_1``.
        share_of_slope: Share of the mean squared slope of all free axes that lies along it, 0 to 1.
        importance: By target; the null band is of random free directions.
        relations: The strongest first.
        patches: The most active first.
        candidates: File with the training images at both ends.
    """

    name: str
    share_of_slope: float
    importance: Mapping[str, AxisImportance]
    relations: tuple[TraitRelation, ...]
    patches: tuple[DirectionPatch, ...]
    candidates: str


class Discovery(Result):
    """All directions of a run.

    Attributes:
        directions: The most salient first.
        relations_compared: How many relations were compared.
        chosen_on: The part on whose images the directions were chosen.
    """

    directions: tuple[Direction, ...]
    relations_compared: int
    chosen_on: str
