"""Reporting checklists, filled from a run where it can be and "not answered" where not."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any

import yaml

from pipeline.report.sentences.checklists import checklist_facts
from pipeline.results.checklists import AnswerStatus, Checklist, ChecklistAnswers, ChecklistItem
from pipeline.run.results import RunResults

FOLDER = Path(__file__).parents[1] / "checklists"
CHECKLISTS = ("claim_2024", "decide_ai", "clear_derm")
ANSWERS = "answers"


def fill_checklists(report: RunResults) -> ChecklistAnswers:
    """Fill all checklists with what a run can answer."""
    facts = checklist_facts(report)
    return ChecklistAnswers(checklists={key: filled_checklist(key, facts) for key in CHECKLISTS})


def filled_checklist(key: str, facts: Mapping[str, str]) -> Checklist:
    """Fill one checklist from facts."""
    content = read_yaml(key)
    return Checklist(
        name=content["name"],
        source=content["source"],
        about=content["about"],
        items=tuple(_item(item, facts) for item in content["items"]),
    )


def answer_text(text: str, facts: Mapping[str, str]) -> str:
    """Fill the placeholders of an answer; empty where a fact is not known.

    Example:
        >>> answer_text("From {source}.", {"source": "the ISIC archive"})
        'From the ISIC archive.'
        >>> answer_text("From {source}.", {"source": ""})
        ''
    """
    names = placeholders(text)
    return text.format_map(facts) if all(facts[name] for name in names) else ""


def placeholders(text: str) -> tuple[str, ...]:
    """List the facts that an answer needs."""
    return tuple(name for _, name, _, _ in Formatter().parse(text) if name is not None)


@cache
def read_yaml(key: str) -> Mapping[str, Any]:
    """Read a checklist, or the answers, as they are written beside each other."""
    return yaml.safe_load((FOLDER / f"{key}.yaml").read_text(encoding="utf-8"))


def _item(item: Mapping[str, str], facts: Mapping[str, str]) -> ChecklistItem:
    answer: Mapping[str, str] = read_yaml(ANSWERS)[item["answer"]] if "answer" in item else {"text": ""}
    text = answer_text(answer["text"], facts)
    return ChecklistItem(
        number=item.get("number", ""),
        section=item["section"],
        topic=item["topic"],
        status=AnswerStatus(answer["status"]) if text else AnswerStatus.OPEN,
        answer=text,
    )
