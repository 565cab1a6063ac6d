"""What the screen of concept sets says; in the manner of `clinician_ui.phrasing`."""

from collections.abc import Mapping

from clinician_ui.phrasing import count
from concepts.consensus import ConsensusRule
from concepts.curation.draft import Draft
from concepts.curation.releasing import ReleaseInfo
from concepts.curation.set_agreement import NAMES
from concepts.curation.sets import ConceptSet
from concepts.release import Release
from concepts.statistics.agreement import Measure

SELF_AGREEMENT = "Readers' agreement with themselves"
REREADING_COLUMNS = ("Concept", "Readers", "Cases judged twice", "Changed", "Percent agreement")
NO_REREADINGS = "No case has been judged twice yet. A reader can choose the second reading on the page Curate."
NO_RELEASES = "There is no release yet. Freeze the set once its concepts are settled."
NO_DESCRIPTION = "There is no description yet."
NAME_HELP = "Lower-case letters, digits, and _ . -"
READERS_HELP = "At least so many readers must give a verdict that counts; with fewer, a case is not settled."
SAME_HELP = "At least so many of the verdicts that count must agree; with fewer, the case goes to an adjudicator."
OWN_CONCEPT = "A concept that the vocabulary does not have:"
IMAGES_HELP = "All images in the image folder. A metadata.csv beside them gives diagnosis, site, sex and age."
SAME_RELEASES = "Both releases have the same concepts and examples."
THIN = 40
"""Positives below which an axis is not stable."""


def thin(positives: int) -> list[str]:
    """Warn where a concept has too few positives to train on.

    >>> thin(12), thin(40)
    (['12 positives, fewer than 40: thin'], [])
    """
    return [f"{count(positives, 'positive')}, fewer than {THIN}: thin"] if positives < THIN else []


def set_facts(concept_set: ConceptSet) -> str:
    """State a set's size and rules in one line."""
    rule = ConsensusRule.model_validate(concept_set.consensus)
    return (
        f"{count(concept_set.images, 'image')}, {count(len(concept_set.concepts), 'concept')}; settled by at least "
        f"{count(rule.minimum_readers, 'reader')} and {rule.majority:.0%} of verdicts; "
        f"flagged below {concept_set.agreement_threshold:.2f} of {NAMES[Measure(concept_set.agreement_measure)]}; "
        f"metadata {'hidden from' if concept_set.blinded else 'shown to'} readers; "
        f"licence: {concept_set.licence or 'not stated'}"
    )


def freezing(release: Release, name: str) -> str:
    """Say what freezing is about to do; the name is Markdown already."""
    return (
        f"**{name}** version {release.version} will hold {count(len(release.examples), 'example')} of "
        f"{count(len(release.concepts), 'concept')}. It can never change afterwards. Training reads only releases."
    )


def warnings(draft: Draft, names: Mapping[str, str]) -> list[str]:
    """List what to know before freezing."""
    flags = {row.concept: row.flag for row in draft.agreement.concepts}
    flagged = [f"{names.get(concept, concept)}: {flag}." for concept, flag in flags.items() if flag]
    left_out = [names.get(concept, concept) for concept in draft.left_out]
    return [*flagged, *([f"Left out, as there is no example: {', '.join(left_out)}."] if left_out else [])]


def frozen(info: ReleaseInfo) -> str:
    """Say that a release was frozen, and what to do with it."""
    return f"Frozen: {info.name}@{info.version}. Train on it: dermaxis run CONFIG concepts={info.name}@{info.version}"
