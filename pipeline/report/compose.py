"""A run folder becomes the content of its report."""

from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from concepts.errors import RunError
from concepts.release import Release, read_release
from concepts.vocabulary import load_vocabulary
from pipeline.config import RunSettings
from pipeline.report.content import Provenance, RunReport
from pipeline.report.explained_compose import compose_explained
from pipeline.report.shortcut_compose import compose_shortcuts, compose_suppression
from pipeline.report.tree import Tree
from pipeline.results.evaluation import Evaluation
from pipeline.results.importance import AxisExample, TargetImportance, TcavScore
from pipeline.results.names import names_of
from pipeline.results.trust import FailuresResult, OrderStability, SanityResult
from pipeline.report.content import (
    BASELINES,
    FURTHER_BASELINES,
    ChildFigures,
    CohortFacts,
    ConceptFigures,
    ConceptImportance,
    Exemplar,
    ImportancePanel,
    LayerFigures,
    LeakFigures,
    Marking,
    Matrix,
    Named,
    NetworkFigures,
    PartCounts,
    Provenance,
    ReaderAgreement,
    ReleaseFacts,
    Rival,
    RunReport,
    SubspaceFigures,
    TcavPanel,
    TcavRow,
    Verdict,
    WhiteningFacts,
)
from pipeline.explanation.discovery.files import read_discovery
from pipeline.report.explained_compose import compose_explained
from pipeline.report.scrutiny_compose import compose_scrutiny
from pipeline.report.sentences.results import OVERALL
from pipeline.report.tree import Tree
from pipeline.results.names import names_of
from pipeline.results.shortcuts import ShortcutAudit, suppression_of
from pipeline.run.folder import RunFolder

T = TypeVar("T")


def compose(run: RunFolder) -> RunReport:
    """Read a run that was evaluated and explained.

    Raises:
        RunError: If a file is missing or damaged, or lacks something; names the file and the key.
        ReleaseError: If the release was altered.
    """
    evaluation = run.read(Evaluation)
    explanation, record = (_tree(run, name) for name in ("explanation.json", "run.json"))
    release = read_release(run.file("release.json"))
    _refuse_undeclared(evaluation, release, run)
    names = {entry.id: entry.name for entry in release.concepts}
    settings = run.settings()
    return RunReport(
        provenance=_provenance(run, record, settings),
        architecture=settings.model.architecture,
        evaluation=evaluation,
        release=release,
        names=names_of(release),
        importance=_read(dict[str, TargetImportance], explanation["importance"]),
        permutations=_read(int, explanation["permutations"]),
        planted_importance=_read(dict[str, dict[str, float]], explanation["planted_importance"]),
        stability=_read(dict[str, OrderStability | None], explanation["stability"]),
        sanity=None if explanation["sanity"].content is None else _read(SanityResult, explanation["sanity"]),
        exemplars=_read(dict[str, tuple[AxisExample, ...]], explanation["exemplars"]),
        tcav=_read(dict[str, dict[str, TcavScore]], explanation["tcav"]),
        failures=_read(FailuresResult, explanation["failures"]),
        explained=compose_explained(explanation, names, diagnosis_name),
        shortcuts=compose_shortcuts(explanation, names, diagnosis_name),
        suppressed=compose_suppression(record, names, diagnosis_name),
    )


def _refuse_undeclared(evaluation: Evaluation, release: Release, run: RunFolder) -> None:
    undeclared = [concept for concept in evaluation.axes.purity if concept not in release.concept_ids]
    if undeclared:
        raise RunError(
            f"{run.file(evaluation.file)}: '{undeclared[0]}' is not in the run's release.json; evaluate the run again"
        )


def diagnosis_name(identifier: str) -> str:
    """The vocabulary's name of a diagnosis; of one that it does not know, the identifier without underscores."""
    known = load_vocabulary().diagnoses.get(identifier)
    return known.name if known else identifier.replace("_", " ")


def _tree(run: RunFolder, name: str) -> Tree:
    return Tree(run.read_json(name), f"{run.file(name)}:")


def _read(kind: type[T], tree: Tree) -> T:
    try:
        return TypeAdapter(kind).validate_python(tree.content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join([tree.place, *(str(part) for part in first["loc"])])
        raise RunError(f"{key}: {first['msg'].lower()}; explain the run again") from error


def _provenance(run: RunFolder, record: Tree, settings: RunSettings) -> Provenance:
    content = record.content
    return Provenance(
        id=record["id"].content,
        started=record["started"].content,
        seed=int(record["seed"].content),
        commit=content.get("commit"),
        command=content.get("command", ""),
        versions=record["versions"].content,
        machine=content.get("machine", {}),
        digests=record["digests"].content,
        seconds=content.get("seconds", {}),
        best_epoch=content.get("best_epoch", {}),
        history={phase: tuple(epochs) for phase, epochs in content.get("history", {}).items()},
        weights=content.get("weights"),
        settings=run.file("settings.yaml").read_text(encoding="utf-8"),
        resamples=settings.evaluation.resamples,
        minimum_positives=settings.concepts.minimum_positives,
        unmarked_is_absent=settings.concepts.unmarked_is_absent,
    )
