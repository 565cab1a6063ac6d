"""The sentences about concepts and their axes. None says more than its interval allows."""

from concepts.example import AgreementEntry, ConceptEntry
from concepts.statistics.estimate import is_known
from pipeline.report.sentences.numerals import (
    INTERVAL,
    NOT_ASSESSABLE,
    capital,
    count,
    enumeration,
    estimate,
    number,
    plural,
    short,
)
from pipeline.results.axes import (
    RELIABLE_FROM,
    AxisPurity,
    AxisVerdict,
    ChildPurity,
    SubspaceLeak,
)
from pipeline.results.evaluation import Evaluation
from pipeline.results.names import Names

CHANCE = 0.5
BASELINES = {
    "probe": "logistic probe",
    "best_filter": "best single filter",
    "svm": "support vector probe",
    "concept_head": "concept loss without whitening",
}
"""By field of `AxisBaselines`. All but the last are of the plain network, the last of one with concept outputs."""
ORIGINS = {
    "marked": "outlined by experts",
    "measured": "measured on the lesion mask",
    "rule": "derived from metadata",
    "planted": "planted in generated lesions",
    "judged": "judged by readers",
}
AGREEMENT_MEASURES = {
    "percent_agreement": "share of agreeing pairs",
    "cohen_kappa": "Cohen's kappa",
    "fleiss_kappa": "Fleiss' kappa",
    "gwet_ac1": "Gwet's AC1",
    "krippendorff_alpha": "Krippendorff's alpha",
}
ACTIVATIONS = {
    "mean": "mean over the image",
    "max": "maximum over the image",
    "positive_mean": "mean of the positive part",
    "pool_max": "mean over patches of each patch's maximum",
}


RELIABILITY_RULE = (
    f"An axis is called reliable when the lower end of the {INTERVAL} of its AUC, concept present against not, "
    f"is at least {number(RELIABLE_FROM, 2)} on the test images; weak when it is lower; and not assessable when "
    f"there are too few images with or without the concept. An AUC of {number(CHANCE, 1)} is chance, 1 is perfect."
)


def reliability_counts(evaluation: Evaluation) -> str:
    """Count the axes that are reliable, weak and not assessable."""
    verdicts = [evaluation.verdict(concept) for concept in evaluation.axes.purity]
    parts = [
        f"{count(verdicts.count(verdict))} {'is' if verdicts.count(verdict) == 1 else 'are'} {verdict}"
        for verdict in AxisVerdict
        if verdict in verdicts
    ]
    return f"Of {plural(len(verdicts), 'concept axis', 'concept axes')}, {enumeration(parts)}."


def means(evaluation: Evaluation) -> str:
    """Give the mean axis AUC beside the means of what it is compared with."""
    mean = evaluation.axes.mean.axis_auc[evaluation.activation]
    if not is_known(mean):
        return f"The mean axis AUC is {NOT_ASSESSABLE}."
    others = [f"{BASELINES[name]} {short(figure)}" for name, figure in evaluation.axes.mean.baselines.computed.items()]
    return (
        f"The axis AUC, averaged over the assessable concepts, is {estimate(mean)}. For comparison: "
        f"{enumeration(others)}."
    )


def activation(name: str) -> str:
    """Describe how a map becomes one number per image."""
    return ACTIVATIONS.get(name, name.replace("_", " "))


def not_assessable(purity: AxisPurity) -> str:
    """Say why an axis cannot be assessed."""
    reason = purity.reason or "its AUC or interval could not be computed on these test images"
    return f"{NOT_ASSESSABLE} ({reason})"


def verdict(evaluation: Evaluation, concept: str, names: Names) -> str:
    """Say how far a concept's axis may be read as the concept."""
    figure, word, name = evaluation.axis_auc(concept), evaluation.verdict(concept), names.concept(concept)
    if word is AxisVerdict.NOT_ASSESSABLE:
        reason = capital(not_assessable(evaluation.axes.purity[concept]))
        return f"{reason}. Its activation must not be read as {name}."
    order = f"The axis orders test images with {name} above those without with an AUC of {estimate(figure)}"
    if figure.low <= CHANCE:
        return f"{order}: it is not shown to answer to the concept at all."
    return f"{order}: {word}."


def against_probe(purity: AxisPurity, activation: str) -> str:
    """Compare an axis with the linear probe on the plain network; empty where either is not known."""
    axis, probe = purity.axis_auc[activation], purity.baselines.probe
    if not (purity.is_assessable and is_known(axis) and is_known(probe)):
        return ""
    side = "below" if axis.value < probe.value else "above"
    return (
        f"A linear probe on the plain network at the same layer reaches {short(probe)}; the axis is "
        f"{number(abs(axis.value - probe.value))} {side} it."
    )


def rival(evaluation: Evaluation, entry: ConceptEntry, names: Names) -> str:
    """Name the axis that answers better to a concept than the concept's own; empty where there is none."""
    matrix = evaluation.axes.matrix
    axis = matrix.rival(entry.id, entry.parent)
    if axis is None:
        return ""
    return (
        f"The axis of {names.concept(axis)} answers to this concept more strongly (AUC "
        f"{number(matrix.of(axis, entry.id))}), so the two are not kept apart."
    )


def origin(entry: ConceptEntry) -> str:
    """Say how a concept's examples came about."""
    way = ORIGINS.get(entry.origin, entry.origin)
    return f"{way}: {entry.rule.rstrip('.')}" if entry.rule else way


def counts(purity: AxisPurity) -> str:
    """Count the images behind a concept's figures."""
    return (
        f"{count(purity.positives)} test images with it, {count(purity.negatives)} without or not marked; "
        f"{count(purity.train_positives)} with it in training"
    )


def reader_agreement(agreement: AgreementEntry | None) -> str:
    """Say how far readers agreed on a concept's examples, with the flag raised at freezing; empty without readers."""
    if agreement is None:
        return ""
    measure = AGREEMENT_MEASURES.get(agreement.measure, agreement.measure.replace("_", " "))
    figure = agreement.figure
    value = estimate(figure) if is_known(figure) else NOT_ASSESSABLE
    sentence = f"Agreement of its {plural(agreement.readers, 'reader')} ({measure}): {value}."
    return f"{sentence} Flagged at freezing: {agreement.flag}" if agreement.flag else sentence


def child(purity: ChildPurity) -> str:
    """Say whether a sub-concept's axis tells it from its siblings."""
    if purity.reason is not None or not is_known(purity.sibling_auc):
        return f"{capital(NOT_ASSESSABLE)} inside the parent: {purity.reason or 'its AUC has no interval'}."
    if purity.sibling_auc.low > CHANCE:
        siblings = "Told from its siblings by its own axis beyond chance"
    else:
        siblings = "Not shown to be told from its siblings by its own axis"
    is_apart = purity.parent_axis_auc.low <= CHANCE <= purity.parent_axis_auc.high
    levels = "is not shown to answer to the difference" if is_apart else "answers to the difference too"
    return f"{siblings}; the parent's axis {levels}."


def leak(strongest: SubspaceLeak | None, names: Names) -> str:
    """Say how strongly a subspace answers to a concept outside it."""
    if strongest is None:
        return "No concept outside this subspace can be assessed, so what leaks out of it is not known."
    is_free = strongest.axis.startswith("free axis")
    axis = strongest.axis if is_free else f"axis of {names.concept(strongest.axis)}"
    return (
        f"Of {plural(strongest.pairs, 'pair')} of an axis of this subspace and a concept outside it, the AUC farthest "
        f"from chance is that of the {axis} for {names.concept(strongest.concept)}: {estimate(strongest.auc)}. As the "
        "largest of so many it is biased away from chance."
    )
