"""What the screens say that show what a run's network does; in the manner of `clinician_ui.phrasing`."""

import math
from collections.abc import Mapping

from clinician_ui.phrasing import count
from concepts.curation.case_review import CaseReview, Opinion, Step
from concepts.curation.proposing import Proposal
from concepts.statistics.estimate import Estimate, is_known
from pipeline.results.discovery import Direction
from pipeline.results.result import Band

LIST_OF_CASES = "Cases of the run"
NO_CASES_MATCH = "No case matches the filter. Widen it."
BLINDED_HELP = "You give your own opinion before you see anything of the network's. Both are saved."
NO_WHAT_IF = "The image is not part of the run's cohort, so its probabilities cannot be computed again here."
WHAT_IF_HELP = (
    "A switched-off axis takes the value that it has on average in training images without the concept. The network is "
    "loaded at the first use."
)
IN_NO_SET = "No concept set has this image, so corrections stay with the review."
OTHER = "other"
OPINIONS = {Opinion.AGREES: "I agree", Opinion.DISAGREES: "I disagree", Opinion.UNSURE: "I am unsure"}
REVIEW_TITLES = {
    Step.FIRST_READ: "Your own opinion first; the network's follows",
    Step.REVIEW: "What do you think of the network's reading?",
}
REVIEW_BUTTONS = {Step.FIRST_READ: "Save, and show the network's reading", Step.REVIEW: "Save the review"}
REVIEW_SAVED = {Step.FIRST_READ: "Your first read is saved.", Step.REVIEW: "Your review is saved."}
UNNAMED_HELP = (
    "Directions among the free axes along which the diagnosis changes most. If you name one, it becomes a concept of a "
    "set. Its candidates then wait to be judged; only judgements enter a release."
)
PATCHES = "Test images in which it is most active, with the patch above and the recorded diagnosis below"
DIRECTION_IMPORTANCE = (
    "Importance: loss with the direction permuted over loss without, with 95 % interval. 1 means not used. Compared "
    "with random free directions."
)
DIRECTION_RELATIONS = "Goes with: rank correlation (Spearman), with 95 % interval"


def no_runs(folder: str) -> str:
    """Say what to do where no run has cases."""
    return f"No run in {folder} has explained cases yet. Make one: dermaxis run CONFIG runs={folder}"


def case_position(position: int, listed: int, total: int, reviewed: int) -> str:
    """Say where in the list the reviewer is.

    >>> case_position(0, 5, 20, 2)
    'Case 1 of 5, filtered from 20; 2 reviewed by you.'
    """
    filtered = f", filtered from {total:,}" if listed != total else ""
    return f"Case {position + 1:,} of {listed:,}{filtered}; {reviewed:,} reviewed by you."


def case_review(review: CaseReview, names: Mapping[str, str]) -> str:
    """State what a reviewer said about a case, in one line."""
    confidence = "" if review.confidence is None else f" ({review.confidence:.0%} sure)"
    diagnosis = names.get(review.diagnosis or "", review.diagnosis)
    parts = [
        *([OPINIONS[review.opinion].lower().replace("i ", "", 1)] if review.opinion else []),
        *([f"own diagnosis {diagnosis}{confidence}"] if review.diagnosis else []),
        *(f"{names.get(concept, concept)} is {verdict}" for concept, verdict in review.corrections.items()),
        *([f"“{review.comment}”"] if review.comment else []),
    ]
    return f"{'First read' if review.step is Step.FIRST_READ else 'Review'}: {'; '.join(parts)}."


def change(after: float, before: float) -> str:
    """State a change of probability in percentage points.

    >>> change(0.25, 0.5)
    '−25.0 points'
    """
    points = 100 * (after - before)
    return "0.0 points" if abs(points) < 0.05 else f"{points:+.1f} points".replace("-", "\N{MINUS SIGN}")


def direction_facts(direction: Direction) -> str:
    """State how much of the free axes' slope lies along a direction."""
    return f"{direction.share_of_slope:.0%} of the squared slope of all free axes lies along it."


def correlation(figure: Estimate) -> str:
    """Return a rank correlation with its interval and n."""
    if not is_known(figure):
        return f"not assessable, n = {figure.n}"
    text = f"{figure.value:+.2f} ({figure.low:+.2f} to {figure.high:+.2f}), n = {figure.n}"
    return text.replace("-", "\N{MINUS SIGN}")


def loss_ratio(figure: Estimate) -> str:
    """Return a loss ratio with its interval, where there is one, and n."""
    if math.isnan(figure.value):
        return "not assessable"
    ends = f" ({figure.low:.2f} to {figure.high:.2f})" if is_known(figure) else ""
    return f"{figure.value:.2f}{ends}, n = {figure.n}"


def against_null(figure: Estimate, null: Band) -> str:
    """Say whether a ratio is above that of random free directions."""
    return "above chance" if figure.low > null.high else ""


def proposed(proposal: Proposal, set_name: str) -> str:
    """Say what came of naming a direction."""
    start = f"{proposal.concept} was added to" if proposal.is_new else f"{proposal.concept} was already in"
    missing = f"; {count(proposal.elsewhere, 'candidate')} not in the set" if proposal.elsewhere else ""
    waiting = f"{count(proposal.candidates, 'image')} {'waits' if proposal.candidates == 1 else 'wait'}"
    return f"{start} {set_name}. {waiting} to be judged{missing}."
