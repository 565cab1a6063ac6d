"""The one-page summary of a run's network: what it is, what for, from what data, how good, and where not."""

from dataclasses import dataclass
from typing import Any

from concepts.statistics.estimate import Estimate
from pipeline.report.sentences import facts as facts_phrasing
from pipeline.report.sentences.cohort import source
from pipeline.run.results import RunResults


@dataclass(frozen=True)
class FactFigure:
    """A figure of the summary."""

    name: str
    figure: Estimate


@dataclass(frozen=True)
class ModelFacts:
    """The summary.

    Attributes:
        name: Of the run.
        made: When it was started, ISO 8601.
        version: Commit of the code.
        what_it_is: The network.
        intended_use: What it is for.
        not_for: What it is not for.
        data: What it learnt from.
        output: What it gives.
        figures: On test images.
        concepts: Which axes can be relied on.
        explanation: What carries its decisions.
        limits: Where it may fail.
        caution: That it is no medical device.
    """

    name: str
    made: str
    version: str
    what_it_is: str
    intended_use: str
    not_for: str
    data: str
    output: str
    figures: tuple[FactFigure, ...]
    concepts: str
    explanation: str
    limits: tuple[str, ...]
    caution: str

    def to_json(self) -> dict[str, Any]:
        """As ``model_facts.json`` holds it; figures are ``{value, low, high, n}``."""
        figures = [{"name": one.name, "figure": one.figure.to_json()} for one in self.figures]
        return vars(self) | {"figures": figures, "limits": list(self.limits)}


def model_facts(report: RunResults) -> ModelFacts:
    """The summary of a report."""
    diagnosis = report.evaluation.diagnosis
    whitened = diagnosis.whitened
    names = {identifier: report.names.diagnosis(identifier) for identifier in report.evaluation.classes}
    return ModelFacts(
        name=report.record.id,
        made=report.record.started,
        version=report.record.commit or "unknown",
        what_it_is=facts_phrasing.what_it_is(report),
        intended_use=facts_phrasing.INTENDED_USE,
        not_for=facts_phrasing.NOT_FOR,
        data=facts_phrasing.data(report),
        output=facts_phrasing.NETWORK,
        figures=(
            FactFigure("macro AUC", whitened.auc["macro"]),
            *(FactFigure(f"AUC, {name}", whitened.auc[identifier]) for identifier, name in names.items()),
            *(
                FactFigure(
                    f"sensitivity at 80 % specificity, {name}", whitened.sensitivity_at_specificity_80[identifier]
                )
                for identifier, name in names.items()
            ),
            FactFigure("balanced accuracy", whitened.balanced_accuracy),
            FactFigure("expected calibration error (0 is best)", whitened.ece),
            FactFigure("macro AUC minus that of the plain network", diagnosis.difference),
        ),
        concepts=facts_phrasing.concepts(report),
        explanation=facts_phrasing.explanation(report),
        limits=facts_phrasing.weaknesses(report),
        caution=facts_phrasing.CAUTION,
    )


def facts_title(report: RunResults) -> str:
    """What the page is called."""
    return f"Model facts: {report.record.id}, {source(report.evaluation.cohort)}"
