"""Every sentence about a single case.

Sentences say what the network did with this image; none says what the lesion is.
"""

from collections.abc import Mapping
from itertools import pairwise

from pipeline.report.sentences.cases import layer
from pipeline.report.sentences.numerals import (
    TIMES,
    capital,
    cases,
    enumeration,
    number,
    percent,
    short,
    signed,
    significant,
)
from pipeline.results.axes import RELIABLE_FROM
from pipeline.results.case import (
    CaseContent,
    ConceptContent,
    ConceptState,
    EvidenceContent,
    FlipContent,
    QualityContent,
)

CaseNames = Mapping[str, str]
"""What people call the concepts and diagnoses of a case, by identifier."""
STATES = {state: state.replace("_", " ") for state in ConceptState}
SYMBOLS = {
    ConceptState.PRESENT: "●",
    ConceptState.ABSENT: "○",
    ConceptState.UNCERTAIN: "◐",
    ConceptState.NOT_ASSESSABLE: "⊘",
}
MEASURES = {
    "sharpness": "sharpness",
    "brightness": "brightness",
    "contrast": "contrast",
    "clipped": "over- or under-exposed pixels",
}
ARTEFACTS = {
    "hair": "hair",
    "ruler": "a ruler",
    "dark_corners": "dark corners",
    "ink": "ink",
    "patch": "a colour patch",
    "glare": "reflections or bubbles",
}
PICTURE = (
    "Measured on the picture itself. Sharpness and the like are unusual outside the middle 95 % of the validation "
    "images. An artefact is detected from a fixed value of its measure on; some are missed, above all single or fair "
    "hairs, faint ink, and patches of about the skin's own colour."
)
RHYTHM = "ruler"
"""How well ticks repeat, 0 to 1."""
SHARES = {"clipped", *ARTEFACTS} - {RHYTHM}
"""Measures that are shares of pixels; all others except the rhythm are grey values."""
RESEARCH = "Research software, not a medical device. This is what the network computed, not what the lesion is."
SHIFTS = 3
"""Concepts named in the sentence on what would change the call."""
SMALL = 0.1
"""Shifts below this share of the change's length are not named."""


def call(case: CaseContent, names: CaseNames) -> str:
    """Say the network's call with its calibrated probability, and whether it abstains."""
    first = case.differential[0]
    call_text = f"{capital(names[first.diagnosis])}, {percent(first.probability)}"
    if not case.abstain:
        return f"{call_text}; no other diagnosis is plausible at the chosen level."
    rest = [names[entry.diagnosis] for entry in case.differential[1:] if entry.plausible]
    verb = "is" if len(rest) == 1 else "are"
    return f"{call_text}, but {enumeration(rest)} {verb} also plausible: the network abstains."


def warnings(case: CaseContent, names: CaseNames) -> list[str]:
    """List what speaks against relying on the network in this case, the most serious first."""
    sentences = []
    if case.scope.out_of_scope:
        sentences.append(
            "Out of scope: the image lies further from the training images than 99 % of the validation images do "
            f"(squared distance per axis {number(case.scope.distance, 2)}; about 1 is usual)."
        )
    if case.conflict and case.concept_only is not None:
        other = case.concept_only
        sentences.append(
            f"Conflict: from the named concepts alone the call would be {names[other.diagnosis]} "
            f"({percent(other.probability)}), and {names[case.call]} is implausible from them."
        )
    unusual = [
        f"{MEASURES[measurement.measure]} {percentile(measurement.percentile)}"
        for measurement in case.quality
        if measurement.unusual and measurement.measure in MEASURES
    ]
    if unusual:
        sentences.append(f"Unusual picture: {enumeration(unusual)}.")
    artefacts = [
        ARTEFACTS[measurement.measure]
        for measurement in case.quality
        if measurement.unusual and measurement.measure in ARTEFACTS
    ]
    if artefacts:
        sentences.append(f"Detected on the picture: {enumeration(artefacts)}.")
    return sentences


def measured(measurement: QualityContent) -> str:
    """Give a measurement of the picture with its unit."""
    if measurement.measure == RHYTHM:
        return f"rhythm {number(measurement.value, 2)} of 1"
    return percent(measurement.value, 1) if measurement.measure in SHARES else f"{number(measurement.value, 1)} of 255"


def measure_name(measurement: QualityContent) -> str:
    """Name what was measured."""
    return capital({**MEASURES, **ARTEFACTS}.get(measurement.measure, measurement.measure))


def quality_state(measurement: QualityContent) -> str:
    """Say whether an artefact was detected, or whether another measurement is unusual."""
    if measurement.measure in ARTEFACTS:
        return "detected" if measurement.unusual else "not detected"
    return "unusual" if measurement.unusual else "usual"


def percentile(rank: float | None) -> str:
    """Say where a value lies among the validation images."""
    return "at an unknown percentile" if rank is None else f"at percentile {round(rank)} of the validation images"


def reliability(concept: ConceptContent) -> str:
    """Say how far the axis can be relied on: its AUC on test images with interval and n, or why there is none."""
    if concept.auc is None:
        return f"not assessable: {concept.reason or 'no figure'}"
    return f"{short(concept.auc, 2)}, {cases(concept.auc)}, of which {concept.positives} show it"


def agreement(concept: ConceptContent) -> str:
    """Say how far readers agreed about the concept; empty where that is not known."""
    figure = concept.agreement
    return "" if figure is None else f"readers' agreement {short(figure, 2)}, {cases(figure)}"


def is_unreliable(concept: ConceptContent) -> bool:
    """Return whether the axis is not shown to answer to its concept reliably."""
    return concept.auc is None or not concept.auc.low >= RELIABLE_FROM


def account(case: CaseContent, diagnosis: str, names: CaseNames) -> str:
    """Say how baseline, concepts and free axes add up to the network's log-odds of a diagnosis."""
    row = next(entry for entry in case.differential if entry.diagnosis == diagnosis)
    concepts = sum(entry.contributions[diagnosis].share for entry in case.concepts)
    free = case.free[diagnosis].share
    unnamed = percent(unnamed_part(case, diagnosis))
    return (
        f"Log-odds of {names[diagnosis]} against all others, in nats: {signed(row.baseline, 2)} with every axis "
        f"switched off, {signed(concepts, 2)} from the named concepts, {signed(free, 2)} from all axes without a name; "
        f"together {signed(row.outcome, 2)}. Axes without a name account for {unnamed} of all that was added or "
        "taken away."
    )


def unnamed_part(case: CaseContent, diagnosis: str) -> float:
    """Return the share of the absolute contributions that the free axes carry, 0 to 1; 0 where nothing contributes."""
    free = abs(case.free[diagnosis].share)
    total = free + sum(abs(concept.contributions[diagnosis].share) for concept in case.concepts)
    return free / total if total else 0.0


def flip(change: FlipContent | None, names: CaseNames) -> str:
    """Say what would change the call."""
    if change is None:
        return "No change of the named axes within six standard deviations was found that changes the call."
    large = [shift for shift in change.shifts[:SHIFTS] if abs(shift.shift) >= SMALL * change.size]
    named = [f"{names[shift.concept]} by {'+' if shift.shift > 0 else ''}{significant(shift.shift)}" for shift in large]
    return (
        f"The smallest change found in the named axes that turns the call into {names[change.diagnosis]} is "
        f"{enumeration(named)} standard deviations (length {significant(change.size)} over all named axes)."
    )


def truth(case: CaseContent, names: CaseNames) -> str:
    """Say what is recorded of the lesion, and whether the call agrees."""
    if case.reference is None:
        return "No diagnosis is recorded for this lesion."
    agreement_text = "the network's call differs" if case.wrong else "as the network calls it"
    return f"Recorded diagnosis: {names[case.reference]}; {agreement_text}."


def label(concept: ConceptContent) -> str:
    """Say what the release says of the concept in this image."""
    return {True: "marked present", False: "marked absent", None: "not marked"}[concept.label]


def course(concept: ConceptContent) -> str:
    """Say whether and where a mistake of a low layer is corrected on the way up, or a right answer lost."""
    steps = [(layer(stage.layer), stage.is_right(concept.label)) for stage in concept.stages]
    decided = [(name, right) for name, right in steps if right is not None]
    if concept.label is None:
        return "no label to compare with"
    if not decided:
        return "uncertain at every layer"
    turns = [
        f"{'corrected' if right else 'lost'} at {name}"
        for (_, before), (name, right) in pairwise(decided)
        if before is not right
    ]
    return ", then ".join(turns) if turns else ("right throughout" if decided[-1][1] else "wrong throughout")


def evidence(content: EvidenceContent) -> str:
    """Say how high an evidence map reaches, and over how many cells it was averaged."""
    wide = (
        f", averaged over {content.averaged_over} {TIMES} {content.averaged_over} cells"
        if content.averaged_over > 1
        else ""
    )
    return f"highest {signed(content.high, 1)} SD{wide}"
