"""The one-page summary of a run's network: what it is, what for, from what data, how good, and where not."""

from pipeline.report.sentences import facts as sentences
from pipeline.report.sentences.cohort import source
from pipeline.results.facts import FactFigure, ModelFacts
from pipeline.run.results import RunResults


def model_facts(report: RunResults) -> ModelFacts:
    """Sum up what a run says of its network."""
    diagnosis = report.evaluation.diagnosis
    whitened = diagnosis.whitened
    names = {identifier: report.names.diagnosis(identifier) for identifier in report.evaluation.classes}
    figures = {
        "macro AUC": whitened.auc["macro"],
        **{f"AUC, {name}": whitened.auc[identifier] for identifier, name in names.items()},
        **{
            f"sensitivity at 80 % specificity, {name}": whitened.sensitivity_at_specificity_80[identifier]
            for identifier, name in names.items()
        },
        "balanced accuracy": whitened.balanced_accuracy,
        "expected calibration error (0 is best)": whitened.ece,
        "macro AUC minus that of the plain network": diagnosis.difference,
    }
    return ModelFacts(
        run=report.record.id,
        started=report.record.started,
        commit=report.record.commit or "unknown",
        what_it_is=sentences.what_it_is(report),
        intended_use=sentences.INTENDED_USE,
        not_for=sentences.NOT_FOR,
        data=sentences.data(report),
        output=sentences.NETWORK,
        figures=tuple(FactFigure(name=name, figure=figure) for name, figure in figures.items()),
        concepts=sentences.concepts(report),
        explanation=sentences.explanation(report),
        limits=sentences.weaknesses(report),
        caution=sentences.CAUTION,
    )


def facts_title(report: RunResults) -> str:
    """Write the title of the page."""
    return f"Model facts: {report.record.id}, {source(report.evaluation.cohort)}"
