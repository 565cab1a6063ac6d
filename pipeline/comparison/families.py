"""The figures of several runs in families: each row one figure in all runs, with what differs from the first."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from concepts.statistics.intervals import difference_of, is_finite
from pipeline.comparison.predictions import NETWORKS, AucDifferences, Predictions
from pipeline.evaluation.diagnosis import MACRO
from pipeline.results.comparison import (
    IMPORTANCE,
    ComparedFigure,
    FigureFamily,
    IntervalMethod,
    judge_difference,
)
from pipeline.results.importance import AxisImportance, ordered_targets
from pipeline.results.names import Names
from pipeline.run.results import RunResults

NO_EFFECT = {"AUC": 0.5, "loss ratio": 1.0}
"""By unit, the value of no effect."""
Figures = tuple[Estimate | None, ...]
"""One figure per run; None where a run has no such figure."""


@dataclass(frozen=True)
class RunSide:
    """One of the runs with all that is compared.

    Attributes:
        id: Name of its folder.
        results: What it says.
        predictions: Of both networks on its test images.
    """

    id: str
    results: RunResults
    predictions: Predictions

    def ranked(self, target: str) -> Mapping[str, AxisImportance]:
        """Return the named axes for a target, the most important first; none where the run lacks the target."""
        importance = self.results.explanation.importance.get(target)
        return {} if importance is None else importance.ranked


def auc_families(sides: Sequence[RunSide], differences: Sequence[AucDifferences]) -> tuple[FigureFamily, ...]:
    """Make the families of the AUCs of diagnoses, one per network.

    Args:
        sides: The runs.
        differences: Of each run but the first, what differs from the first.

    Raises:
        RunError: If the runs have no diagnosis in common.
    """
    if not any(key != MACRO for by_key in differences for _, key in by_key):
        raise RunError("the runs have no diagnosis in common, so there is nothing to compare; give runs that share one")
    comparisons = sum(is_finite(figure) for by_key in differences for figure, _ in by_key.values())

    def row(network: str, key: str) -> ComparedFigure:
        entries = [by_key.get((network, key)) for by_key in differences]
        return ComparedFigure(
            key=f"auc.{network}.{key}",
            name="all diagnoses (macro)" if key == MACRO else Names().diagnosis(key),
            figures=tuple(getattr(side.results.evaluation.diagnosis, network).auc.get(key) for side in sides),
            differences=tuple(
                None if entry is None else judge_difference(*entry, comparisons=comparisons) for entry in entries
            ),
        )

    keys = (MACRO, *union(side.results.evaluation.classes for side in sides))
    return tuple(
        _family(f"auc.{network}", f"Diagnosis, {network} network", [row(network, key) for key in keys], comparisons)
        for network in NETWORKS
    )


def axis_family(sides: Sequence[RunSide]) -> FigureFamily:
    """Make the family of the AUC of each concept's own axis."""
    names = concept_names(sides)
    figures = {concept: tuple(_axis_auc(side, concept) for side in sides) for concept in names}
    comparisons = _comparisons(figures.values())
    rows = (_compared(f"axis.{concept}", names[concept], figures[concept], comparisons) for concept in names)
    return _family("axis", "Concepts: AUC of each one's own axis", rows, comparisons)


def importance_families(sides: Sequence[RunSide]) -> tuple[FigureFamily, ...]:
    """Make the families of importance, one per target; all of them are corrected together."""
    names, targets = concept_names(sides), all_targets(sides)
    axes = {
        (target, concept): tuple(side.ranked(target).get(concept) for side in sides)
        for target in targets
        for concept in names
    }
    figures = {key: tuple(None if axis is None else axis.ratio for axis in row) for key, row in axes.items()}
    comparisons = _comparisons(figures.values())

    def row(target: str, concept: str) -> ComparedFigure:
        compared = _compared(f"{IMPORTANCE}.{target}.{concept}", names[concept], figures[target, concept], comparisons)
        return compared.model_copy(
            update={"ranks": tuple(None if axis is None else axis.rank for axis in axes[target, concept])}
        )

    return tuple(
        _family(
            f"{IMPORTANCE}.{target}",
            f"Importance, {sides[0].results.names.target(target)}",
            [row(target, concept) for concept in names],
            comparisons,
            unit="loss ratio",
        )
        for target in targets
    )


def concept_names(sides: Sequence[RunSide]) -> dict[str, str]:
    """Name the concepts of all runs, those of the first run first."""
    return {
        concept: side.results.names.concept(concept)
        for side in sides
        for concept in side.results.evaluation.axes.purity
    }


def all_targets(sides: Sequence[RunSide]) -> list[str]:
    """List the targets of all runs, all diagnoses together first."""
    return union(ordered_targets(side.results.explanation.importance) for side in sides)


def union(lists: Iterable[Iterable[str]]) -> list[str]:
    """List what occurs in any list, once and in order.

    Example:
        >>> union([["b", "a"], ["c", "a"]])
        ['b', 'a', 'c']
    """
    return list(dict.fromkeys(entry for entries in lists for entry in entries))


def _family(
    key: str, title: str, rows: Iterable[ComparedFigure], comparisons: int, *, unit: str = "AUC"
) -> FigureFamily:
    return FigureFamily(
        key=key, title=title, unit=unit, reference=NO_EFFECT[unit], rows=tuple(rows), comparisons=comparisons
    )


def _axis_auc(side: RunSide, concept: str) -> Estimate | None:
    purity = side.results.evaluation.axes.purity.get(concept)
    return side.results.evaluation.axis_auc(concept) if purity and purity.is_assessable else None


def _compared(key: str, name: str, figures: Figures, comparisons: int) -> ComparedFigure:
    differences = tuple(
        None
        if difference is None
        else judge_difference(difference, IntervalMethod.FROM_INTERVALS, comparisons=comparisons)
        for difference in _differences(figures)
    )
    return ComparedFigure(key=key, name=name, figures=figures, differences=differences)


def _comparisons(rows: Iterable[Figures]) -> int:
    return sum(is_finite(difference) for figures in rows for difference in _differences(figures))


def _differences(figures: Figures) -> Figures:
    first, *others = figures
    return tuple(None if first is None or other is None else difference_of(other, first) for other in others)
