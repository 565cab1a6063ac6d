from pathlib import Path

import pytest

from concepts.errors import DataError
from concepts.example import Origin
from concepts.judgement import Verdict
from concepts.sources.metadata_rules import MetadataRule, parse_rule, rule_judgements


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("age_approx < 20", MetadataRule("age_approx", "<", 20.0)),
        (" clin_size_long_diam_mm>=10 ", MetadataRule("clin_size_long_diam_mm", ">=", 10.0)),
        ("x != -1.5e3", MetadataRule("x", "!=", -1500.0)),
        ("sex == Female", MetadataRule("sex", "=", "female")),
        ('site != "Head/Neck"', MetadataRule("site", "!=", "head/neck")),
        ("site = lower extremity", MetadataRule("site", "=", "lower extremity")),
    ],
)
def test_rules_are_parsed_and_written_back(text: str, rule: MetadataRule):
    assert parse_rule(text) == rule
    assert parse_rule(rule.text) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "age",
        "age <",
        "< 20",
        "age 20",
        "age < 20 < 30",
        "age < 20 and sex = female",
        "1age < 2",
        "__import__('os').system('x') = 1",
        "age = exec('1')",
        'sex = "female',
        "sex < female",
        "age < nan",
        "age < inf",
        "age < 1_0",
        "a.b = 1",
        "age = 20; drop",
    ],
)
def test_anything_else_is_refused_in_one_line(text: str):
    with pytest.raises(DataError, match="rule ") as caught:
        parse_rule(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "cell", "held"),
    [
        ("age < 20", "15", True),
        ("age < 20", "20", False),
        ("age < 20", " 19.9 ", True),
        ("age <= 20", "20", True),
        ("size >= 10", "10.0", True),
        ("size > 10", "10", False),
        ("size = 10", "10.0", True),
        ("size != 10", "10", False),
        ("sex = female", "Female", True),
        ("sex != female", "male", True),
        *[("age < 20", cell, None) for cell in ("", " ", "NaN", "unknown", "NA")],
        *[("sex != female", cell, None) for cell in ("", "unknown")],
    ],
)
def test_rules_hold_where_they_should_and_say_nothing_of_what_is_missing(text: str, cell: str, held: bool | None):
    assert parse_rule(text).holds(cell) is held


def test_a_word_where_a_number_is_due_is_refused():
    with pytest.raises(DataError, match="age: 'old' is not a number, and the rule is 'age < 20'"):
        parse_rule("age < 20").holds("old")


def metadata(folder: Path, *rows: str) -> Path:
    path = folder / "metadata.csv"
    path.write_text("\n".join(["isic_id,age_approx,clin_size_long_diam_mm", *rows]), encoding="utf-8")
    return path


RULES = {"young": parse_rule("age_approx < 20"), "large_diameter": parse_rule("clin_size_long_diam_mm >= 10")}


def test_the_rules_of_the_paper(tmp_path: Path):
    judgements = rule_judgements(metadata(tmp_path, "a,15,12", "b,45,", "c,unknown,3.5"), RULES)
    assert {(j.image_id, j.concept): j.verdict for j in judgements} == {
        ("a", "young"): Verdict.PRESENT,
        ("a", "large_diameter"): Verdict.PRESENT,
        ("b", "young"): Verdict.ABSENT,
        ("c", "large_diameter"): Verdict.ABSENT,
    }
    assert {j.origin for j in judgements} == {Origin.RULE}
    assert judgements[0].note == "age_approx < 20: 15"


def test_bad_cells_and_images_named_twice_are_all_listed(tmp_path: Path):
    with pytest.raises(DataError, match="row 3: age_approx: 'old' is not a number") as caught:
        rule_judgements(metadata(tmp_path, "a,15,12", "b,old,1", "a,15,12", ",1,1"), RULES)
    assert [row.split(": ")[1] for row in caught.value.rows] == ["row 3", "row 4", "row 5"]


def test_a_missing_column_is_named(tmp_path: Path):
    with pytest.raises(DataError, match="no column sex; there are isic_id, age_approx"):
        rule_judgements(metadata(tmp_path, "a,15,12"), {"female": parse_rule("sex = female")})


def test_the_entry_states_the_rule():
    young, large = RULES["young"].entry("young"), RULES["large_diameter"].entry("large_diameter")
    assert (young.name, young.rule, young.origin) == ("young", "age_approx < 20", Origin.RULE)
    assert young.definition == "The metadata of the image say age_approx < 20."
    assert (large.name, large.rule) == ("large diameter", "clin_size_long_diam_mm >= 10")
    with pytest.raises(DataError, match="lower case letters"):
        RULES["young"].entry("Under 20")
