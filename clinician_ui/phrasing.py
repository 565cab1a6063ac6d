"""Every sentence that the screens say, and how names and numbers of others are made harmless."""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape

from concepts.consensus import ConsensusRule, Status
from concepts.curation.accounts import Account
from concepts.curation.case_review import CaseReview, Opinion, Step
from concepts.curation.draft import Draft
from concepts.curation.proposing import Proposal
from concepts.curation.releasing import ReleaseInfo
from concepts.curation.set_agreement import NAMES
from concepts.curation.sets import ConceptSet
from concepts.judgement import Verdict
from concepts.release import Release
from concepts.statistics.agreement import Measure
from concepts.statistics.estimate import Estimate, is_known
from pipeline.results.discovery import Direction
from pipeline.results.result import Band

VERDICTS = {
    Verdict.PRESENT: "Present",
    Verdict.ABSENT: "Absent",
    Verdict.UNCERTAIN: "Uncertain",
    Verdict.NOT_ASSESSABLE: "Not assessable",
}
STATUSES = {
    Status.AGREED: "Agreed",
    Status.CONTESTED: "Contested",
    Status.TOO_FEW: "Too few verdicts",
    Status.LEFT_OUT: "Left out",
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
READING_HELP = (
    "A second reading shows you again what you judged, without your first verdict: how far you agree with yourself. "
    "Best some weeks later."
)
JUDGED = {1: "Judged by you", 2: "Read again by you"}
SELF_AGREEMENT = "Readers against themselves"
REREADING_COLUMNS = ("Concept", "Readers", "Cases read twice", "Changed", "Percent agreement")
NO_REREADINGS = "Nobody read a case twice yet. In Curate, a reader can choose the second reading."
NO_MATCH = "No image matches the filter. Widen it."
NO_RELEASES = "No release yet. Freeze the set once its concepts are settled."
SAVED_FOR_LATER = "Saved for later; it comes back at the end of the queue."
METADATA_HELP = "Verdicts given while it is shown are kept as not blinded."
NO_DESCRIPTION = "No description yet."
ACCOUNT_NAME_HELP = "With single sign-on: the e-mail address that the organisation vouches for."
NAME_HELP = "Lower case letters, digits, and _ . -"
READERS_HELP = "Readers who gave a verdict that counts; with fewer, a case is not settled."
SAME_HELP = "Share of the verdicts that count; with less, the case goes to an adjudicator."
OWN_CONCEPT = "A concept that the vocabulary does not have:"
IMAGES_HELP = "All images in the tool's image folder; a metadata.csv beside them gives diagnosis, site, sex and age."
SAME_RELEASES = "The same concepts and examples."
FIRST_LOOK = "First look: judge the case yourself. The others' verdicts appear after it."
LOOKED = "Your first look is kept. Now decide with the others in view."
LAST_WORD = "Last word: your verdict now settles the case."
THIN = 40
"""Positives below which an axis is not stable."""
NOTHING_TO_COMPARE = "Nothing to compare with yet: judge an image present, or name an image."
LIST_OF_CASES = "Cases of the run"
NO_CASES_MATCH = "No case matches the filter. Widen it."
BLINDED_HELP = "Your own opinion is asked for before anything of the network is shown; both are kept."
NO_WHAT_IF = "The image is not of the run's cohort, so the network cannot be asked again here."
WHAT_IF_HELP = (
    "A switched-off axis is what it is on average in training images without the concept. Loads the network when first "
    "used."
)
IN_NO_SET = "No concept set has this image: corrections stay with the review."
OTHER = "other"
OPINIONS = {Opinion.AGREES: "I agree", Opinion.DISAGREES: "I disagree", Opinion.UNSURE: "I am unsure"}
REVIEW_TITLES = {
    Step.FIRST_READ: "Your own opinion first; the network's is shown after it",
    Step.REVIEW: "What do you think of the network's reading?",
}
REVIEW_BUTTONS = {Step.FIRST_READ: "Keep, and show the network's reading", Step.REVIEW: "Keep the review"}
REVIEW_KEPT = {Step.FIRST_READ: "Your first read is kept.", Step.REVIEW: "Your review is kept."}
PAGE_COLOURS = (
    ".case { --ink: var(--dx-text); --soft: var(--dx-quiet); --warm: var(--dx-absent); --panel: var(--dx-panel);"
    " --rule: var(--dx-line); --grid: var(--dx-line); --accent: var(--dx-present); }"
)
UNNAMED_HELP = (
    "Directions among the axes that no concept has, along which the diagnosis changes most. A name makes one a concept "
    "of a set; its candidates then wait to be judged, and only judgements get into a release."
)
PATCHES = "Most active test images, the patch above; below, their recorded diagnoses"
DIRECTION_IMPORTANCE = (
    "Importance: loss with the direction permuted over loss without, 95 % interval; 1 means not used. Against random "
    "unnamed directions."
)
DIRECTION_RELATIONS = "Goes with: rank correlation (Spearman), 95 % interval"
RESEARCH = "Research software, not a medical device."


def denied(page: str, roles: str) -> str:
    """Why a page cannot be opened."""
    return f"The page {page} needs another role than yours ({roles or 'none'}). Ask an admin."


def all_judged(concept: str) -> str:
    """What to do when a concept is finished."""
    return f"Every image is judged for {concept}. Choose another concept, or look back with Undo."


def all_reread(concept: str) -> str:
    """What to do when all that the reader judged was judged again."""
    return f"You read all of your cases of {concept} twice. Choose another concept, or look back with Undo."


def saved(verdict: Verdict) -> str:
    """That a verdict is in the store."""
    return f"Saved: {VERDICTS[verdict].lower()}."


def assigned(verdict: Verdict, number: int) -> str:
    """That a verdict on many images is in the store."""
    return f"Saved: {VERDICTS[verdict].lower()} for {count(number, 'image')}."


def sorted_like(image: str) -> str:
    """By what the grid is sorted, after a reader chose one of its images."""
    return f"The most similar to {image} first."


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
    said = f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f}), n = {figure.n}"
    return said.replace("-", "\N{MINUS SIGN}")


def count(number: int, singular: str, plural: str | None = None) -> str:
    """A number with its noun."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def account_state(account: Account) -> str:
    """Whether someone can sign in with an account."""
    if account.disabled:
        return "disabled"
    return "can sign in" if account.can_sign_in else "no password"


def account_added(name: str) -> str:
    """That an account was made; its password follows."""
    return f"{name} was added. The password is shown this once; pass it on in person:"


def new_password(name: str) -> str:
    """That an account has a new password, which follows."""
    return f"{name} has a new password, shown this once; pass it on in person:"


def account_roles(name: str, roles: Sequence[str]) -> str:
    """What an account may be from now on."""
    return f"{name} is now: {', '.join(sorted(roles)) or 'without a role'}."


def account_disabled(name: str, *, disabled: bool) -> str:
    """Whether an account is shut out from now on."""
    return f"{name} is shut out; what it judged stays." if disabled else f"{name} can sign in again."


def capitalised(words: str) -> str:
    """Words with a capital at the front, for a heading; names inside keep theirs."""
    return words[:1].upper() + words[1:]


def html(text: object) -> str:
    """Someone's text as HTML that says just that."""
    return escape(str(text))


def markdown(text: object) -> str:
    """Someone's text as Markdown that says just that."""
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>$~:^=&])", r"\\\1", " ".join(str(text).split()))


def settled(verdict: Verdict) -> str:
    """That an adjudication is in the store."""
    return f"Settled: {VERDICTS[verdict].lower()}."


def thin(positives: int) -> list[str]:
    """A warning where a concept has too few positives to train on."""
    return [f"{count(positives, 'positive')}, fewer than {THIN}: thin"] if positives < THIN else []


def set_facts(chosen: ConceptSet) -> str:
    """A set's size and rules in one line."""
    rule = ConsensusRule.model_validate(chosen.consensus)
    return (
        f"{count(chosen.images, 'image')}, {count(len(chosen.concepts), 'concept')}; settled by at least "
        f"{count(rule.minimum_readers, 'reader')} and {rule.majority:.0%} of verdicts; "
        f"flagged below {chosen.agreement_threshold:.2f} of {NAMES[Measure(chosen.agreement_measure)]}; "
        f"{'metadata hidden from readers' if chosen.blinded else 'metadata shown to readers'}; "
        f"licence: {chosen.licence or 'not stated'}"
    )


def freezing(release: Release, name: str) -> str:
    """What a freeze is about to do; the name is Markdown already."""
    return (
        f"**{name}** version {release.version} will hold {count(len(release.examples), 'example')} of "
        f"{count(len(release.concepts), 'concept')}. It never changes afterwards; training reads only releases."
    )


def warnings(draft: Draft, names: Mapping[str, str]) -> list[str]:
    """What to know before freezing."""
    rows = {row.concept: row.flag for row in draft.agreement.concepts}
    flagged = [f"{names.get(concept, concept)}: {flag}." for concept, flag in rows.items() if flag]
    left_out = [names.get(concept, concept) for concept in draft.left_out]
    return [*flagged, *([f"Without any example and left out: {', '.join(left_out)}."] if left_out else [])]


def frozen(info: ReleaseInfo) -> str:
    """That a release was frozen, and what to do with it."""
    return f"Frozen: {info.name}@{info.version}. Train on it: dermaxis run CONFIG concepts={info.name}@{info.version}"


def shown_events(number: int, page: int) -> str:
    """How much of the history is shown."""
    return (
        f"The latest {number}; narrow the filter for older ones."
        if number == page
        else f"{count(number, 'entry', 'entries')}."
    )


def no_runs(folder: str) -> str:
    """What to do where no run has cases."""
    return f"No run in {folder} has explained cases yet. Make one: dermaxis run CONFIG runs={folder}"


def case_position(position: int, shown: int, total: int, done: int) -> str:
    """Where in the list the reviewer is."""
    narrowed = f" of {total:,}" if shown != total else ""
    return f"Case {position + 1:,} of {shown:,}{narrowed}; {done:,} reviewed by you."


def case_review(review: CaseReview, names: Mapping[str, str]) -> str:
    """What a reviewer said about a case, in one line."""
    sure = "" if review.confidence is None else f" ({review.confidence:.0%} sure)"
    parts = [
        "First read" if review.step is Step.FIRST_READ else "Review",
        *([OPINIONS[review.opinion].lower().replace("i ", "", 1)] if review.opinion else []),
        *([f"own diagnosis {names.get(review.diagnosis, review.diagnosis)}{sure}"] if review.diagnosis else []),
        *(f"{names.get(one, one)} is {verdict}" for one, verdict in review.corrections.items()),
        *([f"“{review.comment}”"] if review.comment else []),
    ]
    return f"{parts[0]}: {'; '.join(parts[1:])}."


def change(after: float, before: float) -> str:
    """A change of probability in percentage points."""
    points = 100 * (after - before)
    return "0.0 points" if abs(points) < 0.05 else f"{points:+.1f} points".replace("-", "\N{MINUS SIGN}")


def direction_facts(direction: Direction) -> str:
    """How much of the free axes' slope lies along a direction."""
    return f"{direction.share_of_slope:.0%} of the squared slope of all free axes lies along it."


def correlation(figure: Estimate) -> str:
    """Write a rank correlation with its interval and n."""
    if not is_known(figure):
        return f"not assessable, n = {figure.n}"
    text = f"{figure.value:+.2f} ({figure.low:+.2f} to {figure.high:+.2f}), n = {figure.n}"
    return text.replace("-", "\N{MINUS SIGN}")


def loss_ratio(figure: Estimate) -> str:
    """Write a loss ratio with its interval, where there is one."""
    if math.isnan(figure.value):
        return "not assessable"
    ends = f" ({figure.low:.2f} to {figure.high:.2f})" if is_known(figure) else ""
    return f"{figure.value:.2f}{ends}, n = {figure.n}"


def against_null(figure: Estimate, null: Band) -> str:
    """Say whether a ratio is above what random free directions have."""
    return "above chance" if figure.low > null.high else ""


def proposed(proposal: Proposal, set_name: str) -> str:
    """What came of naming a direction."""
    what = "Added" if proposal.is_new else "The set had it already"
    missing = f"; {count(proposal.elsewhere, 'candidate')} not in the set" if proposal.elsewhere else ""
    return (
        f"{what}: {proposal.concept} in {set_name}. {count(proposal.candidates, 'image')} wait to be judged{missing}."
    )
