"""Reporting checklists, filled from a run where it can be and "not answered" where not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipeline.report.sentences.checklists import ANSWERS
from pipeline.run.results import RunResults

FOLDER = Path(__file__).parents[1] / "checklists"
CHECKLISTS = ("claim_2024", "decide_ai", "clear_derm")


class Status(StrEnum):
    """How far a run answers an item."""

    ANSWERED = "answered"
    PARTLY = "partly"
    OPEN = "not answered"


@dataclass(frozen=True)
class ChecklistItem:
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
    status: Status
    answer: str


@dataclass(frozen=True)
class Checklist:
    """A guideline with the answers of one run."""

    key: str
    name: str
    source: str
    about: str
    items: tuple[ChecklistItem, ...]

    def count(self, status: str) -> int:
        """How many items have a status."""
        return sum(item.status == status for item in self.items)


def fill_checklists(report: RunResults) -> tuple[Checklist, ...]:
    """All checklists with what the run of a report can answer."""
    return tuple(_filled(_read(key), report) for key in CHECKLISTS)


@cache
def _read(key: str) -> Mapping[str, Any]:
    content: Mapping[str, Any] = yaml.safe_load((FOLDER / f"{key}.yaml").read_text(encoding="utf-8"))
    return content


def _filled(content: Mapping[str, Any], report: RunResults) -> Checklist:
    return Checklist(
        key=content["key"],
        name=content["name"],
        source=content["source"],
        about=content["about"],
        items=tuple(_item(one, report) for one in content["items"]),
    )


def _item(one: Mapping[str, str], report: RunResults) -> ChecklistItem:
    answer, whole = "", False
    if "answer" in one:
        found: Callable[[RunResults], str | None]
        found, whole = ANSWERS[one["answer"]]
        answer = found(report) or ""
    status = Status.OPEN if not answer else Status.ANSWERED if whole else Status.PARTLY
    return ChecklistItem(one.get("number", ""), one["section"], one["topic"], status, answer)
