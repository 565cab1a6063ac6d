"""A run folder becomes the content of its report."""

from collections.abc import Mapping
from typing import Any

from concepts.errors import RunError
from concepts.example import Polarity
from concepts.release import Release, read_release
from concepts.vocabulary import load_vocabulary
from pipeline.config import RunSettings
from pipeline.report.content import (
    ConceptImportance,
    Exemplar,
    ImportancePanel,
    Marking,
    Named,
    Provenance,
    RunReport,
    TcavPanel,
    TcavRow,
)
from pipeline.report.explained_compose import compose_explained
from pipeline.report.scrutiny_compose import compose_scrutiny
from pipeline.report.sentences.results import OVERALL
from pipeline.report.shortcut_compose import compose_shortcuts, compose_suppression
from pipeline.report.tree import Tree
from pipeline.results.axes import AxisVerdict
from pipeline.results.evaluation import Evaluation
from pipeline.results.names import names_of
from pipeline.run.folder import RunFolder

UNNAMED = "unnamed_share"
ALL_DIAGNOSES = "all diagnoses"
MARKINGS = {
    Polarity.PRESENT: Marking.PRESENT,
    Polarity.ABSENT: Marking.ABSENT,
    Polarity.UNMARKED: Marking.UNMARKED,
}


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
    classes = tuple(Named(diagnosis, diagnosis_name(diagnosis)) for diagnosis in evaluation.classes)
    verdicts = {concept: evaluation.verdict(concept) for concept in evaluation.axes.purity}
    settings = run.settings()
    return RunReport(
        provenance=_provenance(run, record, settings),
        architecture=settings.model.architecture,
        evaluation=evaluation,
        release=release,
        names=names_of(release),
        importance=_importance(explanation, classes, names=names, verdicts=verdicts),
        permutations=int(explanation["permutations"].content),
        tcav=_tcav(explanation["tcav"], classes, names) if "tcav" in explanation else (),
        exemplars=_exemplars(explanation["exemplars"], release),
        explained=compose_explained(explanation, names, diagnosis_name),
        scrutiny=compose_scrutiny(run, explanation, names=names, target=target_name),
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


def target_name(identifier: str) -> str:
    """The name of a diagnosis, or of all of them together."""
    return ALL_DIAGNOSES if identifier == OVERALL else diagnosis_name(identifier)


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


def _tcav(tree: Tree, classes: tuple[Named, ...], names: Mapping[str, str]) -> tuple[TcavPanel, ...]:
    return tuple(
        TcavPanel(
            target,
            tuple(
                TcavRow(
                    names.get(concept, concept),
                    row["share"].estimate(),
                    float(row["null"]["low"].content),
                    float(row["null"]["high"].content),
                )
                for concept, row in tree[target.id].items()
            ),
        )
        for target in classes
        if target.id in tree
    )


def _importance(
    explanation: Tree, classes: tuple[Named, ...], *, names: Mapping[str, str], verdicts: Mapping[str, AxisVerdict]
) -> tuple[ImportancePanel, ...]:
    targets = (Named(OVERALL, ALL_DIAGNOSES), *classes)
    truth = explanation.content.get("truth", {}).get("importance", {})
    return tuple(
        ImportancePanel(
            target=target,
            concepts=_ranked(explanation["importance"][target.id], truth.get(target.id, {}), names, verdicts),
            unnamed_share=explanation["importance"][target.id][UNNAMED].estimate(),
        )
        for target in targets
    )


def _ranked(
    tree: Tree, truth: Mapping[str, float], names: Mapping[str, str], verdicts: Mapping[str, AxisVerdict]
) -> tuple[ConceptImportance, ...]:
    rows = [
        ConceptImportance(
            concept=concept,
            name=names.get(concept, concept),
            ratio=figures["ratio"].estimate(),
            rank=figures["rank"].content,
            null_low=_number(figures["null"]["low"].content),
            null_high=_number(figures["null"]["high"].content),
            planted=truth.get(concept),
            verdict=verdicts.get(concept, AxisVerdict.NOT_ASSESSABLE),
        )
        for concept, figures in tree.items()
        if concept != UNNAMED
    ]
    return tuple(sorted(rows, key=lambda row: row.rank or len(rows) + 1))


def _number(content: float | None) -> float:
    return float("nan") if content is None else float(content)


def _exemplars(tree: Tree, release: Release) -> dict[str, tuple[Exemplar, ...]]:
    markings = {(example.concept, example.image_id): MARKINGS[example.polarity] for example in release.examples}
    return {
        concept: tuple(_exemplar(one, markings.get((concept, one["image_id"]))) for one in images.content)
        for concept, images in tree.items()
    }


def _exemplar(content: Mapping[str, Any], marking: Marking | None) -> Exemplar:
    by_label = {1: Marking.PRESENT, 0: Marking.UNMARKED, None: Marking.UNKNOWN}
    return Exemplar(
        image_id=content["image_id"],
        activation=float(content["activation"]),
        percentile=float(content["percentile"]),
        marking=marking or by_label.get(content["label"], Marking.UNKNOWN),
        diagnosis=diagnosis_name(content["diagnosis"]),
        picture=content["picture"],
    )
