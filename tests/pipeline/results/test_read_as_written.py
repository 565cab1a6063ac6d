"""Every file of a run reads back as it was written, and refuses what was renamed."""

import json

import pytest
from fake_evaluation import made_evaluation
from fake_explanation import made_explanation, made_record

from concepts.errors import RunError
from pipeline.results.result import parse_result

FILES = [made_evaluation(), made_explanation(), made_record()]


@pytest.mark.parametrize("result", FILES, ids=lambda result: result.file)
def test_what_is_written_reads_back_the_same(result):
    text = result.to_text()
    assert parse_result(type(result), text, f"runs/a/{result.file}").to_text() == text


@pytest.mark.parametrize("result", FILES, ids=lambda result: result.file)
def test_a_renamed_entry_is_refused_by_its_name(result):
    content = json.loads(result.to_text())
    for key in list(content):
        if key == "format" or content[key] is None:
            continue
        renamed = {f"{key}_": content[key]}
        others = {name: entry for name, entry in content.items() if name != key}
        with pytest.raises(RunError, match=f"{key}_?: "):
            parse_result(type(result), json.dumps(others | renamed), f"runs/a/{result.file}")
