"""``explanation.json`` becomes the report's part on cases and on what nobody named."""

from collections.abc import Callable, Mapping
from math import nan

from concepts.statistics.estimate import Estimate
from pipeline.report.explained_content import (
    CasesFigures,
    CourseFigures,
    DirectionFigures,
    Explained,
    FlagFigures,
    PatchPicture,
    PointingFigures,
    RelationFigures,
)
from pipeline.report.sentences.case import trait_name
from pipeline.report.tree import Tree

FLAGS = ("abstain", "conflict", "out_of_scope")
ALL = "all concepts"


def compose_explained(explanation: Tree, names: Mapping[str, str], diagnosis: Callable[[str], str]) -> Explained:
    """Read what a run's explanation says beyond importance.

    Args:
        explanation: The file.
        names: Of concepts, by identifier.
        diagnosis: Gives a diagnosis's name by its identifier.

    Raises:
        RunError: If something is missing; names the key.
    """
    found = explanation["discovery"] if "discovery" in explanation else Tree({"directions": []}, "")
    return Explained(
        cases=_cases(explanation) if "cases" in explanation else None,
        pointing=_pointing(explanation, names),
        courses=_courses(explanation, names),
        directions=tuple(_direction(one, names, diagnosis) for one in _each(found["directions"])),
        relations_compared=int(found["relations_compared"].content) if "relations_compared" in found else 0,
    )


def _cases(explanation: Tree) -> CasesFigures:
    tree = explanation["cases"]
    planted = explanation["planted_cause"].estimates() if "planted_cause" in explanation else {}
    return CasesFigures(
        explained=int(tree["n"].content),
        of=int(tree["of"].content),
        right=tree["right"].estimate(),
        covered=tree["plausible_set_covers"].estimate(),
        flags=tuple(
            FlagFigures(
                flag,
                tree[flag]["share"].estimate(),
                tree[flag]["right_where_raised"].estimate(),
                tree[flag]["right_elsewhere"].estimate(),
            )
            for flag in FLAGS
        ),
        planted_decided=planted.get("decided"),
        planted_called=planted.get("decided_and_called"),
    )


def _pointing(explanation: Tree, names: Mapping[str, str]) -> tuple[PointingFigures, ...]:
    if "pointing" not in explanation or "concepts" not in explanation["pointing"]:
        return ()
    tree = explanation["pointing"]
    rows = [_pointing_row(names.get(concept, concept), row) for concept, row in tree["concepts"].items()]
    if tree["overall"].content is not None:
        rows.append(_pointing_row(ALL, tree["overall"]))
    return tuple(rows)


def _pointing_row(name: str, row: Tree) -> PointingFigures:
    return PointingFigures(
        name,
        hit_rate=_known(row["hit_rate"]),
        chance=_known(row["chance"]),
        grad_cam=_known(row["grad_cam"]),
        above_grad_cam=_known(row["above_grad_cam"]),
        reason=row.content.get("reason"),
    )


def _courses(explanation: Tree, names: Mapping[str, str]) -> tuple[CourseFigures, ...]:
    trajectories = explanation["trajectories"].items() if "trajectories" in explanation else []
    return tuple(
        CourseFigures(names.get(concept, concept), layer, _known(row["corrected"]), _known(row["spoilt"]))
        for concept, layers in trajectories
        for layer, row in layers.items()
    )


def _direction(tree: Tree, names: Mapping[str, str], diagnosis: Callable[[str], str]) -> DirectionFigures:
    return DirectionFigures(
        name=str(tree["name"].content),
        share_of_slope=float(tree["share_of_slope"].content),
        importance=tuple(
            (
                "all diagnoses" if target == "overall" else diagnosis(target),
                row["ratio"].estimate(),
                _number(row["null"]["low"]),
                _number(row["null"]["high"]),
            )
            for target, row in tree["importance"].items()
        ),
        relations=tuple(
            RelationFigures(
                trait_name(str(one["trait"].content), names),
                str(one["kind"].content),
                one["correlation"].estimate(),
                bool(one["beyond_chance"].content),
            )
            for one in _each(tree["relations"])
        ),
        patches=tuple(
            PatchPicture(
                str(one["image_id"].content), diagnosis(str(one["diagnosis"].content)), str(one["patch"].content)
            )
            for one in _each(tree["patches"])
        ),
    )


def _known(tree: Tree) -> Estimate | None:
    return None if tree.content is None else tree.estimate()


def _number(tree: Tree) -> float:
    return nan if tree.content is None else float(tree.content)


def _each(tree: Tree) -> list[Tree]:
    return [Tree(one, f"{tree.place}[{number}]") for number, one in enumerate(tree.content)]
