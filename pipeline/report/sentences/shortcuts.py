"""Every sentence that a reader of the report finds about artefacts, shortcuts and suppression."""

from math import exp

from concepts.statistics.estimate import Estimate, is_known
from concepts.statistics.intervals import wilson
from pipeline.report.sentences import numerals
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
    percent,
    plural,
    significant,
)
from pipeline.results.names import Names
from pipeline.results.shortcuts import (
    ArtefactAudit,
    ArtefactEffect,
    ArtefactResult,
    CounterpartFigures,
    LabelSource,
    MeasureQuality,
    PresenceCounts,
    ShortcutAudit,
    ShortcutVerdict,
    Suppression,
    total_counts,
)

FIGURES = {"macro_auc": "macro AUC", "balanced_accuracy": "balanced accuracy"}
NO_LABELS = (
    "Nobody labelled artefacts (hair, ruler, ink, dark corners, gel bubbles, colour patches) in these images, so "
    "whether the network takes a shortcut through one of them is not known. Label them as concepts of a release; they "
    "are then audited, whether or not they have an axis."
)
COLUMNS = (
    f"Changes are of the log-odds of a diagnosis, in nats, with {INTERVAL} and n: 0.7 doubles the odds, 2.3 makes them "
    'ten times as high. "Taken out" sets the layer\'s directions for the artefact to what they are without it, in the '
    'images that have it; "put in" gives images without it what the layer has in images of the same diagnosis with it. '
    "The loss ratio is the loss of the diagnosis with the directions away, in all images, over the loss with them."
)
DRAWN = '"Drawn" is exact: the same lesion is drawn with and without the artefact, and nothing else changes.'
CHANCE = 0.5
SOURCES = {
    LabelSource.READERS: "Readers said which images have it.",
    LabelSource.PLANTED: "It was planted, so which images have it is known.",
    LabelSource.MEASURED: "Which images have it was measured in the picture; readers did not judge it.",
}
SENSITIVE = 0.8
"""Share of the images with an artefact that a measure must detect, at the interval's lower end, to be relied on."""
SPECIFIC = 0.1
"""Share of the images without it in which it may detect it, at the interval's upper end."""


def summary(audit: ShortcutAudit, names: Names) -> str:
    """Say which artefacts are shortcuts."""
    if not audit.artefacts:
        return NO_LABELS
    if not audit.audited:
        return (
            f"Of {plural(len(audit.artefacts), 'labelled artefact')}, none has {audit.fewest} training images with it "
            f"and {audit.fewest} without: too few images to say whether any is a shortcut."
        )
    audited = enumeration([names.concept(artefact) for artefact in audit.audited])
    if not audit.named:
        return (
            f"No artefact is named as a shortcut. Audited: {audited}. That none is named does not show that there "
            "is none: the intervals below say how large an effect may be."
        )
    pairs = []
    for pair in audit.named:
        measured = f" ({LabelSource.MEASURED})" if pair.artefact in audit.measured else ""
        pairs.append(f"{names.concept(pair.artefact)}{measured} for {names.diagnosis(pair.diagnosis)}")
    return f"Named as shortcuts, the strongest first: {enumeration(pairs)}. Audited: {audited}."


def unlabelled(audit: ShortcutAudit, names: Names) -> str:
    """Say for which artefacts nobody labelled images; empty where all are labelled or planted."""
    if not audit.measured:
        return ""
    return (
        f"Nobody labelled {enumeration([names.concept(artefact) for artefact in audit.measured])} in these images: "
        "which of them have it was measured in the picture. A measure misses some artefacts and sees others where "
        "there are none. Parts of a lesion can be among these, and they go with its diagnosis: look at the images "
        "before you believe that such an artefact is a shortcut."
    )


def label_source(name: str, artefact: ArtefactResult) -> str:
    """Say who labelled an artefact; where it is measured, how well.

    Args:
        name: What the artefact is called.
        artefact: The artefact.
    """
    source = SOURCES[artefact.labels]
    return source if artefact.measure is None else f"{source} {_quality(name, artefact, artefact.measure)}"


def _quality(name: str, artefact: ArtefactResult, quality: MeasureQuality) -> str:
    sensitivity = wilson(quality.detected, quality.present)
    false_alarms = wilson(quality.false_alarms, quality.absent)
    text = (
        "In dermoscopic images of ISIC 2018 that a developer looked through, no clinician, the measure detected "
        f"{name} in {_percentage(sensitivity)} of those with it, and in {_percentage(false_alarms)} of those "
        "without; in other images it may do worse."
    )
    if not (is_known(sensitivity) and sensitivity.low >= SENSITIVE) and not artefact.is_named:
        text += f" It may miss many, which can hide a shortcut: that {name} is not named says less."
    if not (is_known(false_alarms) and false_alarms.high <= SPECIFIC):
        text += f" It often takes something else for {name}."
    return text


def _percentage(figure: Estimate) -> str:
    """Write a share with a percent sign at both ends of its interval, so that a range of one digit is clear."""
    if not is_known(figure):
        return NOT_ASSESSABLE
    return f"{percent(figure.value)} ({INTERVAL} {percent(figure.low)} to {percent(figure.high)}, {cases(figure)})"


def rule(audit: ShortcutAudit) -> str:
    """Explain what "named" means."""
    return (
        "An artefact is named as a shortcut for a diagnosis where two things hold beyond chance: it goes with the "
        "diagnosis in the training images, and on validation images the log-odds of the diagnosis fall, in images with "
        "it more than in others of the same diagnosis, when the layer's directions for it are taken away. The chance "
        f"of naming any wrongly is at most {percent(audit.level)}. Test images have no part in the decision; the "
        "figures below are measured on them."
    )


def rare(audit: ShortcutAudit, names: Names) -> str:
    """Say which artefacts cannot be judged; empty where all can, or none."""
    if not audit.rare or not audit.audited:
        return ""
    rows = []
    for name, artefact in audit.rare.items():
        counts = total_counts(artefact.train.values())
        rows.append(f"{names.concept(name)} ({count(counts.present)} with it, {count(counts.absent)} without)")
    return f"Too few training images to say anything: {enumeration(rows)}."


def not_named(audit: ShortcutAudit, names: Names) -> str:
    """Head the fold of the audited artefacts that are not named."""
    others = {name: artefact for name, artefact in audit.audited.items() if not artefact.is_named}
    unsure = [name for name, artefact in others.items() if set(artefact.verdicts) == {ShortcutVerdict.TOO_FEW}]
    text = f"Not named: {enumeration([names.concept(name) for name in others])}"
    if not unsure:
        return text
    return f"{text} (too few images to say: {enumeration([names.concept(name) for name in unsure])})"


def is_shortcut(effect: ArtefactEffect) -> bool:
    """Whether an artefact is named for a diagnosis."""
    return effect.verdict is ShortcutVerdict.NAMED


def carried(name: str, artefact: ArtefactResult, audit: ArtefactAudit) -> str:
    """Say how strongly the layer carries an artefact.

    Args:
        name: What the artefact is called.
        artefact: The artefact.
        audit: Its audit.
    """
    if audit.directions == 0:
        return (
            f"No direction of the layer carries more of {name} than chance would; the strongest one is what is taken "
            "out and put in."
        )
    with_axis = ", its own axis among them" if artefact.axis is not None else ""
    text = (
        f"The layer carries {name} along {plural(audit.directions, 'direction')}{with_axis}. They tell "
        f"{plural(artefact.test.present, 'test image')} with it from {count(artefact.test.absent)} without with an "
        f"AUC of {estimate(audit.reading_auc)}"
    )
    if not is_known(audit.reading_auc) or audit.reading_auc.low <= CHANCE:
        return f"{text}: not shown to be more than chance."
    return f"{text}."


def tie(artefact: ArtefactResult, diagnosis: str) -> str:
    """Say in how many training images of a diagnosis an artefact is."""
    return _of(artefact.train[diagnosis])


def tie_elsewhere(artefact: ArtefactResult, diagnosis: str) -> str:
    """Say in how many training images of other diagnoses an artefact is."""
    return f"others {_of(_elsewhere(artefact, diagnosis))}"


def _of(counts: PresenceCounts) -> str:
    return f"{count(counts.present)} of {count(counts.total)}"


def _elsewhere(artefact: ArtefactResult, diagnosis: str) -> PresenceCounts:
    return total_counts(counts for other, counts in artefact.train.items() if other != diagnosis)


def tests(effect: ArtefactEffect) -> str:
    """Give the adjusted p-values behind the verdict."""
    return f"tie {_p(effect.tie_p)}; use {_p(effect.use_p)}"


def signed(figure: Estimate) -> str:
    """Write a change of log-odds with its sign."""
    if not is_known(figure):
        return NOT_ASSESSABLE
    return numerals.signed(figure.value, 2)


def effects(name: str, artefact: ArtefactResult, audit: ArtefactAudit, names: Names) -> tuple[str, ...]:
    """Say what a named shortcut does, in a sentence for each diagnosis for which it is named.

    Args:
        name: What the artefact is called.
        artefact: The artefact.
        audit: Its audit.
        names: Of the diagnoses.
    """
    return tuple(
        _effect(name, names.diagnosis(diagnosis), effect, (artefact.train[diagnosis], _elsewhere(artefact, diagnosis)))
        for diagnosis, effect in audit.diagnoses.items()
        if is_shortcut(effect)
    )


def _effect(name: str, diagnosis: str, effect: ArtefactEffect, train: tuple[PresenceCounts, PresenceCounts]) -> str:
    here, elsewhere = (counts.present / max(counts.total, 1) for counts in train)
    text = (
        f"{capital(name)} is in {percent(here)} of the training images of {diagnosis} and in {percent(elsewhere)} of "
        f"the others. In test images with it, the log-odds of {diagnosis} change by {_nats(effect.taken_out)} when "
        "the directions are taken away"
    )
    if effect.drawn_in is None or not is_known(effect.drawn_in):
        return f"{text}."
    return f"{text}; drawn into images without it, {name} changes them by {_nats(effect.drawn_in)}."


def _nats(figure: Estimate) -> str:
    if not is_known(figure):
        return f"an amount that is {NOT_ASSESSABLE} ({cases(figure)})"
    return (
        f"{number(figure.value, 2)} nats ({INTERVAL} {interval(figure, 2)}, {cases(figure)}), which is odds "
        f"{significant(exp(figure.value))} times as high"
    )


def counterpart(figure: str, figures: CounterpartFigures) -> str:
    """Say how much of a figure on the run's own test images hangs on the planted shortcut."""
    return (
        f"{capital(FIGURES.get(figure, figure))} on the test images, in which the planted shortcut holds: "
        f"{estimate(figures.with_shortcut)}; on the same lesions without it: {estimate(figures.without_shortcut)}; "
        f"difference {estimate(figures.difference)}."
    )


def suppressed(suppression: Suppression, names: Names) -> str:
    """Say what this run's network is kept from seeing."""
    trained = (
        f"what comes after the layer was trained for {plural(suppression.epochs, 'epoch')} without them"
        if suppression.epochs
        else "nothing was trained again"
    )
    added = [f"{number(value, 2)} for {names.diagnosis(name)}" for name, value in suppression.intercepts.items()]
    return (
        f"Suppressed: {enumeration([names.concept(name) for name in suppression.names])}. This is the whitened network "
        f"of run {suppression.source}, kept from seeing {plural(suppression.directions, 'direction')} of its layer; "
        f"{trained}. Since all images now look alike in what was suppressed, an intercept was fitted anew for each "
        f"diagnosis on {plural(suppression.images, 'validation image')} and added to its logit ({enumeration(added)})."
        f"{_weighed(suppression, names)} All figures of the whitened network were measured anew; the plain network is "
        "the old one."
    )


def _weighed(suppression: Suppression, names: Names) -> str:
    if not suppression.weighed:
        return ""
    where = "For the training and the intercepts" if suppression.epochs else "For the intercepts"
    weighed = enumeration([names.concept(name) for name in suppression.weighed])
    return f" {where}, images were weighed so that {weighed} went with no diagnosis."


def _p(value: float) -> str:
    return f"p{SPACE}{'<' if value < 0.001 else '='}{SPACE}{number(max(value, 0.001), 3)}"
