"""``explanation.json`` and ``run.json`` become the report's part on artefacts, shortcuts and what was suppressed."""

from collections.abc import Callable, Iterable, Mapping

from concepts.statistics.estimate import Estimate
from concepts.statistics.intervals import wilson
from concepts.vocabulary import load_vocabulary
from pipeline.report.shortcut_content import (
    ArtefactFigures,
    ArtefactOnDiagnosis,
    CounterpartFigures,
    MeasureFigures,
    ShortcutAudit,
    Suppression,
)
from pipeline.report.tree import Tree

Naming = Callable[[str], str]


def compose_shortcuts(explanation: Tree, names: Mapping[str, str], diagnosis: Naming) -> ShortcutAudit | None:
    """Read the audit of artefacts; None where the run was explained before there was one.

    Args:
        explanation: The file.
        names: Of the release's concepts, by identifier.
        diagnosis: Gives a diagnosis's name by its identifier.

    Raises:
        RunError: If something is missing; names the key.
    """
    if "shortcuts" not in explanation:
        return None
    tree = explanation["shortcuts"]
    artefact = _naming(names)
    pairs = [(artefact(one["artefact"]), diagnosis(one["diagnosis"])) for one in tree["named"].content]
    planted = tree["counterpart"].items() if "counterpart" in tree else []
    return ShortcutAudit(
        artefacts=tuple(_artefact(name, one, artefact, diagnosis) for name, one in tree["artefacts"].items()),
        named=tuple(pairs),
        level=float(tree["level"].content),
        fewest=int(tree["fewest"].content),
        counterpart=tuple(
            CounterpartFigures(
                figure,
                one["with_shortcut"].estimate(),
                one["without_shortcut"].estimate(),
                one["difference"].estimate(),
            )
            for figure, one in planted
        ),
    )


def compose_suppression(record: Tree, names: Mapping[str, str], diagnosis: Naming) -> Suppression | None:
    """Read what was suppressed in a run; None where nothing was.

    Raises:
        RunError: If something is missing; names the key.
    """
    if "suppressed" not in record:
        return None
    tree, artefact = record["suppressed"], _naming(names)
    return Suppression(
        source=tree["from"].content,
        names=tuple(artefact(name) for name in tree["names"].content),
        directions=int(tree["directions"].content),
        intercepts={diagnosis(one): float(value.content) for one, value in tree["intercepts"].items()},
        weighed=tuple(artefact(name) for name in tree["weighed"].content) if "weighed" in tree else (),
        images=int(tree["images"].content),
        epochs=int(tree["epochs"].content),
    )


def _artefact(identifier: str, tree: Tree, naming: Naming, diagnosis: Naming) -> ArtefactFigures:
    audited = "diagnoses" in tree
    counts = {one: (int(each["present"].content), int(each["absent"].content)) for one, each in tree["train"].items()}
    return ArtefactFigures(
        id=identifier,
        name=naming(identifier),
        has_axis=tree["axis"].content is not None,
        labels=tree["labels"].content if "labels" in tree else None,
        measure=_measure(tree["measure"]) if "measure" in tree else None,
        train=_sum(counts.values()),
        test=(int(tree["test"]["present"].content), int(tree["test"]["absent"].content)),
        directions=int(tree["directions"].content) if audited else None,
        reading=tree["reading_auc"].estimate() if audited else None,
        diagnoses=tuple(_effect(one, each, counts, diagnosis) for one, each in tree["diagnoses"].items())
        if audited
        else (),
    )


def _measure(tree: Tree) -> MeasureFigures:
    present, found, absent, falsely = (int(tree[key].content) for key in ("present", "found", "absent", "falsely"))
    return MeasureFigures(sensitivity=wilson(found, present), false_alarms=wilson(falsely, absent))


def _effect(
    identifier: str, tree: Tree, counts: Mapping[str, tuple[int, int]], diagnosis: Naming
) -> ArtefactOnDiagnosis:
    own, others = counts[identifier], _sum(each for one, each in counts.items() if one != identifier)
    return ArtefactOnDiagnosis(
        id=identifier,
        name=diagnosis(identifier),
        verdict=tree["verdict"].content,
        tie_p=float(tree["tie_p"].content),
        use_p=float(tree["use_p"].content),
        with_it=own[0],
        of=sum(own),
        others_with_it=others[0],
        others=sum(others),
        taken_out=tree["taken_out"].estimate(),
        put_in=tree["put_in"].estimate(),
        loss_ratio=tree["loss_ratio"].estimate(),
        drawn_out=_known(tree, "drawn_out"),
        drawn_in=_known(tree, "drawn_in"),
    )


def _sum(counts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    present, absent = zip(*counts, strict=True)
    return sum(present), sum(absent)


def _known(tree: Tree, key: str) -> Estimate | None:
    return tree[key].estimate() if key in tree else None


def _naming(names: Mapping[str, str]) -> Naming:
    terms = load_vocabulary().concepts

    def name(identifier: str) -> str:
        known = terms.get(identifier)
        return names.get(identifier) or (known.name if known else identifier.replace("_", " "))

    return name
