"""What the report says about the cases of a run, where axes are active, and directions that nobody named."""

from dataclasses import dataclass

from concepts.statistics.estimate import Estimate


@dataclass(frozen=True)
class FlagFigures:
    """One of the flags that a case can raise.

    Attributes:
        flag: ``abstain``, ``conflict`` or ``out_of_scope``.
        share: Of the explained cases that raise it.
        right_where_raised: Share of right calls among these.
        right_elsewhere: And among the others.
    """

    flag: str
    share: Estimate
    right_where_raised: Estimate
    right_elsewhere: Estimate


@dataclass(frozen=True)
class CasesFigures:
    """All explained cases.

    Attributes:
        explained: How many test images were explained.
        of: How many test images there are.
        right: Share of calls that are the recorded diagnosis.
        covered: Share of cases whose set of plausible diagnoses holds the recorded one.
        flags: Each flag.
        planted_decided: On a phantom, share of the lesions decided by one concept in which that has the largest
            contribution; None elsewhere.
        planted_called: Likewise, among those that the network called as the rule has it.
    """

    explained: int
    of: int
    right: Estimate
    covered: Estimate
    flags: tuple[FlagFigures, ...]
    planted_decided: Estimate | None
    planted_called: Estimate | None


@dataclass(frozen=True)
class PointingFigures:
    """Whether the most active position of an axis lies in its concept's mask.

    Attributes:
        name: Of the concept; of all together, ``all concepts``.
        hit_rate: Share of images with a mask; None, as the next three, where there are too few.
        chance: Share of the layer's cells that the mask touches.
        grad_cam: The hit rate of Grad-CAM of the plain network at the same layer.
        above_grad_cam: Difference, paired.
        reason: Why there is none, or None.
    """

    name: str
    hit_rate: Estimate | None
    chance: Estimate | None
    grad_cam: Estimate | None
    above_grad_cam: Estimate | None
    reason: str | None


@dataclass(frozen=True)
class CourseFigures:
    """How often a concept that a lower layer got wrong is right at the highest, and the other way round."""

    concept: str
    layer: str
    corrected: Estimate | None
    spoilt: Estimate | None


@dataclass(frozen=True)
class RelationFigures:
    """What a direction goes with, and whether by more than chance."""

    trait: str
    kind: str
    correlation: Estimate
    beyond_chance: bool


@dataclass(frozen=True)
class PatchPicture:
    """A test image on which a direction is most active, with the picture of the place."""

    image_id: str
    diagnosis: str
    patch: str


@dataclass(frozen=True)
class DirectionFigures:
    """A direction among the axes without a name.

    Attributes:
        name: What the run calls it.
        share_of_slope: Share of the squared slope of all free axes that lies along it, 0 to 1.
        importance: By diagnosis, and overall: loss ratio, and the middle 95 % of random free directions.
        relations: Strongest first.
        patches: Most active first.
    """

    name: str
    share_of_slope: float
    importance: tuple[tuple[str, Estimate, float, float], ...]
    relations: tuple[RelationFigures, ...]
    patches: tuple[PatchPicture, ...]


@dataclass(frozen=True)
class Explained:
    """The report's part on cases and on what nobody named; each part is empty or None where a run has none."""

    cases: CasesFigures | None
    pointing: tuple[PointingFigures, ...]
    courses: tuple[CourseFigures, ...]
    directions: tuple[DirectionFigures, ...]
    relations_compared: int
