"""What a report says, without how it looks: every number an `Estimate`, every name fit for people.

`compose` makes it of a run folder; HTML, CSV and whatever comes later only read it. It is JSON-able by
`dataclasses.asdict`: pictures are file names, not pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from concepts.statistics.estimate import Estimate, is_known
from pipeline.report.explained_content import Explained
from pipeline.report.scrutiny_content import Scrutiny
from pipeline.results.discovery import Discovery
from pipeline.results.names import Names
from pipeline.results.shortcuts import ShortcutAudit, Suppression

RELIABLE_FROM = 0.7
"""Lower end of the axis AUC's interval from which an axis is called reliable."""


class Verdict(StrEnum):
    """How far the activation of an axis may be read as its concept."""

    RELIABLE = "reliable"
    WEAK = "weak"
    NOT_ASSESSABLE = "not assessable"


class Marking(StrEnum):
    """What is known about a concept in one image."""

    PRESENT = "present"
    ABSENT = "absent"
    UNMARKED = "not marked"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Named:
    """A diagnosis: its identifier and its name for people."""

    id: str
    name: str


@dataclass(frozen=True)
class PartCounts:
    """How many images a part of the cohort has.

    Attributes:
        name: ``train``, ``validation`` or ``test``.
        images: Number of images.
        groups: Number of groups (patients, lesions, near-duplicates); none is in two parts.
        diagnoses: Images by diagnosis identifier.
    """

    name: str
    images: int
    groups: int
    diagnoses: Mapping[str, int]


@dataclass(frozen=True)
class CohortFacts:
    """The images of the run.

    Attributes:
        source: The data set.
        parts: Training, validation and test part.
        grouped_by: How many images were kept together by ``patient``, ``lesion``, ``near-duplicate`` or ``none``.
    """

    source: str
    parts: tuple[PartCounts, ...]
    grouped_by: Mapping[str, int]

    def images(self, part: str) -> int:
        """Number of images in a part; 0 where the run has no such part."""
        return next((counts.images for counts in self.parts if counts.name == part), 0)


@dataclass(frozen=True)
class ReleaseFacts:
    """The concept release that the axes were aligned with."""

    name: str
    version: int
    digest: str
    licence: str
    description: str


@dataclass(frozen=True)
class NetworkFigures:
    """How well one network tells the diagnoses of the test images apart.

    Attributes:
        auc: Area under the ROC curve, one diagnosis against the rest, by diagnosis; and their mean as ``macro``.
        balanced_accuracy: Mean of the diagnoses' sensitivities.
        sensitivity_80: By diagnosis, sensitivity at 80 % specificity.
        sensitivity_90: By diagnosis, sensitivity at 90 % specificity.
        ece: Expected calibration error.
    """

    auc: Mapping[str, Estimate]
    balanced_accuracy: Estimate
    sensitivity_80: Mapping[str, Estimate]
    sensitivity_90: Mapping[str, Estimate]
    ece: Estimate


@dataclass(frozen=True)
class WhiteningFacts:
    """Where concept whitening is, and how white it is.

    Attributes:
        layer: Name of the module.
        placement: ``replace`` or ``insert``.
        activation: How a map becomes one number per image.
        channels: Number of axes, named and free.
        residual_train: |cov(z) - I| / |I|, Frobenius, on training images; 0 is perfectly white.
        residual_test: The same on test images.
        insertion_change: Largest change of a logit when the layer was put in; None where that was not measured.
    """

    layer: str
    placement: str
    activation: str
    channels: int
    residual_train: Estimate
    residual_test: Estimate
    insertion_change: float | None


FURTHER_BASELINES = ("svm_auc", "auxiliary_auc")
BASELINES = ("probe_auc", "best_filter_auc", *FURTHER_BASELINES)
"""Keys of what an axis may be compared with, in the order in which they are shown."""


@dataclass(frozen=True)
class Rival:
    """A named axis that answers to a concept better than the concept's own axis does."""

    name: str
    auc: float


@dataclass(frozen=True)
class ReaderAgreement:
    """How far readers agreed on a concept when its release was frozen.

    Attributes:
        measure: Name of the coefficient.
        value: The coefficient; n counts the images with two readers or more.
        readers: How many readers there were.
        flag: One sentence where the agreement is too low or not known; else None.
    """

    measure: str
    value: Estimate
    readers: int
    flag: str | None


@dataclass(frozen=True)
class ConceptFigures:
    """A concept, and how well its axis answers to it on test images.

    Attributes:
        id: Identifier.
        name: Name for people.
        definition: One sentence.
        origin: How its examples came about.
        rule: The rule, where it was measured or derived.
        axis_auc: AUC of the axis, present against absent, by activation.
        probe_auc: AUC of a linear probe on the plain network at the same layer.
        best_filter_auc: AUC of the plain network's best single filter there.
        further_baselines: AUC of what else the axis was compared with, by key of `FURTHER_BASELINES`.
        positives: Test images that show it.
        negatives: Test images that do not, or in which it was not marked.
        train_positives: Training images that show it.
        reason: Why it cannot be assessed; None where it can.
        rival: The named axis that answers to it better than its own.
        intra_similarity: Mean cosine similarity of the concept's images at the layer.
        agreement: How far its readers agreed; None where the examples do not come from readers of a store.
    """

    id: str
    name: str
    definition: str
    origin: str
    rule: str | None
    axis_auc: Mapping[str, Estimate]
    probe_auc: Estimate
    best_filter_auc: Estimate
    further_baselines: Mapping[str, Estimate]
    positives: int
    negatives: int
    train_positives: int
    reason: str | None
    rival: Rival | None
    intra_similarity: Estimate | None
    agreement: ReaderAgreement | None

    def verdict(self, activation: str) -> Verdict:
        """Reliable from a lower interval end of `RELIABLE_FROM` on; weak below it; or not assessable."""
        figure = self.axis_auc[activation]
        if self.reason is not None or not is_known(figure):
            return Verdict.NOT_ASSESSABLE
        return Verdict.RELIABLE if figure.low >= RELIABLE_FROM else Verdict.WEAK


@dataclass(frozen=True)
class Matrix:
    """Which axis answers to which concept.

    Attributes:
        names: Names of the concepts, in axis order.
        auc: Row i, column j: AUC of axis i for concept j; None where it cannot be assessed.
    """

    names: tuple[str, ...]
    auc: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class ConceptImportance:
    """What a diagnosis loses when one axis is permuted.

    Attributes:
        concept: Identifier.
        name: Name for people.
        ratio: Loss with the axis permuted over the loss without; 1 means no effect.
        rank: 1 for the most important named axis of the diagnosis; None where the ratio is not known.
        null_low: Lower end of the band in which single free axes lie; NaN where there are none.
        null_high: Upper end of it.
        planted: On a phantom, the ratio that follows from the rule by which the diagnoses were drawn.
        verdict: How far the axis may be read as the concept.
    """

    concept: str
    name: str
    ratio: Estimate
    rank: int | None
    null_low: float
    null_high: float
    planted: float | None
    verdict: Verdict

    @property
    def stands_out(self) -> bool:
        """Whether the whole interval lies above 1 and above the band of the free axes, where there are any."""
        top = 1.0 if self.null_high != self.null_high else max(1.0, self.null_high)
        return is_known(self.ratio) and self.ratio.low > top


@dataclass(frozen=True)
class ImportancePanel:
    """Importance for one diagnosis, or overall.

    Attributes:
        target: The diagnosis, or ``overall``.
        concepts: The named axes, the most important first.
        unnamed_share: Share of the importance that no named axis carries, 0 to 1.
    """

    target: Named
    concepts: tuple[ConceptImportance, ...]
    unnamed_share: Estimate


@dataclass(frozen=True)
class Exemplar:
    """A test image that activates an axis most.

    Attributes:
        image_id: The image.
        activation: Activation of the axis.
        percentile: Share of the test images, in percent, with at most this activation.
        marking: What is known about the concept in it.
        diagnosis: Its diagnosis, for people.
        picture: File with what the network saw, relative to the run folder.
    """

    image_id: str
    activation: float
    percentile: float
    marking: Marking
    diagnosis: str
    picture: str


@dataclass(frozen=True)
class Provenance:
    """What a reader needs to repeat the run, as ``run.json`` and ``settings.yaml`` hold it."""

    id: str
    started: str
    seed: int
    commit: str | None
    command: str
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    digests: Mapping[str, str | None]
    seconds: Mapping[str, float]
    best_epoch: Mapping[str, int]
    history: Mapping[str, tuple[Mapping[str, float | None], ...]]
    weights: Mapping[str, Any] | None
    settings: str
    resamples: int
    minimum_positives: int
    unmarked_is_absent: bool


@dataclass(frozen=True)
class LayerFigures:
    """The named axes at one of several whitened layers.

    Attributes:
        layer: The module's name.
        axis_auc: By concept identifier.
        mean: Over the assessable concepts.
    """

    layer: str
    axis_auc: Mapping[str, Estimate]
    mean: Estimate


@dataclass(frozen=True)
class ChildFigures:
    """A sub-concept, told from its siblings among the test images that show the parent.

    Attributes:
        id: Identifier.
        name: Name for people.
        sibling_auc: AUC of the child's own axis, child present against absent, among those images.
        parent_axis_auc: AUC of the parent's axis for the same; near 0.5 where the two levels are kept apart.
        positives: Images of the parent with the child.
        negatives: Images of the parent without it.
        reason: Why it cannot be assessed; None where it can.
    """

    id: str
    name: str
    sibling_auc: Estimate
    parent_axis_auc: Estimate
    positives: int
    negatives: int
    reason: str | None


@dataclass(frozen=True)
class LeakFigures:
    """The strongest answer of a subspace to a concept outside it: that of one axis, chosen among so many pairs."""

    concept: str
    axis: str
    auc: Estimate
    pairs: int


@dataclass(frozen=True)
class SubspaceFigures:
    """A concept that owns a subspace.

    Attributes:
        parent: Its name for people.
        parent_auc: AUC of its own axis, concept present against not, among all test images.
        children: Its sub-concepts.
        free: Number of its axes without a name.
        leak: None where no concept outside can be assessed.
    """

    parent: str
    parent_auc: Estimate
    children: tuple[ChildFigures, ...]
    free: int
    leak: LeakFigures | None


@dataclass(frozen=True)
class TcavRow:
    """What an after-the-fact test says of a concept and a diagnosis in the plain network.

    Attributes:
        name: Name of the concept.
        share: Share of the diagnosis's cases whose logit rises along the concept's vector.
        null_low: Lower end of the band of vectors between random images.
        null_high: Upper end of it.
    """

    name: str
    share: Estimate
    null_low: float
    null_high: float


@dataclass(frozen=True)
class TcavPanel:
    """The concepts' scores for one diagnosis."""

    target: Named
    rows: tuple[TcavRow, ...]


@dataclass(frozen=True)
class RunReport:
    """All that the report of one run says.

    Attributes:
        architecture: Name of the network.
        classes: The diagnoses, in the order of the network's outputs.
        auxiliary: The network trained on with concept outputs but without whitening; None where it was not asked for.
        difference: Macro AUC of the whitened minus that of the plain network, on the same test images.
        purity_mean: Mean over the assessable concepts of axis AUC (configured activation), probe and best filter.
        layers: Where several layers are whitened, all of them in the order of the network; else empty.
        inter_similarity: By two concept identifiers, the mean cosine similarity of their images at the layer.
        exemplars: By concept identifier.
        permutations: How often each axis was permuted.
        tcav: The plain network tested with concept activation vectors; empty where it was not asked for.
        subspaces: Concepts that own more than one axis; empty where there are none.
        explained: Cases, and where axes are active.
        scrutiny: Sanity checks, stability, subgroups, failures, and how far labels alone go.
        shortcuts: The audit of artefacts.
        discovery: Directions that nobody named; None where none were looked for.
        suppressed: What the network is kept from seeing; None where nothing was suppressed.
        names: Of everything that the run mentions.
    """

    provenance: Provenance
    architecture: str
    cohort: CohortFacts
    release: ReleaseFacts
    classes: tuple[Named, ...]
    plain: NetworkFigures
    whitened: NetworkFigures
    auxiliary: NetworkFigures | None
    difference: Estimate
    whitening: WhiteningFacts
    concepts: tuple[ConceptFigures, ...]
    purity_mean: Mapping[str, Estimate]
    layers: tuple[LayerFigures, ...]
    matrix: Matrix
    inter_similarity: Mapping[str, Mapping[str, float | None]]
    importance: tuple[ImportancePanel, ...]
    permutations: int
    tcav: tuple[TcavPanel, ...]
    exemplars: Mapping[str, tuple[Exemplar, ...]]
    explained: Explained
    scrutiny: Scrutiny
    shortcuts: ShortcutAudit

    subspaces: tuple[SubspaceFigures, ...] = ()
    discovery: Discovery | None = None
    suppressed: Suppression | None = None
    names: Names = field(default_factory=Names)

    def verdict(self, concept: ConceptFigures) -> Verdict:
        """The verdict on a concept's axis, by the configured activation."""
        return concept.verdict(self.whitening.activation)
