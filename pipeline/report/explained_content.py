"""What the report says about the cases of a run and where axes are active."""

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
class Explained:
    """The report's part on cases; each part is empty or None where a run has none."""

    cases: CasesFigures | None
    pointing: tuple[PointingFigures, ...]
    courses: tuple[CourseFigures, ...]
