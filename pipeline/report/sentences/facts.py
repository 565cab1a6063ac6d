"""The sentences of the one-page model facts."""

from pipeline.report.sentences import failures, patients, sanity
from pipeline.report.sentences.cohort import source, splitting
from pipeline.report.sentences.numerals import capital, count, enumeration, plural, share
from pipeline.results.axes import AxisVerdict
from pipeline.results.importance import OVERALL
from pipeline.run.results import RunResults

CAUTION = (
    "Research software, not a medical device. Nobody has cleared or certified it, and no study with patients "
    "was made. It must not be used to diagnose or treat anyone."
)
INTENDED_USE = (
    "Research on which dermoscopic concepts a network uses, by readers who know the concepts and the limits below."
)
NOT_FOR = "Not for any decision about a patient: no diagnosis, triage, follow-up or advice."
NETWORK = (
    "A probability for each of these diagnoses and an activation for each concept. It knows no other diagnoses and "
    "always answers, even to an image that shows no lesion; the flag out of scope may warn, or may not."
)


def what_it_is(report: RunResults) -> str:
    """Say what the network is, in a sentence."""
    evaluation = report.evaluation
    classes = enumeration([report.names.diagnosis(diagnosis) for diagnosis in evaluation.classes])
    return (
        f"A {report.settings.model.architecture} classifier of {classes}, with concept whitening at layer "
        f"{evaluation.whitening.layer}: {plural(len(evaluation.axes.purity), 'axis', 'axes')} of "
        f"{count(evaluation.whitening.channels)} named after concepts."
    )


def data(report: RunResults) -> str:
    """Say what it was trained and tested on."""
    cohort, release = report.evaluation.cohort, report.release
    parts = [f"{count(part.images)} {name} images" for name, part in cohort.parts.items()]
    return (
        f"{capital(source(cohort))}: {enumeration(parts)}. {splitting(cohort)} Concepts: release "
        f"{release.name}, version {release.version}."
    )


def concepts(report: RunResults) -> str:
    """Name the axes that can be relied on, and those that cannot."""
    evaluation, names = report.evaluation, report.names
    by_verdict = {
        verdict: [
            names.concept(concept) for concept in evaluation.axes.purity if evaluation.verdict(concept) is verdict
        ]
        for verdict in AxisVerdict
    }
    verdicts = [f"{verdict}: {enumeration(concepts)}" for verdict, concepts in by_verdict.items() if concepts]
    return f"{capital('; '.join(verdicts))}. An axis that is not reliable must not be read as its concept."


def explanation(report: RunResults) -> str:
    """Say what carries the decision, and whether that survives the sanity checks."""
    unnamed = share(report.explanation.importance[OVERALL].unnamed_share)
    survives = sanity.summary(report.explanation.sanity, report.names)
    return f"Unnamed axes carry {unnamed} of what the layer contributes. {survives}".strip()


def weaknesses(report: RunResults) -> tuple[str, ...]:
    """List what a reader must know before relying on any figure."""
    sentences = [
        "It was tested on images of its own cohort only; expect worse on those of other clinics, devices and patients.",
        failures.rates(report.explanation.failures),
        patients.subgroups(report.evaluation.subgroups),
        _skin(report),
        "An axis says what the network used, not what a lesion is, nor what causes a disease.",
    ]
    return tuple(filter(None, sentences))


def _skin(report: RunResults) -> str:
    if "skin tone" in report.evaluation.subgroups.subgroups:
        return ""
    return "Skin tones of the patients are not known, so how well it does by skin tone is not known either."
