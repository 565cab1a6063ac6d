"""Every sentence that a reader finds about a number. None says more than its interval allows.

Sentences say what the network did on these test images; none says what a lesion is, or what holds for other images.
"""

from math import isnan

from concepts.statistics.estimate import Estimate, is_known
from pipeline.report.sentences.cohort import source
from pipeline.report.sentences.numerals import (
    cases,
    count,
    enumeration,
    estimate,
    interval,
    number,
    plural,
    significant,
)
from pipeline.results.evaluation import DiagnosisResult, WhiteningResult
from pipeline.results.record import LoadedWeights
from pipeline.run.results import RunResults


def what_was_done(report: RunResults) -> str:
    """Say what was trained on which images."""
    evaluation = report.evaluation
    classes = enumeration([report.names.diagnosis(diagnosis) for diagnosis in evaluation.classes])
    return (
        f"A {report.settings.model.architecture} network was trained to tell {classes} apart on "
        f"{plural(evaluation.cohort.images('train'), 'image')} of {source(evaluation.cohort)}. Concept whitening was "
        f"then placed at layer {evaluation.whitening.layer}, where it gives "
        f"{plural(len(evaluation.axes.purity), 'axis', 'axes')} of {count(evaluation.whitening.channels)} to named "
        f"concepts. All figures are from {plural(evaluation.cohort.images('test'), 'test image')} that were used "
        "neither to train nor to choose a network."
    )


def comparison(diagnosis: DiagnosisResult) -> str:
    """Compare the networks' macro AUCs as far as the interval of the difference allows."""
    whitened, plain, difference = diagnosis.whitened.auc["macro"], diagnosis.plain.auc["macro"], diagnosis.difference
    if not (is_known(whitened) and is_known(difference)):
        return f"The macro AUC of the two networks cannot be compared ({cases(whitened)})."
    return (
        f"The whitened network's macro AUC is {estimate(whitened)}, {_against(plain, difference)}: "
        f"{_allows(difference)}."
    )


def auxiliary(diagnosis: DiagnosisResult) -> str:
    """Give the macro AUC of the baseline without whitening; empty where there is none."""
    if diagnosis.auxiliary is None:
        return ""
    return (
        "Trained from the same start with concept outputs beside the diagnosis, but without whitening, a network "
        f"reaches a macro AUC of {estimate(diagnosis.auxiliary.auc['macro'])}."
    )


def whiteness(whitening: WhiteningResult) -> str:
    """Say how white the layer's output is, and what its insertion changed."""
    train, test = whitening.residual.train, whitening.residual.test
    residual = (
        f"The covariance of the layer's output differs from the identity by {_residual(train)} on training and "
        f"{_residual(test)} on test images (relative Frobenius norm; 0 is perfectly white)."
    )
    if isnan(whitening.insertion_change):
        return residual
    return f"{residual} Inserting the layer changed no logit by more than {significant(whitening.insertion_change)}."


def initial_weights(weights: LoadedWeights | None) -> str:
    """Say from which weights training began, and which tensors the file and the network do not share."""
    if weights is None:
        return "Initial weights: random."
    parts = [
        f"{weights.file}, {plural(len(weights.loaded), 'tensor')} loaded",
        f"dropped: {', '.join(weights.dropped)}" if weights.dropped else "",
        f"not in the file: {', '.join(weights.missing)}" if weights.missing else "",
    ]
    return f"Initial weights: {'; '.join(filter(None, parts))}."


def _against(plain: Estimate, difference: Estimate) -> str:
    ends = f"interval of the difference {interval(difference)}"
    if number(difference.value) == number(0.0):
        return f"the same to three decimals as the plain network's {number(plain.value)} ({ends})"
    side = "below" if difference.value < 0 else "above"
    return f"{number(abs(difference.value))} {side} the plain network's {number(plain.value)} ({ends})"


def _allows(difference: Estimate) -> str:
    if difference.high < 0:
        return f"lower than the plain network's by more than chance, by at least {number(-difference.high)}"
    if difference.low > 0:
        return f"higher than the plain network's by more than chance, by at least {number(difference.low)}"
    loss, gain = number(max(-difference.low, 0.0)), number(max(difference.high, 0.0))
    return f"no difference beyond chance is shown, but a loss of up to {loss} or a gain of up to {gain} is not excluded"


def _residual(figure: Estimate) -> str:
    if not is_known(figure):
        return significant(figure.value)
    return f"{significant(figure.value)} ({significant(figure.low)} to {significant(figure.high)}, {cases(figure)})"
