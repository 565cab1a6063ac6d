"""The figures of a run as CSV, and the few that the terminal shows."""

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any

from concepts.csv_cells import csv_text
from concepts.statistics.estimate import Estimate
from pipeline.report.sentences.numerals import plain_text, short
from pipeline.results.axes import AxisVerdict
from pipeline.results.evaluation import Evaluation
from pipeline.results.explanation import Explanation
from pipeline.results.importance import ordered_targets
from pipeline.run.folder import RunFolder
from pipeline.run.results import RunResults, read_results

FIGURES = ("path", "value", "low", "high", "n")
IMPORTANCE = (
    "diagnosis",
    "concept",
    "name",
    "ratio",
    "low",
    "high",
    "n",
    "rank",
    "null_low",
    "null_high",
    "stands_out",
    "axis",
    "planted",
)
Cell = str | int | float | bool | None


def write_tables(run: RunFolder, report: RunResults) -> None:
    """Write ``figures.csv`` (every estimate of the run) and ``importance.csv``."""
    run.write_text("figures.csv", csv_text(FIGURES, figure_rows(figure_trees(report.evaluation, report.explanation))))
    run.write_text("importance.csv", csv_text(IMPORTANCE, importance_rows(report)))


def figure_trees(evaluation: Evaluation, explanation: Explanation) -> dict[str, Any]:
    """Return the run's results as nested JSON, by the names under which their figures are listed."""
    return {
        "evaluation": evaluation.model_dump(mode="json"),
        "explanation": explanation.model_dump(mode="json"),
    }


def figure_rows(tree: Any, path: str = "") -> Iterator[tuple[Cell, ...]]:  # noqa: ANN401  # any JSON
    """Give a row for every estimate in nested JSON: its dotted path, value, ends of the interval, and n."""
    if not isinstance(tree, Mapping):
        return
    if tree.keys() == set(FIGURES[1:]):
        yield (path, *(tree[key] for key in FIGURES[1:]))
        return
    for key, branch in tree.items():
        yield from figure_rows(branch, f"{path}.{key}" if path else str(key))


def importance_rows(report: RunResults) -> Iterator[tuple[Cell, ...]]:
    """Give a row for each diagnosis and concept, the most important concept of a diagnosis first."""
    for target in ordered_targets(report.explanation.importance):
        planted = report.explanation.planted_importance.get(target, {})
        for concept, axis in report.explanation.importance[target].ranked.items():
            yield (
                target,
                concept,
                report.names.concept(concept),
                *estimate_cells(axis.ratio),
                axis.rank,
                cell_of(axis.null.low),
                cell_of(axis.null.high),
                axis.stands_out,
                str(report.evaluation.verdict(concept)),
                planted.get(concept),
            )


def estimate_cells(figure: Estimate | None) -> tuple[Cell, Cell, Cell, Cell]:
    """Give the cells of a figure: value, both ends, n; all empty where there is no figure, but n where it is NaN."""
    if figure is None:
        return (None,) * 4
    return cell_of(figure.value), cell_of(figure.low), cell_of(figure.high), figure.n


def cell_of(number: float) -> float | None:
    """Give the cell of a number; empty where it is NaN."""
    return None if isnan(number) else number


def terminal_table(run: RunFolder) -> str:
    """Sum a run up in a few lines: macro AUC of both networks, and each concept's axis."""
    report = read_results(run)
    evaluation = report.evaluation
    rows = [
        ("macro AUC, plain network", short(evaluation.diagnosis.plain.auc["macro"])),
        ("macro AUC, whitened network", short(evaluation.diagnosis.whitened.auc["macro"])),
        ("whitened minus plain", short(evaluation.diagnosis.difference)),
    ]
    for concept in evaluation.axes.purity:
        verdict = evaluation.verdict(concept)
        figure = "" if verdict is AxisVerdict.NOT_ASSESSABLE else f"{short(evaluation.axis_auc(concept))}, "
        rows.append((f"axis AUC, {report.names.concept(concept)}", f"{figure}{verdict}"))
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"  {label:<{width}}  {plain_text(figure)}" for label, figure in rows)
