"""Every sentence that the screens say, and how names and numbers of others are made harmless."""

import math
import re
from html import escape

from concepts.estimate import Estimate
from concepts.judgement import Verdict

VERDICTS = {
    Verdict.PRESENT: "Present",
    Verdict.ABSENT: "Absent",
    Verdict.UNCERTAIN: "Uncertain",
    Verdict.NOT_ASSESSABLE: "Not assessable",
}
SIGN_IN = "Sign in to judge. Every verdict is kept under its reader's name."
SIGN_IN_FAILED = "Name or password is wrong."
SIGN_IN_PAUSED = "Too many wrong passwords for this name. Wait half a minute and try again."
UNKNOWN_HERE = (
    "You are signed in with your organisation, but there is no account of your address here. Ask an admin to add it: "
    "dermaxis accounts add ADDRESS --role annotator"
)
NO_ROLE = "Your account has no role that opens a page here. Ask an admin."
SESSION_ENDED = "Your session ended. Sign in again; what you drew is still here."
NO_SETS = "There is no concept set yet. A curator can make one on the page Sets."
NO_CONCEPTS = "The set has no concepts yet. A curator can add some on the page Sets."
NO_IMAGES = "The set has no images yet. A curator can add some on the page Sets."
NO_EXAMPLES = "No settled examples yet. They appear once a release is frozen."
NO_EVENTS = "Nothing matches. Widen the filter."
NO_CONTESTED = "No case is contested under this set's rule. Cases appear here when two readers disagree."
NO_MATCH = "No image matches the filter. Widen it."
NO_RELEASES = "No release yet. Freeze the set once its concepts are settled."
SAVED_FOR_LATER = "Saved for later; it comes back at the end of the queue."
METADATA_HELP = "Verdicts given while it is shown are kept as not blinded."
RESEARCH = "Research software, not a medical device."


def denied(page: str, roles: str) -> str:
    """Why a page cannot be opened."""
    return f"The page {page} needs another role than yours ({roles or 'none'}). Ask an admin."


def all_judged(concept: str) -> str:
    """What to do when a concept is finished."""
    return f"Every image is judged for {concept}. Choose another concept, or look back with Undo."


def saved(verdict: Verdict) -> str:
    """That a verdict is in the store."""
    return f"Saved: {VERDICTS[verdict].lower()}."


def aside(count: int) -> str:
    """How many cases were put aside, after another number."""
    return f", {count} for later" if count else ""


def undone(count: int) -> str:
    """What undo did."""
    if count == 0:
        return "There is nothing left to undo."
    return "1 verdict taken back." if count == 1 else f"{count} verdicts taken back."


def estimate(figure: Estimate) -> str:
    """A figure with its interval and n."""
    if math.isnan(figure.value):
        return f"not assessable (n = {figure.n})"
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f}), n = {figure.n}"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def html(text: object) -> str:
    """Someone's text as HTML that says just that."""
    return escape(str(text))


def markdown(text: object) -> str:
    """Someone's text as Markdown that says just that."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>$~:^=&])", r"\\\1", " ".join(str(text).split()))
