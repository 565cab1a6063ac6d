"""What a report says, without how it looks: every number an `Estimate`, every name fit for people.

`compose` makes it of a run folder; HTML, CSV and whatever comes later only read it. It is JSON-able by
`dataclasses.asdict`: pictures are file names, not pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from concepts.example import AgreementEntry, ConceptEntry, Origin
from concepts.release import Release
from pipeline.report.explained_content import Explained
from pipeline.report.shortcut_content import ShortcutAudit, Suppression
from pipeline.results.evaluation import Evaluation
from pipeline.results.importance import AxisExample, TargetImportance, TcavScore
from pipeline.results.names import Names
from pipeline.results.trust import FailuresResult, OrderStability, SanityResult


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
class RunReport:
    """All that the report of one run says.

    Attributes:
        architecture: Name of the network.
        evaluation: The networks on the test images, and the named axes.
        release: The concept release that the axes were aligned with.
        names: What people call concepts and diagnoses.
        importance: By target: a diagnosis, or ``overall``.
        permutations: How often each axis was permuted.
        planted_importance: On a phantom, by target and concept, the ratio that its rule implies; else empty.
        stability: Of the order by importance, by target; None where there is no order.
        sanity: None where it was not checked.
        exemplars: By concept, the images that activate its axis most.
        tcav: By diagnosis and concept, in the plain network; empty where it was not asked for.
        failures: Where the network is wrong.
        explained: Cases, where axes are active, and directions that nobody named.
        shortcuts: The audit of artefacts; None where the run was explained before there was one.
        suppressed: What the network is kept from seeing; None where nothing was suppressed.
        names: Of everything that the run mentions.
    """

    provenance: Provenance
    architecture: str
    evaluation: Evaluation
    release: Release
    names: Names
    importance: Mapping[str, TargetImportance]
    permutations: int
    planted_importance: Mapping[str, Mapping[str, float]]
    stability: Mapping[str, OrderStability | None]
    sanity: SanityResult | None
    exemplars: Mapping[str, tuple[AxisExample, ...]]
    tcav: Mapping[str, Mapping[str, TcavScore]]
    failures: FailuresResult
    explained: Explained
    shortcuts: ShortcutAudit | None = None
    suppressed: Suppression | None = None
    names: Names = field(default_factory=Names)

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
