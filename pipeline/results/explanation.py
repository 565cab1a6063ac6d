"""The file ``explanation.json``: importance, sanity, cases, failures, unnamed directions, shortcuts."""

from collections.abc import Mapping
from typing import ClassVar

from pipeline.results.cases import CasesResult, LayerCourse, PlantedCause, PointingResult
from pipeline.results.discovery import Discovery
from pipeline.results.importance import AxisExample, TargetImportance, TcavScore
from pipeline.results.result import ResultFile
from pipeline.results.shortcuts import ShortcutAudit
from pipeline.results.trust import FailuresResult, OrderStability, SanityResult


class Explanation(ResultFile):
    """The explanation of a run. A target is a diagnosis, or ``overall``.

    Attributes:
        importance: By target.
        permutations: How often each named axis was permuted.
        planted_importance: On a phantom, by target and concept, the ratio that follows from the rule by which the
            diagnoses were drawn; else empty.
        stability: By target; None where a concept has no importance.
        sanity: None where it was not asked for.
        exemplars: By concept, the most active first.
        tcav: By diagnosis and concept; empty where it was not asked for.
        cases: Figures over the explained cases.
        pointing: None where there are no masks or the layer has no positions.
        trajectories: By concept and lower layer; empty where one layer is whitened.
        planted_cause: On a phantom; else None.
        failures: Where the network is wrong.
        discovery: Directions that nobody named; None where none were looked for.
        shortcuts: The audit of artefacts.
    """

    file: ClassVar[str] = "explanation.json"
    version: ClassVar[int] = 2
    remedy: ClassVar[str] = "explain the run again: dermaxis explain {run}"

    importance: Mapping[str, TargetImportance]
    permutations: int
    planted_importance: Mapping[str, Mapping[str, float]] = {}
    stability: Mapping[str, OrderStability | None]
    sanity: SanityResult | None = None
    exemplars: Mapping[str, tuple[AxisExample, ...]]
    tcav: Mapping[str, Mapping[str, TcavScore]] = {}
    cases: CasesResult
    pointing: PointingResult | None = None
    trajectories: Mapping[str, Mapping[str, LayerCourse]] = {}
    planted_cause: PlantedCause | None = None
    failures: FailuresResult
    discovery: Discovery | None = None
    shortcuts: ShortcutAudit
