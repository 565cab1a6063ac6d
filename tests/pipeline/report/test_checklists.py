"""Checklists: their items are complete and numbered, and every answer that they ask for exists."""

import pytest
import yaml

from pipeline.report.pages.checklists import CHECKLISTS, FOLDER
from pipeline.report.sentences.checklists import ANSWERS

NUMBERS = {
    "claim_2024": [str(number) for number in range(1, 45)],
    "decide_ai": ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"],
}


@pytest.mark.parametrize("key", CHECKLISTS)
def test_items_have_topics_and_only_answers_that_exist_and_each_number_once(key):
    content = yaml.safe_load((FOLDER / f"{key}.yaml").read_text(encoding="utf-8"))
    assert {"key", "name", "source", "about", "items"} == set(content)
    assert content["key"] == key
    assert all(set(item) <= {"number", "section", "topic", "answer"} and item["topic"] for item in content["items"])
    assert {item["answer"] for item in content["items"] if "answer" in item} <= set(ANSWERS)
    numbers = [item["number"] for item in content["items"] if "number" in item]
    assert len(numbers) == len(set(numbers))
    if key == "claim_2024":
        assert numbers == NUMBERS[key]
    if key == "decide_ai":
        arabic = [number for number in numbers if number[0].isdigit()]
        assert {int("".join(filter(str.isdigit, number))) for number in arabic} == set(range(1, 18))
        assert [number for number in numbers if number not in arabic] == NUMBERS[key]
