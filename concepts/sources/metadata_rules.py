"""Rules on metadata as concepts, such as ``age_approx < 20`` or ``clin_size_long_diam_mm >= 10``."""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concepts.errors import DataError
from concepts.example import ConceptEntry, Origin
from concepts.judgement import Judgement, Verdict
from concepts.sources.csv_table import Row, read_table
from concepts.sources.records import read_rows
from concepts.vocabulary import load_vocabulary

READER = "metadata rule"
MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "not available"})
FORM = re.compile(r"\s*([^\W\d]\w*)\s*(<=|>=|==|!=|=|<|>)\s*(.+?)\s*")
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True, slots=True)
class MetadataRule:
    """A column, a comparison and a value. Make one with `parse_rule`.

    Attributes:
        column: Name of the column.
        comparison: One of < <= > >= = !=.
        value: A number, or a word in lower case (for = and != only).
    """

    column: str
    comparison: str
    value: float | str

    @property
    def text(self) -> str:
        """The rule as it can be parsed again."""
        value = self.value if isinstance(self.value, str) else f"{self.value:.17g}"
        quoted = f'"{value}"' if isinstance(self.value, str) else value
        return f"{self.column} {self.comparison} {quoted}"

    def holds(self, cell: str) -> bool | None:
        """Whether a cell satisfies the rule; None where it is empty or says unknown.

        Raises:
            DataError: If the rule compares numbers and the cell is none.
        """
        word = cell.strip().casefold()
        if word in MISSING:
            return None
        if isinstance(self.value, str):
            return COMPARISONS[self.comparison](word, self.value)
        number = _number(word)
        if number is None:
            raise DataError(f"{self.column}: {cell!r:.80} is not a number, and the rule is '{self.text}'")
        return COMPARISONS[self.comparison](number, self.value)

    def entry(self, concept: str) -> ConceptEntry:
        """Declare the concept for a release: the vocabulary's where it has the word, else one of the set's own.

        Raises:
            DataError: If the concept is not in the vocabulary and its name is no identifier.
        """
        if concept in load_vocabulary().concepts:
            return ConceptEntry.from_vocabulary(concept, origin=Origin.RULE, rule=self.text)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", concept):
            raise DataError(f"concept {concept!r:.80}: allowed are lower case letters, digits and underscores")
        definition = f"The metadata of the image say {self.text}."
        name = concept.replace("_", " ")
        return ConceptEntry(id=concept, name=name, definition=definition, origin=Origin.RULE, rule=self.text)


def parse_rule(text: str) -> MetadataRule:
    """Parse a rule from words: column, comparison, number or word. Nothing in it is ever executed.

    Args:
        text: E.g. ``age_approx < 20``, ``sex = female``, ``anatom_site_general != "head/neck"``; ``==`` is ``=``.

    Raises:
        DataError: If the text is no such rule, or asks whether a word is smaller or larger.
    """
    match = FORM.fullmatch(text)
    if match is None:
        raise DataError(
            f"rule {text!r:.80}: expected COLUMN COMPARISON VALUE with one of {' '.join(COMPARISONS)}, "
            "e.g. age_approx < 20"
        )
    column, comparison, value = match.groups()
    comparison = "=" if comparison == "==" else comparison
    number = _number(value)
    if number is not None:
        return MetadataRule(column, comparison, number)
    word = _unquoted(value, text)
    if comparison not in ("=", "!="):
        raise DataError(f"rule {text!r:.80}: words are only equal or not (= !=); compare {column} with a number")
    return MetadataRule(column, comparison, word)


def rule_judgements(
    path: Path, rules: Mapping[str, MetadataRule], *, image_column: str = "isic_id"
) -> tuple[Judgement, ...]:
    """Apply rules to every image of a metadata table.

    Args:
        path: A CSV file with one row for each image.
        rules: By concept.
        image_column: The column of the image's identifier.

    Returns:
        Present or absent, of origin ``rule``; nothing where the cell is missing.

    Raises:
        DataError: If the file cannot be read, a column is missing, or a cell is not a number where the rule compares
            numbers; ``rows`` lists all such rows.
    """
    rows = read_table(path)
    _require_columns(path, rows, [image_column, *(rule.column for rule in rules.values())])
    return read_rows(path, rows, lambda row: _of_row(row, rules, image_column), first=2)


def _of_row(row: Row, rules: Mapping[str, MetadataRule], image_column: str) -> list[Judgement]:
    holds = {concept: rule.holds(row[rule.column]) for concept, rule in rules.items()}
    return [
        Judgement(
            reader=READER,
            image_id=row[image_column],
            concept=concept,
            verdict=Verdict.PRESENT if held else Verdict.ABSENT,
            note=f"{rules[concept].text}: {row[rules[concept].column].strip()}",
            origin=Origin.RULE,
            blinded=False,
        )
        for concept, held in holds.items()
        if held is not None
    ]


def _require_columns(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> None:
    missing = [column for column in columns if rows and column not in rows[0]]
    if missing:
        raise DataError(f"{path}: row 1: no column {', '.join(missing)}; there are {', '.join(rows[0])}")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _unquoted(value: str, text: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    word = value[1:-1] if quoted else value
    if not word or re.search(r"[\"'<>=!&|;()]", word):
        raise DataError(
            f"rule {text!r:.80}: {value!r:.80} is neither a number nor a word; one comparison for each rule"
        )
    return word.casefold()
