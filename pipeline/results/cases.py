"""Figures over the explained cases of a run: flags, evidence maps, layers, planted causes."""

from collections.abc import Mapping

from pipeline.results.result import Figure, Result


class FlagRates(Result):
    """One of the flags that a case can raise.

    Attributes:
        share: Of the explained cases that raise it.
        right_where_raised: Share of right calls among these.
        right_elsewhere: And among the others.
    """

    share: Figure
    right_where_raised: Figure
    right_elsewhere: Figure


class CasesResult(Result):
    """All explained cases.

    Attributes:
        n: How many test images were explained.
        of: How many test images there are.
        right: Share of calls that are the recorded diagnosis.
        plausible_set_covers: Share of cases whose set of plausible diagnoses holds the recorded one.
        abstain: More than one diagnosis is plausible.
        conflict: The named concepts alone make the call implausible.
        out_of_scope: The image is far from the training images.
    """

    n: int
    of: int
    right: Figure
    plausible_set_covers: Figure
    abstain: FlagRates
    conflict: FlagRates
    out_of_scope: FlagRates


class PointingRates(Result):
    """Whether the most active position of an axis lies in its concept's mask.

    Attributes:
        hit_rate: Share of images with a mask; None, as the next three, where there are too few.
        chance: Share of the layer's cells that the mask touches.
        grad_cam: The hit rate of Grad-CAM of the plain network at the same layer.
        above_grad_cam: The first minus the third, paired.
        width: Cells over whose square the map was averaged; None of all concepts together.
        reason: Why there are no figures; None where there are.
    """

    hit_rate: Figure | None
    chance: Figure | None
    grad_cam: Figure | None
    above_grad_cam: Figure | None
    width: int | None = None
    reason: str | None = None


class PointingResult(Result):
    """The pointing game.

    Attributes:
        concepts: By concept.
        overall: Over all concepts; None where no concept has figures.
    """

    concepts: Mapping[str, PointingRates]
    overall: PointingRates | None


class LayerCourse(Result):
    """What the highest whitened layer makes of what a lower one said.

    Attributes:
        corrected: Share of the lower layer's mistakes that the highest corrects; None where there are none.
        spoilt: Share of what was right below and is wrong at the highest; None likewise.
        examples: Images that were corrected.
    """

    corrected: Figure | None
    spoilt: Figure | None
    examples: tuple[str, ...]


class PlantedCause(Result):
    """On a phantom, how often the planted cause has the largest contribution.

    Attributes:
        decided: Among lesions that one concept decided by the rule.
        decided_and_called: Among those that the network called as the rule has it.
    """

    decided: Figure
    decided_and_called: Figure
