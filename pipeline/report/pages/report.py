"""The report as one HTML file that opens anywhere: style, charts and pictures are in it, scripts are not."""

from collections.abc import Iterable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from concepts.statistics.estimate import Estimate
from pipeline.report.compose import compose
from pipeline.report.content import FURTHER_BASELINES, ConceptFigures, ImportancePanel, RunReport, Verdict
from pipeline.report.pages import charts
from pipeline.report.pages.case import write_case_page
from pipeline.report.pages.charts import Dot, Scale
from pipeline.report.pages.checklists import fill_checklists
from pipeline.report.pages.facts import facts_title, model_facts
from pipeline.report.pages.sanity_charts import SanityCharts
from pipeline.report.pages.tables import write_tables
from pipeline.report.sentences import cases as explained_phrasing
from pipeline.report.sentences import directions, numerals, shortcuts
from pipeline.report.sentences import patients as patients_phrasing
from pipeline.report.sentences import results as phrasing
from pipeline.report.sentences import sanity as sanity_phrasing
from pipeline.report.sentences.numerals import SPACE
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import data_uri

TEMPLATES = Path(__file__).parents[1] / "templates"


def write_report(run: RunFolder) -> None:
    """Write the report of a run that was evaluated and explained.

    ``report.html``, the one-page ``model_facts.html`` with its JSON, ``checklists.json``, ``figures.csv``,
    ``importance.csv``, and the pages of the cases that the report links to.

    The page is written last: where it exists, the report is whole.

    Raises:
        RunError: If a file or picture is missing or damaged, or lacks something; names it.
        ReleaseError: If the run's release was altered.
    """
    report = compose(run)
    page, facts = render(report, run.path), model_facts(report)
    write_tables(run, report)
    run.write_json("model_facts.json", facts)
    run.write_text("model_facts.html", render_facts(report))
    run.write_json("checklists.json", {one.key: asdict(one) for one in fill_checklists(report)})
    for failure in report.scrutiny.failures.gallery if report.scrutiny.failures else ():
        if failure.page is not None:
            write_case_page(run, failure.image_id)
    run.write_text("report.html", page)


def render(report: RunReport, folder: Path) -> str:
    """The page.

    Args:
        report: What it says.
        folder: Where the pictures of the exemplars are.

    Raises:
        RunError: If a picture is missing.
    """
    return (
        _environment()
        .get_template("report.html")
        .render(
            report=report,
            say=phrasing,
            tell=explained_phrasing,
            write=numerals,
            directions=directions,
            shortcuts=shortcuts,
            numerals=numerals,
            names=report.names,
            activation=report.whitening.activation,
            assessable=[one for one in report.concepts if report.verdict(one) is not Verdict.NOT_ASSESSABLE],
            diagnoses=[("macro", "all diagnoses (macro)"), *((one.id, one.name) for one in report.classes)],
            further=further_figures(report),
            further_baselines=[
                key for key in FURTHER_BASELINES if all(key in one.further_baselines for one in report.concepts)
            ],
            auc=AucCharts(report),
            ratios=RatioCharts(report.importance),
            share_bar=_share_bar,
            check=sanity_phrasing,
            tested=None if report.scrutiny.sanity is None else SanityCharts(report.scrutiny.sanity),
            people=patients_phrasing,
            facts=model_facts(report),
            checklists=fill_checklists(report),
            picture=lambda name: data_uri(folder, name),
            shade=shade,
            style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        )
    )


def render_facts(report: RunReport) -> str:
    """The one-page summary alone."""
    return (
        _environment()
        .get_template("model_facts.html")
        .render(
            report=report,
            facts=model_facts(report),
            title=facts_title(report),
            write=numerals,
            style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        )
    )


def further_figures(report: RunReport) -> list[tuple[str, list[tuple[str, Estimate, Estimate]]]]:
    """What is shown beside the AUC, in groups with a heading: name, the plain network's figure, the whitened one's."""
    plain, whitened = report.plain, report.whitened
    by_specificity = (
        (80, plain.sensitivity_80, whitened.sensitivity_80),
        (90, plain.sensitivity_90, whitened.sensitivity_90),
    )
    sensitivities = [
        (
            f"Sensitivity at {at}{SPACE}% specificity",
            [(one.name, ours[one.id], other[one.id]) for one in report.classes],
        )
        for at, ours, other in by_specificity
    ]
    accuracy = ("balanced accuracy", plain.balanced_accuracy, whitened.balanced_accuracy)
    calibration = ("expected calibration error (0 is best)", plain.ece, whitened.ece)
    return [("", [accuracy]), *sensitivities, ("", [calibration])]


class AucCharts:
    """The strips of AUCs, those of diagnoses on one axis and those of concepts on another."""

    def __init__(self, report: RunReport) -> None:
        self._report = report
        self._diagnoses = charts.auc_scale([*report.plain.auc.values(), *report.whitened.auc.values()])
        self._concepts = charts.auc_scale(figure for one in report.concepts for figure in self._figures(one))

    def diagnosis(self, key: str, name: str) -> Markup:
        """The plain and the whitened network's AUC for a diagnosis, or ``macro``."""
        dots = [
            Dot(self._report.plain.auc[key], "plain", "plain network"),
            Dot(self._report.whitened.auc[key], "accent", "whitened network"),
        ]
        return Markup(charts.strip(dots, self._diagnoses, title=f"AUC, {name}"))

    def concept(self, concept: ConceptFigures) -> Markup:
        """The AUC of the axis, of the linear probe and of the best filter."""
        names = (("accent", "axis"), ("plain", "linear probe"), ("faint", "best filter"))
        dots = [Dot(figure, style, name) for figure, (style, name) in zip(self._figures(concept), names, strict=True)]
        return Markup(charts.strip(dots, self._concepts, title=f"AUC, {concept.name}"))

    @property
    def diagnosis_axis(self) -> Markup:
        """Labels of the diagnoses' axis."""
        return _axis(self._diagnoses, "AUC, axis")

    @property
    def concept_axis(self) -> Markup:
        """Labels of the concepts' axis."""
        return _axis(self._concepts, "AUC, axis")

    def _figures(self, concept: ConceptFigures) -> tuple[Estimate, Estimate, Estimate]:
        return concept.axis_auc[self._report.whitening.activation], concept.probe_auc, concept.best_filter_auc


class RatioCharts:
    """The strips of importance, all on one axis so that panels can be compared."""

    def __init__(self, panels: Iterable[ImportancePanel]) -> None:
        rows = [row for panel in panels for row in panel.concepts]
        ends = [end for row in rows for end in (row.ratio.low, row.ratio.high, row.null_low, row.null_high)]
        self._scale = charts.ratio_scale([*ends, *(row.planted for row in rows if row.planted is not None)])
        self.has_planted = any(row.planted is not None for row in rows)

    def strips(self, panel: ImportancePanel) -> list[tuple[Any, Markup]]:
        """Each concept of a panel with its strip."""
        return [
            (
                row,
                Markup(
                    charts.strip(
                        [Dot(row.ratio, "accent" if row.stands_out else "plain", "ratio")],
                        self._scale,
                        title=f"Importance of {row.name}, {panel.target.name}",
                        band=(row.null_low, row.null_high),
                        planted=row.planted,
                    )
                ),
            )
            for row in panel.concepts
        ]

    @property
    def axis(self) -> Markup:
        """Labels of the axis."""
        return _axis(self._scale, "loss ratio, logarithmic axis")


def shade(auc: float | None) -> int:
    """How strongly a cell of the matrix is shaded, from -50 (answers inversely) over 0 (chance) to 50, in percent."""
    return 0 if auc is None else round(100 * (min(max(auc, 0.0), 1.0) - 0.5))


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _axis(scale: Scale, title: str) -> Markup:
    return Markup(charts.axis(scale, title=title))


def _share_bar(panel: ImportancePanel) -> Markup:
    title = f"Share of unnamed axes, {panel.target.name}"
    return Markup(charts.share_bar(panel.unnamed_share, title=title))
