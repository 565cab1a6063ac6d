"""The figures of a run as CSV, and the few that the terminal shows."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.report.sentences.numerals import plain_text, short
from pipeline.results.axes import AxisVerdict
from pipeline.results.evaluation import Evaluation
from pipeline.results.importance import ordered_targets
from pipeline.run.folder import RunFolder
from pipeline.run.results import RunResults, read_results

ESTIMATE = {"value", "low", "high", "n"}
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
    run.write_text("figures.csv", csv_text(FIGURES, list(figure_rows(figure_trees(run)))))
    run.write_text("importance.csv", csv_text(IMPORTANCE, list(importance_rows(report))))


def figure_trees(run: RunFolder) -> dict[str, Any]:
    """Return the run's results as nested JSON, by the names under which their figures are listed."""
    return {
        "evaluation": run.read(Evaluation).model_dump(mode="json"),
        "explanation": run.read_json("explanation.json"),
    }


def figure_rows(tree: Any, path: str = "") -> Iterator[tuple[Cell, ...]]:  # noqa: ANN401  # any JSON
    """A row for every estimate in nested JSON: its dotted path, value, ends of the interval, and n."""
    if not isinstance(tree, Mapping):
        return
    if tree.keys() == ESTIMATE:
        yield (path, tree["value"], tree["low"], tree["high"], tree["n"])
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
                *(_finite(number) for number in (axis.ratio.value, axis.ratio.low, axis.ratio.high)),
                axis.ratio.n,
                axis.rank,
                *(_finite(number) for number in (axis.null.low, axis.null.high)),
                axis.stands_out,
                str(report.evaluation.verdict(concept)),
                planted.get(concept),
            )


def csv_text(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """Rows as CSV; text that a spreadsheet would take for a formula is made inert by an apostrophe before it."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def terminal_table(run: RunFolder) -> str:
    """The run in a few lines: macro AUC of both networks, and each concept's axis."""
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


def _finite(value: float) -> float | None:
    return value if value == value else None


def _inert(cell: Cell) -> Cell:
    if not isinstance(cell, str):
        return cell
    apostrophe = "'" if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else ""
    return apostrophe + cell.replace("\r", " ").replace("\n", " ")
