"""The file ``checklists.json``: reporting checklists, with what a run can answer."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar

from pipeline.results.result import Result, ResultFile


class AnswerStatus(StrEnum):
    """How far a run answers an item."""

    ANSWERED = "answered"
    PARTLY = "partly"
    OPEN = "not answered"


class ChecklistItem(Result):
    """One item.

    Attributes:
        number: As in the guideline; empty where it is not stated.
        section: Part of the guideline.
        topic: What it asks for, in our words.
        status: How far the run answers it.
        answer: In words; empty where it does not.
    """

    number: str
    section: str
    topic: str
    status: AnswerStatus
    answer: str


class Checklist(Result):
    """A guideline with the answers of one run.

    Attributes:
        name: Of the guideline.
        source: Where it was published.
        about: What it is for.
        items: In the order of the guideline.
    """

    name: str
    source: str
    about: str
    items: tuple[ChecklistItem, ...]

    def count(self, status: AnswerStatus) -> int:
        """Count the items of a status."""
        return sum(item.status is status for item in self.items)


class ChecklistAnswers(ResultFile):
    """All checklists.

    Attributes:
        checklists: By key, e.g. ``claim_2024``.
    """

    file: ClassVar[str] = "checklists.json"
    version: ClassVar[int] = 2
    remedy: ClassVar[str] = "write the report again: dermaxis report {run}"

    checklists: Mapping[str, Checklist]
