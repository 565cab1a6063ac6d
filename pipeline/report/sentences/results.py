"""Every sentence that a reader finds about a number. None says more than its interval allows.

Sentences say what the network did on these test images; none says what a lesion is, or what holds for other images.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from concepts.statistics.estimate import Estimate, is_known
from pipeline.report.content import (
    RELIABLE_FROM,
    ChildFigures,
    ConceptFigures,
    ConceptImportance,
    Exemplar,
    ImportancePanel,
    Marking,
    RunReport,
    SubspaceFigures,
    Verdict,
)
from pipeline.report.sentences.numerals import (
    INTERVAL,
    NOT_ASSESSABLE,
    SPACE,
    capital,
    cases,
    count,
    enumeration,
    estimate,
    interval,
    number,
    plural,
    share,
    short,
    significant,
)

CHANCE = 0.5
BASELINE_NAMES = {
    "probe_auc": "logistic probe",
    "best_filter_auc": "best single filter",
    "svm_auc": "support vector probe",
    "auxiliary_auc": "concept loss without whitening",
}
"""All but the last are of the plain network; `auxiliary_auc` is of a network trained with concept outputs."""
OVERALL = "overall"
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
SOURCES = {"phantom": "the generated phantom cohort", "isic2018": "ISIC 2018", "isic": "the ISIC archive"}
MARKINGS = {
    Marking.PRESENT: "✓ present",
    Marking.ABSENT: "absent",
    Marking.UNMARKED: "not marked",
    Marking.UNKNOWN: "unknown",
}
ACTIVATIONS = {
    "mean": "mean over the image",
    "max": "maximum over the image",
    "positive_mean": "mean of what is above zero",
    "pool_max": "mean over patches of each patch's maximum",
}


def what_was_done(report: RunReport) -> str:
    """What was trained on what."""
    classes = enumeration([one.name for one in report.classes])
    return (
        f"A {report.architecture} network was trained to tell {classes} apart on "
        f"{plural(report.cohort.images('train'), 'image')} of {source(report)}. Then concept whitening was put in "
        f"at its layer {report.whitening.layer}, which gives {plural(len(report.concepts), 'axis', 'axes')} of that "
        f"layer's {count(report.whitening.channels)} to named concepts. All figures are from "
        f"{plural(report.cohort.images('test'), 'test image')} that served neither training nor choosing."
    )


def source(report: RunReport) -> str:
    """Where the images come from."""
    return SOURCES.get(report.cohort.source, report.cohort.source)


def comparison(report: RunReport) -> str:
    """The whitened network's macro AUC against the plain network's, and what the interval of the difference allows."""
    whitened, plain, difference = report.whitened.auc["macro"], report.plain.auc["macro"], report.difference
    if not (is_known(whitened) and is_known(difference)):
        return f"The macro AUC of the two networks cannot be compared ({cases(whitened)})."
    first = f"The whitened network's macro AUC is {estimate(whitened)}"
    return f"{first}, {_against(plain, difference)}: {_allows(difference)}."


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


def not_assessable(concept: ConceptFigures) -> str:
    """Why an axis cannot be assessed."""
    reason = concept.reason or "its AUC or interval could not be computed on these test images"
    return f"{NOT_ASSESSABLE} ({reason})"


def reliability_rule() -> str:
    """The rule behind the verdict words."""
    return (
        f"An axis is called reliable when the lower end of the {INTERVAL} of its AUC, concept present against not, "
        f"is at least {number(RELIABLE_FROM, 2)} on the test images; weak when it is lower; and not assessable when "
        f"there are too few images with or without the concept. An AUC of {number(CHANCE, 1)} is chance, 1 is perfect."
    )


def reliability_counts(report: RunReport) -> str:
    """How many axes are reliable, weak and not assessable."""
    verdicts = [report.verdict(concept) for concept in report.concepts]
    parts = [
        f"{count(verdicts.count(verdict))} {'is' if verdicts.count(verdict) == 1 else 'are'} {verdict}"
        for verdict in Verdict
        if verdict in verdicts
    ]
    return f"Of {plural(len(verdicts), 'concept axis', 'concept axes')}, {enumeration(parts)}."


def concept_verdict(concept: ConceptFigures, activation: str) -> str:
    """How far a concept's axis may be read as the concept."""
    figure = concept.axis_auc[activation]
    verdict = concept.verdict(activation)
    if verdict is Verdict.NOT_ASSESSABLE:
        return f"{capital(not_assessable(concept))}. Its activation must not be read as {concept.name}."
    said = f"The axis orders test images with {concept.name} above those without with an AUC of {estimate(figure)}"
    if figure.low <= CHANCE:
        return f"{said}: it is not shown to answer to the concept at all."
    return f"{said}: {verdict}."


def concept_rival(concept: ConceptFigures) -> str | None:
    """Whether another named axis answers better to the concept."""
    if concept.rival is None:
        return None
    return (
        f"The axis of {concept.rival.name} answers to this concept more strongly (AUC {number(concept.rival.auc)}), "
        "so the two are not kept apart."
    )


def baseline(concept: ConceptFigures, activation: str) -> str | None:
    """The axis against the linear probe on the plain network, in words; none where either is not known."""
    axis, probe = concept.axis_auc[activation], concept.probe_auc
    if concept.reason is not None or not (is_known(axis) and is_known(probe)):
        return None
    side = "below" if axis.value < probe.value else "above"
    return (
        f"A linear probe on the plain network at the same layer reaches {short(probe)}; the axis is "
        f"{number(abs(axis.value - probe.value))} {side} it."
    )


def reader_agreement(concept: ConceptFigures) -> str | None:
    """How far the readers agreed on the concept's examples, and the flag that was raised at freezing."""
    found = concept.agreement
    if found is None:
        return None
    name = AGREEMENT_MEASURES.get(found.measure, found.measure.replace("_", " "))
    value = estimate(found.value) if is_known(found.value) else NOT_ASSESSABLE
    said = f"Agreement of its {plural(found.readers, 'reader')} ({name}): {value}."
    return f"{said} Flagged at freezing: {found.flag}" if found.flag else said


def test_counts(concept: ConceptFigures) -> str:
    """The images behind a concept's figures."""
    return (
        f"{count(concept.positives)} test images with it, {count(concept.negatives)} without or not marked; "
        f"{count(concept.train_positives)} with it in training"
    )


def origin(concept: ConceptFigures) -> str:
    """How a concept's examples came about."""
    said = ORIGINS.get(concept.origin, concept.origin)
    return f"{said}: {concept.rule.rstrip('.')}" if concept.rule else said


def activation(name: str) -> str:
    """How a map becomes one number per image."""
    return ACTIVATIONS.get(name, name.replace("_", " "))


def loaded(weights: Mapping[str, Any]) -> str:
    """How many tensors of a weights file were used, given as a number or as their names."""
    tensors = weights.get("loaded", 0)
    return count(tensors if isinstance(tensors, int) else len(tensors))


def child_figures(child: ChildFigures) -> str:
    """Whether a sub-concept's axis tells it from its siblings."""
    if child.reason is not None or not is_known(child.sibling_auc):
        return f"{capital(NOT_ASSESSABLE)} inside the parent: {child.reason or 'its AUC has no interval'}."
    if child.sibling_auc.low > CHANCE:
        said = "Told from its siblings by its own axis beyond chance"
    else:
        said = "Not shown to be told from its siblings by its own axis"
    apart = child.parent_axis_auc.low <= CHANCE <= child.parent_axis_auc.high
    levels = "is not shown to answer to the difference" if apart else "answers to the difference too"
    return f"{said}; the parent's axis {levels}."


def leak(subspace: SubspaceFigures) -> str:
    """How strongly a subspace answers to a concept outside it."""
    if subspace.leak is None:
        return "No concept outside this subspace can be assessed, so what leaks out of it is not known."
    one = subspace.leak
    return (
        f"Of {plural(one.pairs, 'pair')} of an axis of this subspace and a concept outside it, the AUC farthest from "
        f"chance is that of the {one.axis} for {one.concept}: {estimate(one.auc)}. As the largest of so many it is "
        "biased away from chance."
    )


def purity_means(report: RunReport) -> str:
    """Mean axis AUC against the means of probe and best filter."""
    mean = report.purity_mean["axis_auc"]
    if not is_known(mean):
        return f"The mean axis AUC is {NOT_ASSESSABLE}."
    others = [
        f"{name} {short(report.purity_mean[key])}" for key, name in BASELINE_NAMES.items() if key in report.purity_mean
    ]
    against = f" For comparison: {enumeration(others)}." if others else ""
    return f"Mean over the assessable concepts, the axis AUC is {estimate(mean)}.{against}"


def tcav() -> str:
    """How to read concept vectors against importance."""
    return (
        "An independent account of the plain network, made after its training: a share near 1 says that the logit "
        "rises when a case is moved towards the concept, near 0 that it falls. Shares inside the band say nothing. "
        "Unlike importance it gives a direction, and no size."
    )


def auxiliary(report: RunReport) -> str | None:
    """The macro AUC of the baseline without whitening, where there is one."""
    if report.auxiliary is None:
        return None
    return (
        "Trained from the same start with concept outputs beside the diagnosis, but without whitening, a network "
        f"reaches a macro AUC of {estimate(report.auxiliary.auc['macro'])}."
    )


def whiteness(report: RunReport) -> str:
    """How white the layer's output is."""
    facts = report.whitening
    said = (
        f"The covariance of the layer's output differs from the identity by {_residual(facts.residual_train)} on "
        f"training and {_residual(facts.residual_test)} on test images (relative Frobenius norm; 0 is perfectly white)."
    )
    if facts.insertion_change is None:
        return said
    return f"{said} Putting the layer in changed no logit by more than {significant(facts.insertion_change)}."


def _residual(figure: Estimate) -> str:
    if not is_known(figure):
        return significant(figure.value)
    return f"{significant(figure.value)} ({significant(figure.low)} to {significant(figure.high)}, {cases(figure)})"


def importance(panel: ImportancePanel) -> str:
    """Which concepts stand out for a diagnosis, and by how much."""
    subject = "Over all diagnoses" if panel.target.id == OVERALL else f"For {panel.target.name}"
    outstanding = [row for row in panel.concepts if row.stands_out]
    if not outstanding:
        return (
            f"{subject}, no named axis is shown to matter more than a single unnamed axis does; "
            "the intervals say how much each may."
        )
    first = max(outstanding, key=lambda row: row.ratio.value)
    rest = [row for row in outstanding if row is not first]
    return (
        f"{subject}, of the named axes the network used that of {first.name} most: with it permuted, the loss is "
        f"{estimate(first.ratio, 2)} times what it is otherwise.{_caveat(first)}{_others(first, rest)}"
    )


def _others(first: ConceptImportance, rest: Sequence[ConceptImportance]) -> str:
    if not rest:
        return ""
    said = f" Also above the band of single unnamed axes: {enumeration([row.name for row in rest])}."
    close = [row.name for row in rest if row.ratio.high >= first.ratio.low]
    return f"{said} The intervals do not tell the first from {enumeration(close)}." if close else said


def _caveat(row: ConceptImportance) -> str:
    if row.verdict is Verdict.RELIABLE:
        return ""
    return f" That axis is {row.verdict}, so this need not be the concept itself."


def unnamed_share(panel: ImportancePanel) -> str:
    """How much of the importance no named axis carries."""
    whole = "what the layer contributes"
    subject = whole if panel.target.id == OVERALL else f"{whole} to {panel.target.name}"
    if not is_known(panel.unnamed_share):
        return f"What share of {subject} no named axis carries is {NOT_ASSESSABLE}."
    return f"Unnamed axes carry {share(panel.unnamed_share)} of {subject}: no concept here explains that."


def exemplar(image: Exemplar, concept: str) -> str:
    """The alternative text of an exemplar's picture."""
    known = {
        Marking.PRESENT: f"{concept} is present",
        Marking.ABSENT: f"{concept} is absent",
        Marking.UNMARKED: f"{concept} was not marked",
        Marking.UNKNOWN: f"whether {concept} is present is not known",
    }[image.marking]
    return f"Test image {image.image_id}, diagnosis {image.diagnosis}; {known}."


def percentile(image: Exemplar) -> str:
    """Where an activation stands among the test images: ``percentile 99.8``."""
    return f"percentile {number(image.percentile, 1)}"


def limits(report: RunReport) -> tuple[str, ...]:
    """What the figures are not."""
    said = [
        "An importance ratio is the loss with one axis permuted across the whole test set over the loss without. It "
        "says that the network used the axis on these images. It does not say that the concept causes, or is a sign "
        "of, the diagnosis, and it does not say which way it counts.",
        f"Intervals are 95{SPACE}% bootstrap intervals over {count(report.provenance.resamples)} resamples of groups "
        "(patients, or lesions or near-duplicates where no patient is known); that of the whitening residual is a "
        "jackknife over blocks of groups. They cover the choice of test images, not the chance of training: another "
        "seed may give another network.",
        "The checkpoint was chosen on the validation part. The test part chose nothing.",
        _unmarked(report),
        _thin(report),
        "Many figures stand here and none is corrected for their number; some intervals miss the truth by chance.",
        f"Axes without a name carry importance too. Over all diagnoses: {share(report.importance[0].unnamed_share)}.",
        "Images from other devices, clinics or skin tones than those of the cohort were not tested.",
    ]
    return tuple(filter(None, said))


def _unmarked(report: RunReport) -> str:
    if not any(concept.origin == "marked" for concept in report.concepts):
        return ""
    counted = "counts as absent in these figures" if report.provenance.unmarked_is_absent else "is left out of them"
    return (
        f"Not marked is not absent: an image in which nobody outlined a concept {counted}, and may still show it. "
        "Axis AUCs of marked concepts are therefore rough."
    )


def _thin(report: RunReport) -> str:
    thin = [concept for concept in report.concepts if report.verdict(concept) is Verdict.NOT_ASSESSABLE]
    if not thin:
        return ""
    listed = enumeration([f"{concept.name}, {not_assessable(concept)}" for concept in thin])
    return (
        f"Too few examples: {listed}. How far their axes answer to them is not known, and the importance of those axes "
        "must not be read as theirs."
    )


def splitting(report: RunReport) -> str:
    """How the images were kept together."""
    words = {"patient": "by patient", "lesion": "by lesion", "near-duplicate": "by near-duplicate", "none": "alone"}
    grouped = report.cohort.grouped_by
    parts = [f"{count(amount)} {words.get(kind, kind)}" for kind, amount in grouped.items() if amount]
    kept = f" Images were kept together: {enumeration(parts)}." if parts else ""
    return f"No group of related images is in two parts.{kept}"
