"""How a case review is written down: the same fields in the audit chain, in a request, and in the table."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concepts.curation.case_review import CaseReview
    from concepts.store.schema import CaseReviewRow

SAID = (
    "reviewer",
    "run",
    "image_id",
    "digest",
    "step",
    "diagnosis",
    "confidence",
    "opinion",
    "comment",
    "seconds",
)
"""What a review says, but for its corrections."""


def review_record(review: "CaseReview") -> dict[str, Any]:
    """A review that is to be written, as JSON has it."""
    record = {name: getattr(review, name) for name in SAID}
    return record | {"corrections": {name: str(verdict) for name, verdict in sorted(review.corrections.items())}}


def stored_record(row: "CaseReviewRow") -> dict[str, Any]:
    """A review that was written, as the audit chain has it."""
    record = {name: getattr(row, name) for name in SAID}
    return record | {"corrections": json.loads(row.corrections), "id": row.id, "at": row.at}
