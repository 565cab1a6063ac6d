"""The sentences about what the figures of a report are not."""

from pipeline.report.sentences.concepts import not_assessable
from pipeline.report.sentences.numerals import SPACE, count, enumeration, share
from pipeline.results.axes import AxisVerdict
from pipeline.results.importance import OVERALL
from pipeline.run.results import RunResults


def limits_of(report: RunResults) -> tuple[str, ...]:
    """List what the figures do not show."""
    sentences = [
        "An importance ratio is the loss with one axis permuted across the whole test set over the loss without. It "
        "says that the network used the axis on these images. It does not say that the concept causes, or is a sign "
        "of, the diagnosis, and it does not say which way it counts.",
        f"Intervals are 95{SPACE}% bootstrap intervals over {count(report.settings.evaluation.resamples)} resamples of "
        "groups (patients, or lesions or near-duplicates where no patient is known); that of the whitening residual is "
        "a jackknife over blocks of groups. They cover the choice of test images, not the chance of training: another "
        "seed may give another network.",
        "The checkpoint was chosen on the validation part. The test part chose nothing.",
        _unmarked(report),
        _thin(report),
        "There are many figures here and none is corrected for their number; some intervals miss the truth by chance.",
        "Unnamed axes carry importance too. Over all diagnoses: "
        f"{share(report.explanation.importance[OVERALL].unnamed_share)}.",
        "Images from other devices, clinics or skin tones than those of the cohort were not tested.",
    ]
    return tuple(filter(None, sentences))


def _unmarked(report: RunResults) -> str:
    if not report.has_marked_concepts:
        return ""
    treated = (
        "counts as absent in these figures" if report.settings.concepts.unmarked_is_absent else "is left out of them"
    )
    return (
        f"Not marked is not absent: an image in which nobody outlined a concept {treated}, and may still show it. "
        "Axis AUCs of marked concepts are therefore rough."
    )


def _thin(report: RunResults) -> str:
    purity = report.evaluation.axes.purity
    thin = [concept for concept in purity if report.evaluation.verdict(concept) is AxisVerdict.NOT_ASSESSABLE]
    if not thin:
        return ""
    listed = enumeration([f"{report.names.concept(concept)}, {not_assessable(purity[concept])}" for concept in thin])
    return (
        f"Too few examples: {listed}. How far their axes answer to them is not known, and the importance of those axes "
        "must not be read as theirs."
    )
