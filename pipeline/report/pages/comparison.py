"""A comparison as one HTML file in the look of the report, as CSV and as JSON."""

from pathlib import Path

from markupsafe import Markup

from concepts.csv_cells import csv_text
from concepts.errors import SettingsError
from concepts.files import write_atomically
from pipeline.report.pages import charts
from pipeline.report.pages.charts import LANE, Dot, Scale
from pipeline.report.pages.environment import fill, style
from pipeline.report.pages.tables import Cell, cell_of, estimate_cells
from pipeline.report.sentences import compared, numerals
from pipeline.report.sentences.numerals import plain_text
from pipeline.results.comparison import ComparedFigure, Comparison, FigureFamily, JudgedDifference

COLUMNS = (
    "figure",
    "run",
    "value",
    "low",
    "high",
    "n",
    "rank",
    "difference",
    "difference_low",
    "difference_high",
    "widened_low",
    "widened_high",
    "finding",
    "method",
)
PADDING = 10
"""Pixels above and below the lanes of a strip, together."""


def write_comparison(comparison: Comparison, path: Path) -> list[Path]:
    """Write the page, and the same as CSV and JSON beside it.

    Args:
        comparison: What it says.
        path: A file whose name ends in ``.html``.

    Returns:
        The files.

    Raises:
        SettingsError: If the name ends otherwise, or its folder cannot be written to.
    """
    if path.suffix != ".html":
        raise SettingsError(f"{path}: the name must end in .html; the CSV and JSON files go beside it")
    texts = {
        path: render_comparison(comparison),
        path.with_suffix(".csv"): comparison_csv(comparison),
        path.with_suffix(".json"): comparison.to_text(),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            write_atomically(file, text)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be written ({error.strerror}); give a file in a folder that you can write to"
        ) from error
    return list(texts)


def render_comparison(comparison: Comparison) -> str:
    """Render the page: style and charts are in it, scripts are not."""
    scales = {family.unit: _scale(comparison, family) for family in comparison.families}
    return fill(
        "compare.html",
        comparison=comparison,
        concepts=not_in_all(comparison),
        compared=compared,
        numerals=numerals,
        height=LANE * len(comparison.runs) + PADDING,
        strip=lambda family, row: Markup(_strip(comparison, family, row, scales[family.unit])),
        axis=lambda family: Markup(charts.axis(scales[family.unit], title=f"{family.unit}, axis")),
        style=style("report.css", "compare.css"),
    )


def not_in_all(comparison: Comparison) -> list[str]:
    """List the names of the concepts that some runs have and others lack."""
    names = dict.fromkeys(name for run in comparison.runs for name in run.concepts)
    return [name for name in names if not all(name in run.concepts for run in comparison.runs)]


def comparison_csv(comparison: Comparison) -> str:
    """Write a row for every figure of every run."""
    rows = [
        _cells(row, number, run.letter)
        for family in comparison.families
        for row in family.rows
        for number, run in enumerate(comparison.runs)
    ]
    return csv_text(COLUMNS, rows)


def terminal_comparison(comparison: Comparison) -> str:
    """Sum the comparison up in a few lines."""
    runs = [f"  {run.letter}  {run.id}, seed {run.seed}" for run in comparison.runs]
    sentences = [
        compared.question(comparison),
        compared.images(comparison),
        compared.summary(comparison),
        compared.importance_summary(comparison),
        *(compared.agreement(row) for row in comparison.agreement),
    ]
    return plain_text("\n".join([*runs, *filter(None, sentences)]))


def _strip(comparison: Comparison, family: FigureFamily, row: ComparedFigure, scale: Scale) -> str:
    dots = [
        Dot(figure, "accent" if number else "plain", f"run {run.letter}")
        for number, (run, figure) in enumerate(zip(comparison.runs, row.figures, strict=True))
        if figure is not None
    ]
    return charts.strip(dots, scale, title=f"{family.unit}, {row.name}")


def _scale(comparison: Comparison, family: FigureFamily) -> Scale:
    """Make one axis for all families of a unit, so that they can be compared."""
    rows = [row for alike in comparison.families if alike.unit == family.unit for row in alike.rows]
    figures = [figure for row in rows for figure in row.figures if figure is not None]
    if family.is_importance:
        return charts.ratio_scale(end for figure in figures for end in (figure.low, figure.high))
    return charts.auc_scale(figures)


def _cells(row: ComparedFigure, number: int, letter: str) -> tuple[Cell, ...]:
    figure = row.figures[number]
    rank = row.ranks[number] if row.ranks else None
    difference = row.differences[number - 1] if number else None
    return (row.key, letter, *estimate_cells(figure), rank, *_difference_cells(difference))


def _difference_cells(difference: JudgedDifference | None) -> tuple[Cell, ...]:
    if difference is None:
        return (None,) * 7
    value, low, high, _ = estimate_cells(difference.figure)
    widened = map(cell_of, difference.widened)
    return (value, low, high, *widened, str(difference.finding), str(difference.method))
