"""Agreement by concept as tables: figures, a chart of intervals, and flags for what is thin or in dispute."""

from collections.abc import Mapping, Sequence

from clinician_ui import phrasing, set_phrasing
from concepts.consensus import Status
from concepts.curation.draft import Draft
from concepts.curation.rereading import ConceptRereading
from concepts.curation.set_agreement import NAMES, ConceptAgreement
from concepts.statistics.agreement import Measure
from concepts.statistics.estimate import Estimate

LOWEST = -0.2
"""The coefficient at the chart's left end; the right end is 1."""


def agreement_table(draft: Draft, names: Mapping[str, str]) -> str:
    """Return the table of agreement by concept as HTML.

    Args:
        draft: What would be frozen now.
        names: Names of concepts, by identifier.
    """
    agreement = draft.agreement
    numbers = ("Readers", "Agreed", "Contested", "Too few", NAMES[agreement.measure])
    head = (
        "<th>Concept</th>" + "".join(f'<th class="dx-number">{label}</th>' for label in numbers) + "<th></th><th></th>"
    )
    rows = "".join(_row(row, draft, names) for row in agreement.concepts)
    return f'<div class="dx-scroll"><table class="dx-table"><tr>{head}</tr>{rows}</table></div>'


def coefficients_table(draft: Draft, names: Mapping[str, str]) -> str:
    """Return every coefficient of every concept, with its interval and n, as HTML.

    Args:
        draft: What would be frozen now.
        names: Names of concepts, by identifier.
    """
    head = "<th>Concept</th>" + "".join(
        f'<th class="dx-number">{phrasing.capitalised(NAMES[measure])}</th>' for measure in Measure
    )
    body = "".join(
        f"<tr><td>{phrasing.html(names.get(row.concept, row.concept))}</td>"
        + "".join(
            f'<td class="dx-number">{phrasing.html(phrasing.estimate(row.figures[measure]))}</td>'
            for measure in Measure
        )
        + "</tr>"
        for row in draft.agreement.concepts
    )
    return f'<div class="dx-scroll"><table class="dx-table"><tr>{head}</tr>{body}</table></div>'


def rereading_table(rows: Sequence[ConceptRereading], names: Mapping[str, str], *, measure: Measure) -> str:
    """Return how far readers agree with themselves, as HTML.

    Args:
        rows: One row for each concept of which a case was judged twice.
        names: Names of concepts, by identifier.
        measure: The coefficient that the set is judged by.
    """
    first, *numbers = (*set_phrasing.REREADING_COLUMNS, NAMES[measure])
    head = f"<th>{first}</th>" + "".join(f'<th class="dx-number">{label}</th>' for label in numbers)
    body = "".join(
        f"<tr><td>{phrasing.html(names.get(row.concept, row.concept))}</td>"
        + "".join(f'<td class="dx-number">{count}</td>' for count in (row.readers, row.read_twice, row.changed))
        + "".join(
            f'<td class="dx-number">{phrasing.html(phrasing.estimate(figure))}</td>'
            for figure in (row.percent, row.coefficient)
        )
        + "</tr>"
        for row in rows
    )
    return f'<div class="dx-scroll"><table class="dx-table"><tr>{head}</tr>{body}</table></div>'


def _row(row: ConceptAgreement, draft: Draft, names: Mapping[str, str]) -> str:
    counts = draft.counts.get(row.concept, {})
    numbers = [row.readers, *(counts.get(status, 0) for status in (Status.AGREED, Status.CONTESTED, Status.TOO_FEW))]
    cells = "".join(f'<td class="dx-number">{number}</td>' for number in numbers)
    figure = row.figures[draft.agreement.measure]
    positives = sum(e.concept == row.concept and e.polarity == "present" for e in draft.release.examples)
    flags = [*([row.flag] if row.flag else []), *set_phrasing.thin(positives)]
    marks = "<br>".join(f'<span class="dx-flag">⚑ {phrasing.html(flag)}</span>' for flag in flags)
    return (
        f"<tr><td>{phrasing.html(names.get(row.concept, row.concept))}</td>{cells}"
        f'<td class="dx-number">{phrasing.html(phrasing.estimate(figure))}</td>'
        f"<td>{_whisker(figure, draft.agreement.threshold)}</td><td>{marks}</td></tr>"
    )


def _whisker(figure: Estimate, threshold: float) -> str:
    """Draw the coefficient with its interval on a line from `LOWEST` to 1, and the threshold as a tick."""
    if figure.value != figure.value:
        return ""
    value, low, high, limit = (_position(number) for number in (figure.value, figure.low, figure.high, threshold))
    kind = " dx-low" if figure.value < threshold else ""
    return (
        f'<div class="dx-whisker{kind}" role="img" aria-label="{phrasing.html(phrasing.estimate(figure))}">'
        f'<i class="dx-limit" style="left:{limit}%"></i>'
        f'<i class="dx-interval" style="left:{low}%;width:{high - low:.1f}%"></i>'
        f'<i class="dx-dot" style="left:{value}%"></i></div>'
    )


def _position(number: float) -> float:
    """Return the position on the chart, in percent from its left end."""
    share = (min(max(number, LOWEST), 1) - LOWEST) / (1 - LOWEST) if number == number else 0
    return round(100 * share, 1)
