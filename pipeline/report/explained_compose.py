"""``explanation.json`` becomes the report's part on cases."""

from collections.abc import Mapping

from concepts.statistics.estimate import Estimate
from pipeline.report.explained_content import (
    CasesFigures,
    CourseFigures,
    Explained,
    FlagFigures,
    PointingFigures,
)
from pipeline.report.tree import Tree

FLAGS = ("abstain", "conflict", "out_of_scope")
ALL = "all concepts"


def compose_explained(explanation: Tree, names: Mapping[str, str]) -> Explained:
    """Read what a run's explanation says beyond importance.

    Args:
        explanation: The file.
        names: Of concepts, by identifier.

    Raises:
        RunError: If something is missing; names the key.
    """
    return Explained(
        cases=_cases(explanation) if "cases" in explanation else None,
        pointing=_pointing(explanation, names),
        courses=_courses(explanation, names),
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


def _known(tree: Tree) -> Estimate | None:
    return None if tree.content is None else tree.estimate()
