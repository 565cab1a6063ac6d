"""How well each named axis answers to its concept, and to no other, on test images."""

from collections.abc import Mapping
from enum import StrEnum
from math import isfinite

from concepts.statistics.estimate import Estimate, is_known
from pipeline.results.result import Figure, Number, Result

RELIABLE_FROM = 0.7
"""Lower end of the axis AUC's interval from which an axis is called reliable."""


class AxisVerdict(StrEnum):
    """How far the activation of an axis may be read as its concept."""

    RELIABLE = "reliable"
    WEAK = "weak"
    NOT_ASSESSABLE = "not assessable"


class AxisBaselines(Result):
    """AUC for the same concept of what an axis is compared with, on the same test images.

    Attributes:
        probe: Logistic regression on the plain network's features at the layer.
        best_filter: The plain network's best single filter there, chosen on training images.
        svm: Linear support vector machine on the same features; None where it was not computed.
        concept_head: The output of the network trained with concept outputs and without whitening; None likewise.
    """

    probe: Figure
    best_filter: Figure
    svm: Figure | None = None
    concept_head: Figure | None = None

    @property
    def computed(self) -> dict[str, Estimate]:
        """Those that were computed, by field."""
        return {name: figure for name, figure in self if figure is not None}


class AxisPurity(Result):
    """A concept's axis on test images.

    Attributes:
        axis_auc: AUC of the axis, concept present against not, by activation.
        baselines: What the axis is compared with.
        positives: Test images that show the concept.
        negatives: Test images that do not, or in which it was not marked.
        train_positives: Training images that show it.
        reason: Why the axis cannot be assessed; None where it can.
    """

    axis_auc: Mapping[str, Figure]
    baselines: AxisBaselines
    positives: int
    negatives: int
    train_positives: int
    reason: str | None

    @property
    def is_assessable(self) -> bool:
        """Whether there are enough examples to judge the axis."""
        return self.reason is None

    def verdict(self, activation: str) -> AxisVerdict:
        """Judge the axis by one activation: reliable where the interval lies at or above `RELIABLE_FROM`."""
        figure = self.axis_auc[activation]
        if not (self.is_assessable and is_known(figure)):
            return AxisVerdict.NOT_ASSESSABLE
        return AxisVerdict.RELIABLE if figure.low >= RELIABLE_FROM else AxisVerdict.WEAK


class MeanPurity(Result):
    """Means over the assessable concepts.

    Attributes:
        axis_auc: Of the axes, by activation.
        baselines: Of what they are compared with.
    """

    axis_auc: Mapping[str, Figure]
    baselines: AxisBaselines


class AucMatrix(Result):
    """Which axis answers to which concept.

    Attributes:
        concepts: Identifiers, in axis order.
        auc: Row i, column j: AUC of axis i for concept j; NaN where it cannot be assessed.
    """

    concepts: tuple[str, ...]
    auc: tuple[tuple[Number, ...], ...]

    def of(self, axis: str, concept: str) -> float:
        """Return the AUC of one concept's axis for another concept."""
        return self.auc[self.concepts.index(axis)][self.concepts.index(concept)]

    def rival(self, concept: str, parent: str | None = None) -> str | None:
        """Return the axis that answers best to a concept, where that is not the concept's own.

        Args:
            concept: Which concept.
            parent: The broader concept, if any. That an image shows the parent is half of what makes the child, so the
                parent's axis is no rival.

        Example:
            >>> matrix = AucMatrix(concepts=("streaks", "globules"), auc=((0.6, 0.5), (0.7, 0.8)))
            >>> matrix.rival("streaks")
            'globules'
            >>> matrix.rival("globules") is None
            True
        """
        others = [axis for axis in self.concepts if axis not in (concept, parent) and isfinite(self.of(axis, concept))]
        best = max(others, key=lambda axis: self.of(axis, concept), default=None)
        return best if best is not None and self.of(best, concept) > self.of(concept, concept) else None


class ConceptSimilarity(Result):
    """Mean cosine similarity of the layer's features between images that show concepts.

    Attributes:
        intra: By concept, between its own images.
        inter: By two concepts, between the images of one and those of the other.
    """

    intra: Mapping[str, Figure]
    inter: Mapping[str, Mapping[str, Number]]


class ChildPurity(Result):
    """A sub-concept, told from its siblings among the test images that show the parent.

    Attributes:
        sibling_auc: AUC of the child's own axis, child present against absent, among those images.
        parent_axis_auc: AUC of the parent's axis for the same; near 0.5 where the two levels are kept apart.
        positives: Images of the parent with the child.
        negatives: Images of the parent without it.
        reason: Why it cannot be assessed; None where it can.
    """

    sibling_auc: Figure
    parent_axis_auc: Figure
    positives: int
    negatives: int
    reason: str | None


class SubspaceLeak(Result):
    """The strongest answer of a subspace to a concept outside it.

    Attributes:
        concept: The concept outside.
        axis: The axis inside: a concept, or ``free axis 1`` and so on.
        auc: Of this axis for this concept; of all pairs the farthest from 0.5.
        pairs: Among how many pairs of an axis and a concept it was chosen.
    """

    concept: str
    axis: str
    auc: Figure
    pairs: int


class SubspacePurity(Result):
    """A concept that owns a subspace.

    Attributes:
        children: Its sub-concepts, by identifier.
        free: Number of its axes without a name.
        leak: None where no concept outside can be assessed.
    """

    children: Mapping[str, ChildPurity]
    free: int
    leak: SubspaceLeak | None


class AxesResult(Result):
    """The named axes of the whitened layer.

    Attributes:
        purity: By concept identifier, in axis order.
        mean: Over the assessable concepts.
        matrix: Every named axis for every concept.
        similarity: Between the concepts' images at the layer.
        subspaces: By parent concept; empty where no concept owns more than one axis.
    """

    purity: Mapping[str, AxisPurity]
    mean: MeanPurity
    matrix: AucMatrix
    similarity: ConceptSimilarity
    subspaces: Mapping[str, SubspacePurity]
