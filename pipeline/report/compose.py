"""A run folder becomes the content of its report."""

from collections.abc import Mapping
from math import nan
from typing import Any

from concepts.errors import RunError
from concepts.example import Polarity
from concepts.release import Release, read_release
from concepts.statistics.estimate import Estimate
from concepts.vocabulary import load_vocabulary
from pipeline.config import RunSettings
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

PARTS = ("train", "validation", "test")
UNNAMED = "unnamed_share"
AUXILIARY = "auxiliary"
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
    evaluation, explanation, record = (_tree(run, name) for name in ("evaluation.json", "explanation.json", "run.json"))
    release = read_release(run.file("release.json"))
    names = {entry.id: entry.name for entry in release.concepts}
    classes = tuple(Named(one, diagnosis_name(one)) for one in evaluation["classes"].content)
    whitening = _whitening(evaluation["whitening"])
    concepts = tuple(
        _concept(name, tree, release=release, evaluation=evaluation) for name, tree in evaluation["purity"].items()
    )
    verdicts = {concept.id: concept.verdict(whitening.activation) for concept in concepts}
    settings = run.settings()
    return RunReport(
        provenance=_provenance(run, record, settings),
        architecture=settings.model.architecture,
        cohort=_cohort(evaluation["cohort"]),
        release=ReleaseFacts(release.name, release.version, release.digest, release.licence, release.description),
        classes=classes,
        plain=_network(evaluation["diagnosis"]["plain"]),
        whitened=_network(evaluation["diagnosis"]["whitened"]),
        auxiliary=_network(evaluation["diagnosis"][AUXILIARY]) if AUXILIARY in evaluation["diagnosis"] else None,
        difference=evaluation["diagnosis"]["difference"]["auc"]["macro"].estimate(),
        whitening=whitening,
        concepts=concepts,
        purity_mean=_purity_mean(evaluation["purity_mean"], whitening.activation),
        layers=_layers(evaluation["whitening"]),
        matrix=_matrix(evaluation["matrix"], names),
        subspaces=_subspaces(evaluation, names, whitening.activation) if "subspaces" in evaluation else (),
        inter_similarity=evaluation["similarity"]["inter"].content if "similarity" in evaluation else {},
        importance=_importance(explanation, classes, names=names, verdicts=verdicts),
        permutations=int(explanation["permutations"].content),
        tcav=_tcav(explanation["tcav"], classes, names) if "tcav" in explanation else (),
        exemplars=_exemplars(explanation["exemplars"], release),
        explained=compose_explained(explanation, names),
        scrutiny=compose_scrutiny(run, evaluation, explanation, names=names, target=target_name),
        discovery=read_discovery(run),
        shortcuts=ShortcutAudit.model_validate(explanation["shortcuts"].content),
        suppressed=suppression_of(record.content),
        names=names_of(release),
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


def _cohort(tree: Tree) -> CohortFacts:
    parts = [(name, tree["parts"][name]) for name in PARTS if name in tree["parts"]]
    counts = (
        PartCounts(name, part["images"].content, part["groups"].content, part["diagnoses"].content)
        for name, part in parts
    )
    grouped_by = tree["grouped_by"].content if "grouped_by" in tree else {}
    return CohortFacts(tree["source"].content, tuple(counts), grouped_by)


def _network(tree: Tree) -> NetworkFigures:
    return NetworkFigures(
        auc=tree["auc"].estimates(),
        balanced_accuracy=tree["balanced_accuracy"].estimate(),
        sensitivity_80=tree["sensitivity_at_specificity_80"].estimates(),
        sensitivity_90=tree["sensitivity_at_specificity_90"].estimates(),
        ece=tree["ece"].estimate(),
    )


def _whitening(tree: Tree) -> WhiteningFacts:
    return WhiteningFacts(
        layer=tree["layer"].content,
        placement=tree["placement"].content,
        activation=tree["activation"].content,
        channels=int(tree["channels"].content),
        residual_train=tree["residual"]["train"].estimate(),
        residual_test=tree["residual"]["test"].estimate(),
        insertion_change=tree.content.get("insertion_change"),
    )


def _layers(whitening: Tree) -> tuple[LayerFigures, ...]:
    layers = whitening["layers"].items() if "layers" in whitening else []
    return tuple(LayerFigures(name, tree["axis_auc"].estimates(), tree["mean"].estimate()) for name, tree in layers)


def _subspaces(evaluation: Tree, names: Mapping[str, str], activation: str) -> tuple[SubspaceFigures, ...]:
    return tuple(
        SubspaceFigures(
            parent=names.get(parent, parent),
            parent_auc=evaluation["purity"][parent]["axis_auc"][activation].estimate(),
            children=tuple(_child(child, figures, names) for child, figures in tree["children"].items()),
            free=int(tree["free"].content),
            leak=_leak(tree["leak"], names) if tree["leak"].content else None,
        )
        for parent, tree in evaluation["subspaces"].items()
    )


def _child(identifier: str, tree: Tree, names: Mapping[str, str]) -> ChildFigures:
    return ChildFigures(
        id=identifier,
        name=names.get(identifier, identifier),
        sibling_auc=tree["sibling_auc"].estimate(),
        parent_axis_auc=tree["parent_axis_auc"].estimate(),
        positives=int(tree["positives"].content),
        negatives=int(tree["negatives"].content),
        reason=tree["reason"].content,
    )


def _leak(tree: Tree, names: Mapping[str, str]) -> LeakFigures:
    concept, axis = str(tree["concept"].content), str(tree["axis"].content)
    return LeakFigures(
        concept=names.get(concept, concept),
        axis=f"axis of {names[axis]}" if axis in names else axis,
        auc=tree["auc"].estimate(),
        pairs=int(tree["pairs"].content),
    )


def _concept(identifier: str, tree: Tree, *, release: Release, evaluation: Tree) -> ConceptFigures:
    entry = next((entry for entry in release.concepts if entry.id == identifier), None)
    if entry is None:
        raise RunError(f"{tree.place}: '{identifier}' is not in the run's release.json; evaluate the run again")
    assessable = bool(tree["assessable"].content)
    intra = evaluation["similarity"]["intra"] if "similarity" in evaluation else Tree({}, "")
    return ConceptFigures(
        id=identifier,
        name=entry.name,
        definition=entry.definition,
        origin=str(entry.origin),
        rule=entry.rule,
        axis_auc=tree["axis_auc"].estimates(),
        probe_auc=tree["probe_auc"].estimate(),
        best_filter_auc=tree["best_filter_auc"].estimate(),
        further_baselines={key: tree[key].estimate() for key in FURTHER_BASELINES if key in tree},
        positives=int(tree["positives"].content),
        negatives=int(tree["negatives"].content),
        train_positives=int(tree["train_positives"].content),
        reason=None if assessable else tree.content.get("reason") or "no reason was recorded",
        rival=_rival(identifier, evaluation["matrix"], release) if assessable else None,
        intra_similarity=intra[identifier].estimate() if identifier in intra else None,
        agreement=_agreement(identifier, release),
    )


def _agreement(concept: str, release: Release) -> ReaderAgreement | None:
    entry = next((entry for entry in release.agreement or () if entry.concept == concept), None)
    if entry is None:
        return None
    value, low, high = (nan if one is None else one for one in (entry.value, entry.low, entry.high))
    return ReaderAgreement(entry.measure, Estimate(value, low, high, entry.n), entry.readers, entry.flag)


def _rival(concept: str, matrix: Tree, release: Release) -> Rival | None:
    order, rows = matrix["concepts"].content, matrix["auc"].content
    if concept not in order:
        return None
    column = order.index(concept)
    own = rows[column][column]
    parents = {entry.id: entry.parent for entry in release.concepts}
    # That an image shows the parent is half of what makes a child, so a parent's axis is no rival of a child's.
    kept = [i for i, name in enumerate(order) if i != column and name != parents[concept]]
    others = [(rows[i][column], order[i]) for i in kept if rows[i][column] is not None]
    if own is None or not others or max(others)[0] <= own:
        return None
    auc, identifier = max(others)
    name = next((entry.name for entry in release.concepts if entry.id == identifier), identifier)
    return Rival(name, auc)


def _purity_mean(tree: Tree, activation: str) -> dict[str, Estimate]:
    baselines = {key: tree[key].estimate() for key in BASELINES if key in tree}
    return {"axis_auc": tree["axis_auc"][activation].estimate(), **baselines}


def _matrix(tree: Tree, names: Mapping[str, str]) -> Matrix:
    order = tuple(names.get(one, one) for one in tree["concepts"].content)
    return Matrix(order, tuple(tuple(row) for row in tree["auc"].content))


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
    explanation: Tree, classes: tuple[Named, ...], *, names: Mapping[str, str], verdicts: Mapping[str, Verdict]
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
    tree: Tree, truth: Mapping[str, float], names: Mapping[str, str], verdicts: Mapping[str, Verdict]
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
            verdict=verdicts.get(concept, Verdict.NOT_ASSESSABLE),
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
