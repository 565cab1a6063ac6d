"""What the screens say on which images are judged; in the manner of `clinician_ui.phrasing`."""

from clinician_ui.phrasing import VERDICTS, count
from concepts.consensus import Status
from concepts.judgement import Verdict

STATUSES = {
    Status.AGREED: "Agreed",
    Status.CONTESTED: "Contested",
    Status.TOO_FEW: "Too few verdicts",
    Status.LEFT_OUT: "Left out",
}
NO_EXAMPLES = "There are no settled examples yet. They appear once a release is frozen."
NO_CONTESTED = "No case is contested under this set's rules. Cases appear here when two readers disagree."
NO_MATCH = "No image matches the filter. Widen it."
NOTHING_TO_COMPARE = "There is nothing to compare with yet. Judge an image as present, or name an image."
READING_HELP = (
    "A second reading shows you again what you judged, without your first verdict. It measures how far you agree with "
    "yourself. Best done some weeks later."
)
JUDGED = {1: "Judged by you", 2: "Judged by you again"}
METADATA_HELP = "Verdicts that you give while it is shown are recorded as not blinded."
SAVED_FOR_LATER = "Saved for later. The case comes back at the end of the queue."
FIRST_LOOK = "First look: judge the case yourself. The others' verdicts appear afterwards."
LOOKED = "Your first look is saved. Now decide with the others' verdicts in view."
LAST_WORD = "Last word: your verdict now settles the case."


def all_judged(concept: str) -> str:
    """Say what to do when a concept is finished."""
    return f"You have judged every image for {concept}. Choose another concept, or look back with Undo."


def all_reread(concept: str) -> str:
    """Say what to do when the reader has judged all their cases again."""
    return f"You have judged all of your cases of {concept} twice. Choose another concept, or look back with Undo."


def saved(verdict: Verdict) -> str:
    """Say that a verdict is in the store."""
    return f"Saved: {VERDICTS[verdict].lower()}."


def assigned(verdict: Verdict, number: int) -> str:
    """Say that a verdict on many images is in the store."""
    return f"Saved: {VERDICTS[verdict].lower()} for {count(number, 'image')}."


def settled(verdict: Verdict) -> str:
    """Say that an adjudication is in the store."""
    return f"Settled: {VERDICTS[verdict].lower()}."


def undone(verdicts: int) -> str:
    """Say how many verdicts undo took back."""
    if verdicts == 0:
        return "There is nothing left to undo."
    return "1 verdict was taken back." if verdicts == 1 else f"{verdicts} verdicts were taken back."


def aside(cases: int) -> str:
    """Say how many cases were put aside, after another number."""
    return f", {cases} for later" if cases else ""


def sorted_like(image: str) -> str:
    """Say how the grid is sorted after a reader chose one of its images."""
    return f"Sorted by similarity to {image}, most similar first."
