"""What a report says, without how it looks: every number an `Estimate`, every name fit for people.

`compose` makes it of a run folder; HTML, CSV and whatever comes later only read it. It is JSON-able by
`dataclasses.asdict`: pictures are file names, not pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from concepts.example import AgreementEntry, ConceptEntry, Origin
from concepts.release import Release
from concepts.statistics.estimate import Estimate, is_known
from pipeline.report.explained_content import Explained
from pipeline.report.scrutiny_content import Scrutiny
from pipeline.report.shortcut_content import ShortcutAudit, Suppression
from pipeline.results.axes import AxisVerdict
from pipeline.results.evaluation import Evaluation
from pipeline.results.names import Names


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
    verdict: AxisVerdict

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
        evaluation: The networks on the test images, and the named axes.
        release: The concept release that the axes were aligned with.
        names: What people call concepts and diagnoses.
        exemplars: By concept identifier.
        permutations: How often each axis was permuted.
        tcav: The plain network tested with concept activation vectors; empty where it was not asked for.
        explained: Cases, where axes are active, and directions that nobody named.
        scrutiny: Sanity checks, stability and failures.
        shortcuts: The audit of artefacts; None where the run was explained before there was one.
        suppressed: What the network is kept from seeing; None where nothing was suppressed.
    """

    provenance: Provenance
    architecture: str
    evaluation: Evaluation
    release: Release
    names: Names
    importance: tuple[ImportancePanel, ...]
    permutations: int
    tcav: tuple[TcavPanel, ...]
    exemplars: Mapping[str, tuple[Exemplar, ...]]
    explained: Explained
    scrutiny: Scrutiny
    shortcuts: ShortcutAudit | None = None
    suppressed: Suppression | None = None

    @property
    def entries(self) -> dict[str, ConceptEntry]:
        """What the release declares of each concept that has an axis, in axis order."""
        declared = {entry.id: entry for entry in self.release.concepts}
        return {concept: declared[concept] for concept in self.evaluation.axes.purity}

    @property
    def agreement(self) -> dict[str, AgreementEntry]:
        """How far readers agreed, by concept; empty where the examples do not come from readers of a store."""
        return {entry.concept: entry for entry in self.release.agreement or ()}

    @property
    def has_marked_concepts(self) -> bool:
        """Whether there are concepts that were marked where they are present and nowhere else."""
        return any(entry.origin is Origin.MARKED for entry in self.entries.values())
