"""A comparison as one HTML file in the look of the report, as CSV and as JSON."""

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from concepts.errors import SettingsError
from concepts.files import write_atomically
from pipeline.report.pages import charts
from pipeline.report.pages.charts import LANE, Dot, Scale
from pipeline.report.pages.tables import Cell, csv_text
from pipeline.report.sentences import comparison as compare_phrasing
from pipeline.report.sentences import numerals
from pipeline.report.sentences.numerals import plain_text
from pipeline.results.comparison import Comparison, Difference, Family, Finding, Row

TEMPLATES = Path(__file__).parents[1] / "templates"
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
LINE = 22
"""Height of a line of figures, in pixels."""


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
        raise SettingsError(f"{path}: the name must end in .html; the CSV and JSON go beside it")
    texts = {
        path.with_suffix(".csv"): comparison_csv(comparison),
        path.with_suffix(".json"): json.dumps(comparison.to_json(), indent=1, ensure_ascii=False) + "\n",
        path: render_comparison(comparison),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for file, text in texts.items():
            write_atomically(file, text)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be written ({error.strerror}); give a file in a folder of yours"
        ) from error
    return [path, path.with_suffix(".csv"), path.with_suffix(".json")]


def render_comparison(comparison: Comparison) -> str:
    """The page: style and charts are in it, scripts are not."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "compare.css"))
    return environment.get_template("compare.html").render(
        comparison=comparison,
        concepts=not_in_all(comparison),
        say=compare_phrasing,
        write=numerals,
        marked={Finding.BEYOND, Finding.UNCORRECTED},
        height=LANE * len(comparison.runs) + 10,
        strip=lambda family, row: Markup(_strip(comparison, family, row)),
        axis=lambda family: Markup(charts.axis(_scale(comparison, family), title=f"{family.unit}, axis")),
        style=Markup(style),
    )


def not_in_all(comparison: Comparison) -> list[str]:
    """Names of the concepts that some runs have and others lack."""
    names = dict.fromkeys(name for run in comparison.runs for name in run.concepts)
    return [name for name in names if not all(name in run.concepts for run in comparison.runs)]


def comparison_csv(comparison: Comparison) -> str:
    """A row for every figure of every run."""
    rows = [
        _cells(row, number, run.letter)
        for family in comparison.families
        for row in family.rows
        for number, run in enumerate(comparison.runs)
    ]
    return csv_text(COLUMNS, rows)


def terminal_comparison(comparison: Comparison) -> str:
    """The comparison in a few lines."""
    say = compare_phrasing
    runs = [f"  {run.letter}  {run.id}, seed {run.seed}" for run in comparison.runs]
    said = [
        say.question(comparison),
        say.images(comparison),
        say.summary(comparison),
        say.importance_summary(comparison),
    ]
    stable = [say.stability(row) for row in comparison.stability]
    return plain_text("\n".join([*runs, *filter(None, said), *stable]))


def _strip(comparison: Comparison, family: Family, row: Row) -> str:
    dots = [
        Dot(figure, "accent" if number else "plain", f"run {run.letter}")
        for number, (run, figure) in enumerate(zip(comparison.runs, row.figures, strict=True))
        if figure is not None
    ]
    return charts.strip(dots, _scale(comparison, family), title=f"{family.unit}, {row.name}")


def _scale(comparison: Comparison, family: Family) -> Scale:
    """One axis for all families of a kind, so that they can be compared."""
    alike = [one for one in comparison.families if one.unit == family.unit]
    figures = [figure for one in alike for row in one.rows for figure in row.figures if figure is not None]
    if family.reference == 1.0:
        return charts.ratio_scale(end for figure in figures for end in (figure.low, figure.high))
    return charts.auc_scale(figures)


def _cells(row: Row, number: int, letter: str) -> tuple[Cell, ...]:
    figure, one = row.figures[number], row.differences[number - 1] if number else None
    own = (
        (None, None, None, None)
        if figure is None
        else (*map(_known, (figure.value, figure.low, figure.high)), figure.n)
    )
    return (row.key, letter, *own, row.ranks[number] if row.ranks else None, *_difference_cells(one))


def _difference_cells(one: Difference | None) -> tuple[Cell, ...]:
    if one is None:
        return (None,) * 7
    numbers = (one.figure.value, one.figure.low, one.figure.high, *one.widened)
    return (*map(_known, numbers), str(one.finding), str(one.method))


def _known(value: float) -> float | None:
    return value if value == value else None
