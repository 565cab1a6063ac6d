"""The report as one HTML file that opens anywhere: style, charts and pictures are in it, scripts are not."""

from math import isnan
from pathlib import Path

from markupsafe import Markup

from concepts.statistics.estimate import Estimate
from pipeline.config import dump_settings
from pipeline.explanation.cases.files import case_file
from pipeline.report.pages import charts
from pipeline.report.pages.case import case_page_address, write_case_page
from pipeline.report.pages.charts import Dot, RatioCharts, SanityCharts
from pipeline.report.pages.checklists import fill_checklists
from pipeline.report.pages.environment import fill, style
from pipeline.report.pages.facts import facts_title, model_facts
from pipeline.report.pages.tables import write_tables
from pipeline.report.sentences import (
    cases,
    cohort,
    concepts,
    directions,
    failures,
    importance,
    limits,
    numerals,
    patients,
    results,
    sanity,
    shortcuts,
)
from pipeline.report.sentences.numerals import SPACE
from pipeline.results.axes import AxisVerdict
from pipeline.results.checklists import AnswerStatus
from pipeline.results.evaluation import Evaluation
from pipeline.results.importance import OVERALL, ordered_targets
from pipeline.results.names import Names
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import data_uri
from pipeline.run.results import RunResults, read_results

MACRO = "macro"


def write_report(run: RunFolder) -> None:
    """Write the report of a run that was evaluated and explained.

    ``report.html``, the one-page ``model_facts.html`` with its JSON, ``checklists.json``, ``figures.csv``,
    ``importance.csv``, and the pages of the cases that the report links to.

    The page is written last: where it exists, the report is whole.

    Raises:
        RunError: If a file or picture is missing or damaged, or lacks something; names it.
        ReleaseError: If the run's release was altered.
    """
    report = read_results(run)
    page, facts = render(report, run.path), model_facts(report)
    write_tables(run, report)
    run.write(facts)
    run.write_text("model_facts.html", render_facts(report))
    run.write(fill_checklists(report))
    for image_id in case_pages(report, run.path):
        write_case_page(run, image_id)
    run.write_text("report.html", page)


def render(report: RunResults, folder: Path) -> str:
    """Render the page.

    Args:
        report: What it says.
        folder: Where the pictures of the exemplars are.

    Raises:
        RunError: If a picture is missing.
    """
    evaluation = report.evaluation
    return fill(
        "report.html",
        report=report,
        evaluation=evaluation,
        names=report.names,
        results=results,
        cohort=cohort,
        concepts=concepts,
        limits=limits,
        patients=patients,
        importance=importance,
        sanity=sanity,
        failures=failures,
        numerals=numerals,
        explanation=report.explanation,
        settings_text=dump_settings(report.settings),
        cases=cases,
        directions=directions,
        shortcuts=shortcuts,
        assessable=[
            concept
            for concept in evaluation.axes.purity
            if evaluation.verdict(concept) is not AxisVerdict.NOT_ASSESSABLE
        ],
        diagnoses={MACRO: "all diagnoses (macro)"}
        | {diagnosis: report.names.diagnosis(diagnosis) for diagnosis in evaluation.classes},
        further=further_figures(evaluation, report.names),
        auc=AucCharts(evaluation, report.names),
        targets=ordered_targets(report.explanation.importance),
        ratios=RatioCharts(report.explanation.importance, report.explanation.planted_importance, report.names),
        sanity_charts=None
        if report.explanation.sanity is None
        else SanityCharts(report.explanation.sanity, report.names),
        case_pages=case_pages(report, folder),
        overall=OVERALL,
        facts=model_facts(report),
        checklists=fill_checklists(report).checklists.values(),
        statuses=tuple(AnswerStatus),
        picture=lambda name: data_uri(folder, name),
        shade=shade,
        style=style("report.css"),
    )


def case_pages(report: RunResults, folder: Path) -> dict[str, str]:
    """Give the address of the page of each failure that is among the run's cases, seen from the report."""
    images = [failure.image_id for failure in report.explanation.failures.gallery]
    return {image_id: case_page_address(image_id) for image_id in images if (folder / case_file(image_id)).is_file()}


def render_facts(report: RunResults) -> str:
    """Render the one-page summary alone."""
    return fill(
        "model_facts.html",
        evaluation=report.evaluation,
        facts=model_facts(report),
        title=facts_title(report),
        numerals=numerals,
        style=style("report.css"),
    )


def further_figures(evaluation: Evaluation, names: Names) -> list[tuple[str, list[tuple[str, Estimate, Estimate]]]]:
    """List what is shown beside the AUC, in groups with a heading: name, the plain network's figure, the other's."""
    plain, whitened = evaluation.diagnosis.plain, evaluation.diagnosis.whitened
    by_specificity = (
        (80, plain.sensitivity_at_specificity_80, whitened.sensitivity_at_specificity_80),
        (90, plain.sensitivity_at_specificity_90, whitened.sensitivity_at_specificity_90),
    )
    sensitivities = [
        (
            f"Sensitivity at {specificity}{SPACE}% specificity",
            [
                (names.diagnosis(diagnosis), of_plain[diagnosis], of_whitened[diagnosis])
                for diagnosis in evaluation.classes
            ],
        )
        for specificity, of_plain, of_whitened in by_specificity
    ]
    accuracy = ("balanced accuracy", plain.balanced_accuracy, whitened.balanced_accuracy)
    calibration = ("expected calibration error (0 is best)", plain.ece, whitened.ece)
    return [("", [accuracy]), *sensitivities, ("", [calibration])]


class AucCharts:
    """The strips of AUCs, those of diagnoses on one axis and those of concepts on another.

    Attributes:
        diagnosis_axis: Labels of the diagnoses' axis.
        concept_axis: Labels of the concepts' axis.
    """

    def __init__(self, evaluation: Evaluation, names: Names) -> None:
        self._evaluation, self._names = evaluation, names
        networks = (evaluation.diagnosis.plain, evaluation.diagnosis.whitened)
        self._diagnoses = charts.auc_scale([figure for network in networks for figure in network.auc.values()])
        self._concepts = charts.auc_scale(
            dot.figure for concept in evaluation.axes.purity for dot in self._dots(concept)
        )
        self.diagnosis_axis = Markup(charts.axis(self._diagnoses, title="AUC, axis"))
        self.concept_axis = Markup(charts.axis(self._concepts, title="AUC, axis"))

    def diagnosis(self, key: str, name: str) -> Markup:
        """Draw the plain and the whitened network's AUC for a diagnosis, or ``macro``."""
        dots = [
            Dot(self._evaluation.diagnosis.plain.auc[key], "plain", "plain network"),
            Dot(self._evaluation.diagnosis.whitened.auc[key], "accent", "whitened network"),
        ]
        return Markup(charts.strip(dots, self._diagnoses, title=f"AUC, {name}"))

    def concept(self, concept: str) -> Markup:
        """Draw the AUC of the axis, of the linear probe and of the best filter."""
        name = self._names.concept(concept)
        return Markup(charts.strip(self._dots(concept), self._concepts, title=f"AUC, {name}"))

    def _dots(self, concept: str) -> list[Dot]:
        baselines = self._evaluation.axes.purity[concept].baselines
        return [
            Dot(self._evaluation.axis_auc(concept), "accent", "axis"),
            Dot(baselines.probe, "plain", "linear probe"),
            Dot(baselines.best_filter, "faint", "best filter"),
        ]


def shade(auc: float) -> int:
    """Shade a cell of the matrix, from -50 (answers inversely) over 0 (chance, or not known) to 50, in percent."""
    return 0 if isnan(auc) else round(100 * (min(max(auc, 0.0), 1.0) - 0.5))
