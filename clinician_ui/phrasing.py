"""What several screens say, and how names and numbers of others are made harmless.

The sentences of single screens are in ``account_phrasing``, ``judging_phrasing``, ``set_phrasing``, ``case_phrasing``
and ``run_phrasing``.
"""

import math
import re
from html import escape

from concepts.judgement import Verdict
from concepts.statistics.estimate import Estimate

VERDICTS = {
    Verdict.PRESENT: "Present",
    Verdict.ABSENT: "Absent",
    Verdict.UNCERTAIN: "Uncertain",
    Verdict.NOT_ASSESSABLE: "Not assessable",
}
SESSION_ENDED = "Your session has ended. Sign in again; what you drew is still here."
NO_SETS = "There is no concept set yet. A curator can make one on the page Sets."
NO_CONCEPTS = "This set has no concepts yet. A curator can add some on the page Sets."
NO_IMAGES = "This set has no images yet. A curator can add some on the page Sets."
NO_EVENTS = "Nothing matches the filter. Widen it."
RESEARCH = "Research software, not a medical device."


def html(text: object) -> str:
    """Escape someone's text as HTML.

    >>> html("a < b")
    'a &lt; b'
    """
    return escape(str(text))


def markdown(text: object) -> str:
    r"""Escape someone's text as Markdown, in one line.

    >>> print(markdown("*a*\nb"))
    \*a\* b
    """
    return re.sub(r"([\\`*_{}\[\]()#+\-.!|<>$~:^=&])", r"\\\1", " ".join(str(text).split()))


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "entry", "entries"), count(1200, "image")
    ('1 entry', '1,200 images')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def capitalised(words: str) -> str:
    """Return words with a capital at the front, for a heading; names inside keep theirs.

    >>> capitalised("Cohen's kappa of HAM10000"), capitalised("percent agreement")
    ("Cohen's kappa of HAM10000", 'Percent agreement')
    """
    return words[:1].upper() + words[1:]


def estimate(figure: Estimate) -> str:
    """Return a figure with its interval and n.

    >>> estimate(Estimate(0.5, 0.4, 0.6, 12))
    '0.50 (0.40 to 0.60), n = 12'
    """
    if math.isnan(figure.value):
        return f"not assessable (n = {figure.n})"
    figures = f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f}), n = {figure.n}"
    return figures.replace("-", "\N{MINUS SIGN}")


def events_listed(number: int, limit: int) -> str:
    """Say how much of the history is listed."""
    if number == limit:
        return f"The latest {number:,} entries. Narrow the filter to see older ones."
    return f"{count(number, 'entry', 'entries')}."
