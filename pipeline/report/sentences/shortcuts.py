"""Every sentence that a reader of the report finds about artefacts, shortcuts and suppression."""

from math import exp

from concepts.statistics.estimate import Estimate, is_known
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
from pipeline.report.shortcut_content import (
    MEASURED,
    NAMED,
    PLANTED,
    READERS,
    TOO_FEW,
    ArtefactFigures,
    ArtefactOnDiagnosis,
    CounterpartFigures,
    MeasureFigures,
    ShortcutAudit,
    Suppression,
)

FIGURES = {"macro_auc": "macro AUC", "balanced_accuracy": "balanced accuracy"}
NO_LABELS = (
    "Nobody labelled artefacts (hair, ruler, ink, dark corners, gel bubbles, colour patches) in these images, so "
    "whether the network takes a shortcut through one of them is not known. Label them as concepts of a release; they "
    "are then audited, whether or not they get an axis."
)
CHANCE = 0.5
WHOSE = {READERS: "Readers said which images have it.", PLANTED: "It was planted, so which images have it is known."}
SENSITIVE = 0.8
"""Share of the images with an artefact that a measure must find, at the interval's lower end, to be relied on."""
SPECIFIC = 0.1
"""Share of the images without it that it may call with it, at the interval's upper end."""


def shortcuts(found: ShortcutAudit) -> str:
    """Which artefacts are shortcuts."""
    if not found.artefacts:
        return NO_LABELS
    if not found.judged:
        return (
            f"Of {plural(len(found.artefacts), 'labelled artefact')}, none has {found.fewest} training images with it "
            f"and {found.fewest} without: too few images to say whether any is a shortcut."
        )
    looked = enumeration([one.name for one in found.judged])
    if not found.named:
        return (
            f"No artefact is named as a shortcut. Looked at: {looked}. That none is named does not show that there "
            "is none: the intervals below say how large an effect may be."
        )
    measured = {one.name for one in found.measured}
    said = enumeration(
        [
            f"{artefact}{f' ({MEASURED})' if artefact in measured else ''} for {diagnosis}"
            for artefact, diagnosis in found.named
        ]
    )
    return f"Named as shortcuts, the strongest first: {said}. Looked at: {looked}."


def whose(found: ShortcutAudit) -> str:
    """For which artefacts nobody labelled images; empty where all are labelled or planted."""
    if not found.measured:
        return ""
    return (
        f"Nobody labelled {enumeration([one.name for one in found.measured])} in these images: which of them have it "
        "was measured in the picture. A measure misses some and sees some where there are none, parts of a lesion "
        "among them, which go with its diagnosis: look at the images before believing that such an artefact is a "
        "shortcut."
    )


def labels(found: ArtefactFigures) -> str:
    """Who says which images have an artefact; where it is measured, how well."""
    if found.labels != MEASURED:
        return WHOSE.get(found.labels or "", "")
    said = "Which images have it was measured in the picture; readers did not judge it."
    return said if found.measure is None else f"{said} {_measure(found, found.measure)}"


def _measure(found: ArtefactFigures, known: MeasureFigures) -> str:
    said = (
        "In dermoscopic images of ISIC 2018 that a developer looked through, no clinician, the measure found "
        f"{found.name} in {_share(known.sensitivity)} of those with it, and in {_share(known.false_alarms)} of those "
        "without; in other images it may do worse."
    )
    blind = not is_known(known.sensitivity) or known.sensitivity.low < SENSITIVE
    if blind and not is_named(found):
        said += f" It may miss many, which can hide a shortcut: that {found.name} is not named says the less."
    if not is_known(known.false_alarms) or known.false_alarms.high > SPECIFIC:
        said += f" It often takes something else for {found.name}."
    return said


def _share(figure: Estimate) -> str:
    if not is_known(figure):
        return NOT_ASSESSABLE
    ends = f"{percent(figure.low)} to {percent(figure.high)}"
    return f"{percent(figure.value)} ({INTERVAL} {ends}, {cases(figure)})"


def rule(found: ShortcutAudit) -> str:
    """What "named" means."""
    return (
        "An artefact is named as a shortcut for a diagnosis where two things hold beyond chance: it goes with the "
        "diagnosis in the training images, and on validation images the log-odds of the diagnosis fall, in images with "
        "it more than in others of the same diagnosis, when the layer's directions for it are taken away. The chance "
        f"of naming any wrongly is at most {percent(found.level)}. Test images had no say in it; the figures below "
        "are theirs."
    )


def thin(found: ShortcutAudit) -> str:
    """Which artefacts cannot be judged; empty where all can."""
    if not found.thin or not found.judged:
        return ""
    rows = [f"{one.name} ({count(one.train[0])} with it, {count(one.train[1])} without)" for one in found.thin]
    return f"Too few training images to say anything: {enumeration(rows)}."


def others(found: ShortcutAudit) -> str:
    """What the fold of the artefacts that are not named is called."""
    rest = [one for one in found.judged if not is_named(one)]
    unsure = [one.name for one in rest if all(row.verdict == TOO_FEW for row in one.diagnoses)]
    said = f"Not named: {enumeration([one.name for one in rest])}"
    return f"{said} (too few images to say: {enumeration(unsure)})" if unsure else said


def is_named(found: ArtefactFigures) -> bool:
    """Whether an artefact is named as a shortcut for any diagnosis."""
    return any(row.verdict == NAMED for row in found.diagnoses)


def carried(found: ArtefactFigures) -> str:
    """How strongly the layer carries an artefact."""
    if found.directions == 0 or found.reading is None:
        return (
            f"No direction of the layer carries more of {found.name} than chance would; what is taken out and put in "
            "is the strongest one."
        )
    own = ", its own axis among them" if found.has_axis else ""
    said = (
        f"The layer carries {found.name} along {plural(found.directions or 0, 'direction')}{own}. They tell "
        f"{plural(found.test[0], 'test image')} with it from {count(found.test[1])} without with an AUC of "
        f"{estimate(found.reading)}"
    )
    if not is_known(found.reading) or found.reading.low <= CHANCE:
        return f"{said}: not shown to be more than chance."
    return f"{said}."


def tie(row: ArtefactOnDiagnosis) -> str:
    """How often the artefact comes with the diagnosis in training."""
    return f"{count(row.with_it)} of {count(row.of)}"


def tie_elsewhere(row: ArtefactOnDiagnosis) -> str:
    """How often it comes with the other diagnoses."""
    return f"others {count(row.others_with_it)} of {count(row.others)}"


def tests(row: ArtefactOnDiagnosis) -> str:
    """The adjusted p-values behind the verdict."""
    return f"tie {_p(row.tie_p)}; use {_p(row.use_p)}"


def signed(figure: Estimate) -> str:
    """A change of log-odds with its sign."""
    if not is_known(figure):
        return NOT_ASSESSABLE
    text = number(figure.value, 2)
    return text if figure.value < 0 or not float(text) else f"+{text}"


def effect(found: ArtefactFigures) -> tuple[str, ...]:
    """What a named shortcut does, a sentence for each diagnosis for which it is named."""
    return tuple(_effect(found, row) for row in found.diagnoses if row.verdict == NAMED)


def _effect(found: ArtefactFigures, row: ArtefactOnDiagnosis) -> str:
    said = (
        f"{capital(found.name)} is in {percent(row.with_it / row.of)} of the training images of {row.name} and in "
        f"{percent(row.others_with_it / max(row.others, 1))} of the others. In test images with it, the log-odds of "
        f"{row.name} change by {_nats(row.taken_out)} when the directions are taken away"
    )
    if row.drawn_in is None or not is_known(row.drawn_in):
        return f"{said}."
    return f"{said}; drawn into images without it, {found.name} changes them by {_nats(row.drawn_in)}."


def _nats(figure: Estimate) -> str:
    if not is_known(figure):
        return f"an amount that is {NOT_ASSESSABLE} ({cases(figure)})"
    return (
        f"{number(figure.value, 2)} nats ({INTERVAL} {interval(figure, 2)}, {cases(figure)}), which is odds "
        f"{significant(exp(figure.value))} times as high"
    )


def counterpart(row: CounterpartFigures) -> str:
    """How much of the accuracy on the run's own test images hangs on the planted shortcut."""
    name = FIGURES.get(row.figure, row.figure)
    return (
        f"{capital(name)} on the test images, in which the planted shortcut holds: {estimate(row.with_shortcut)}; on "
        f"the same lesions without it: {estimate(row.without_shortcut)}; difference {estimate(row.difference)}."
    )


def suppressed(done: Suppression) -> str:
    """What this run's network is kept from seeing."""
    trained = (
        f"what comes after the layer was trained on for {plural(done.epochs, 'epoch')} without them"
        if done.epochs
        else "nothing was trained again"
    )
    moved = enumeration([f"{number(value, 2)} for {name}" for name, value in done.intercepts.items()])
    return (
        f"Suppressed: {enumeration(done.names)}. This is the whitened network of run {done.source}, kept from seeing "
        f"{plural(done.directions, 'direction')} of its layer; {trained}. To the logits was added "
        f"what {plural(done.images, 'validation image')} ask for ({moved}), since all images now look alike in what "
        f"was suppressed.{_weighed(done)} All figures of the whitened network were measured anew; the plain network is "
        "the old one."
    )


def _weighed(done: Suppression) -> str:
    if not done.weighed:
        return ""
    where = "In training on and for the added numbers" if done.epochs else "For the added numbers"
    return f" {where} images were weighed so that {enumeration(done.weighed)} went with no diagnosis."


def _p(value: float) -> str:
    return f"p{SPACE}{'<' if value < 0.001 else '='}{SPACE}{number(max(value, 0.001), 3)}"
