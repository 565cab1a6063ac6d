"""The explanation of one case, as the run folder holds it."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from pipeline.results.result import Figure, Result

FORMAT = 2


class ConceptState(StrEnum):
    """What the network's axis says about a concept in one image."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    NOT_ASSESSABLE = "not_assessable"


class DiagnosisContent(Result):
    """One diagnosis of the differential.

    Attributes:
        diagnosis: Which.
        probability: Calibrated, 0 to 1.
        plausible: Whether it is in the set that holds the true diagnosis in nine of ten cases.
        baseline: Log-odds against all others, in nats, with every axis at its reference.
        outcome: Log-odds as the network gives them, before calibration.
    """

    diagnosis: str
    probability: float
    plausible: bool
    baseline: float
    outcome: float


class ContributionContent(Result):
    """What one player contributes to one diagnosis, in nats of log-odds.

    Attributes:
        share: Shapley value; over the players these add up to ``outcome - baseline``.
        error: Standard error of the share; 0 where it is exact.
        alone: What the log-odds lose when this player alone is switched off.
    """

    share: float
    error: float
    alone: float


class EvidenceContent(Result):
    """The map of an axis over the image, at the layer's resolution.

    Attributes:
        height: Cells.
        width: Cells.
        low: Value of a cell whose byte is 0, in standard deviations of the whitened space.
        high: Value of a cell whose byte is 255.
        cells: Base64 of height x width bytes, row by row.
        averaged_over: Side, in cells, of the square over which each cell was averaged; 1: none.
    """

    height: int
    width: int
    low: float
    high: float
    cells: str
    averaged_over: int = 1


class StageContent(Result):
    """A concept at one of several whitened layers.

    Attributes:
        layer: Name of the layer.
        activation: Of the concept's axis there, in standard deviations of the whitened space.
        percentile: Share of the validation images with at most this activation, in percent; None where unknown.
        state: What the axis says there.
    """

    layer: str
    activation: float
    percentile: float | None
    state: ConceptState

    def is_right(self, label: bool | None) -> bool | None:
        """Return whether the state is what the label says; None where there is no label, or no clear state."""
        if label is None or self.state not in (ConceptState.PRESENT, ConceptState.ABSENT):
            return None
        return (self.state is ConceptState.PRESENT) == label


class ConceptContent(Result):
    """One concept in one image.

    Attributes:
        concept: Which.
        name: What people call it.
        activation: Of its axis, in standard deviations of the whitened space.
        percentile: Share of the validation images with at most this activation, in percent; None where unknown.
        state: Present, absent, uncertain or not assessable.
        label: What the release says: true shows it, false does not, None not known. Not seen by the network.
        auc: Of the axis on test images, with interval and n; None where it cannot be assessed.
        positives: Test images that show the concept.
        reason: Why the axis cannot be assessed, or None.
        agreement: Of the concept's readers, with interval and n, where the release has it.
        contributions: By diagnosis.
        evidence: Where the axis is active; None where the layer has no positions.
        stages: From the lowest whitened layer to the highest, where there are several.
    """

    concept: str
    name: str
    activation: float
    percentile: float | None
    state: ConceptState
    label: bool | None
    auc: Figure | None
    positives: int
    reason: str | None
    agreement: Figure | None
    contributions: dict[str, ContributionContent]
    evidence: EvidenceContent | None
    stages: tuple[StageContent, ...] = ()


class ShiftContent(Result):
    """By how much one named axis moves, in standard deviations of the whitened space."""

    concept: str
    shift: float


class FlipContent(Result):
    """The smallest change of named axes that was found to change the call.

    Attributes:
        diagnosis: The call after it.
        size: Its length over all named axes, in standard deviations of the whitened space.
        shifts: Of every named axis, the largest first.
    """

    diagnosis: str
    size: float
    shifts: tuple[ShiftContent, ...]


class NeighbourContent(Result):
    """A training image of the release that is near in the named axes.

    Attributes:
        image_id: Which.
        diagnosis: What it is.
        shows: Concepts that the release says it shows.
        distance: In units of each axis's spread.
    """

    image_id: str
    diagnosis: str
    shows: tuple[str, ...]
    distance: float


class QualityContent(Result):
    """One measurement of the picture.

    Attributes:
        measure: Its name, among those of `pipeline.images.measures.quality`.
        value: In the measure's own unit.
        percentile: Among the validation images; None where unknown.
        unusual: Whether it is unusual among the validation images; of an artefact, whether it is detected.
    """

    measure: str
    value: float
    percentile: float | None
    unusual: bool


class ScopeContent(Result):
    """How far the image lies from what the network was trained on.

    Attributes:
        distance: Squared Mahalanobis distance from the training images, per axis; about 1 is usual.
        percentile: Among the validation images.
        out_of_scope: Whether it is further than 99 % of them.
    """

    distance: float
    percentile: float | None
    out_of_scope: bool


class ConceptOnlyContent(Result):
    """What the named concepts alone say about the diagnosis.

    Attributes:
        diagnosis: The most probable one by them.
        probability: Of it, 0 to 1.
        conflict: Whether the network's call is another one, and implausible by them.
    """

    diagnosis: str
    probability: float
    conflict: bool


class CaseContent(Result):
    """One case, explained.

    Attributes:
        image_id: Which image.
        digest: SHA-256 of its file.
        run: Of which run the network is.
        release: Digest of the concept release that the network was trained with.
        part: ``test`` and the like for an image of the cohort, None for any other.
        reference: What the lesion is, where it is known. Not seen by the network.
        picture: File beside the case with the image as the network sees it.
        call: The most probable diagnosis.
        abstain: Whether more than one diagnosis is plausible.
        differential: Most probable first.
        scope: How far from the training images.
        quality: Of the picture.
        concepts: In axis order.
        free: What all axes without a name contribute, by diagnosis.
        concept_only: What the concepts alone would say, where that could be fitted.
        flip: What would change the call; None where nothing within six standard deviations was found.
        supporting: Nearest examples with the called diagnosis.
        opposing: Nearest examples with another one.
    """

    format: Annotated[int, Field(ge=FORMAT, le=FORMAT)] = FORMAT
    image_id: str
    digest: str
    run: str
    release: str
    part: str | None
    reference: str | None
    picture: str | None
    call: str
    abstain: bool
    differential: tuple[DiagnosisContent, ...]
    scope: ScopeContent
    quality: tuple[QualityContent, ...]
    concepts: tuple[ConceptContent, ...]
    free: dict[str, ContributionContent]
    concept_only: ConceptOnlyContent | None
    flip: FlipContent | None
    supporting: tuple[NeighbourContent, ...]
    opposing: tuple[NeighbourContent, ...]

    @property
    def wrong(self) -> bool | None:
        """Whether the call differs from the reference; None where that is not known."""
        return None if self.reference is None else self.call != self.reference

    @property
    def conflict(self) -> bool:
        """Whether concepts and diagnosis disagree."""
        return self.concept_only is not None and self.concept_only.conflict

    def row(self) -> dict[str, Any]:
        """Return the case as one row of the list of cases."""
        return {
            "image_id": self.image_id,
            "part": self.part,
            "reference": self.reference,
            "call": self.call,
            "probability": self.differential[0].probability,
            "wrong": self.wrong,
            "abstain": self.abstain,
            "out_of_scope": self.scope.out_of_scope,
            "conflict": self.conflict,
            "unusual_picture": any(measurement.unusual for measurement in self.quality),
            **{f"state_{entry.concept}": str(entry.state) for entry in self.concepts},
            **{f"activation_{entry.concept}": entry.activation for entry in self.concepts},
        }
