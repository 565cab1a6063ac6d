"""Diagnoses and dermoscopic concepts, spelled once: names, definitions, hierarchy, and the words of each data set.

The terms stand in ``concepts/vocabulary/*.yaml``. A word is found by identifier, name, synonym or data-set alias,
whatever its case and punctuation: ``Milia-like cyst`` and ``milia_like_cyst`` are one.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from concepts.errors import DataError

FOLDER = Path(__file__).with_name("vocabulary")
Text = Annotated[str, Field(min_length=1)]


class Behaviour(StrEnum):
    """What a lesion of a diagnosis may do."""

    BENIGN = "benign"
    MALIGNANT = "malignant"
    INDETERMINATE = "indeterminate"


class Method(StrEnum):
    """A way of reading dermoscopy, or a data set with its own list of concepts."""

    PATTERN_ANALYSIS = "pattern_analysis"
    SEVEN_POINT_CHECKLIST = "seven_point_checklist"
    ABCD_RULE = "abcd_rule"
    ISIC2018 = "isic2018"
    PH2 = "ph2"


class Term(BaseModel):
    """A word of the trade.

    Attributes:
        id: Lower case with underscores; as used in settings, releases and results.
        name: For people.
        definition: One sentence.
        parent: Identifier of the broader term.
        synonyms: Other words for it.
        aliases: By data set, the words that it uses.
        codes: By standard, the code of the very thing; most have none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    name: Text
    definition: Annotated[str, Field(pattern=r"^[A-Z].*\.$")]
    parent: str | None = None
    synonyms: tuple[Text, ...] = ()
    aliases: Mapping[str, tuple[Text, ...]] = {}
    codes: Mapping[str, Text] = {}

    @property
    def words(self) -> tuple[str, ...]:
        """Everything by which the term can be found."""
        return (self.id, self.name, *self.synonyms, *(word for words in self.aliases.values() for word in words))


class Concept(Term):
    """A dermoscopic concept, with the methods that use it."""

    methods: tuple[Method, ...] = ()


class Diagnosis(Term):
    """A diagnosis, with what such a lesion may do."""

    behaviour: Behaviour


T = TypeVar("T", bound=Term)


@dataclass(frozen=True)
class Vocabulary:
    """All terms. Make one with `load_vocabulary`.

    Attributes:
        concepts: By identifier, in the order of the file.
        diagnoses: By identifier, in the order of the file.
    """

    concepts: Mapping[str, Concept]
    diagnoses: Mapping[str, Diagnosis]
    _concept_index: Mapping[str, Concept]
    _diagnosis_index: Mapping[str, Diagnosis]

    def concept(self, text: str) -> Concept:
        """Look up the concept that a word means.

        Raises:
            DataError: If no concept is called so; names the closest ones.

        Example:
            >>> load_vocabulary().concept("Milia-like cyst").id
            'milia_like_cysts'
        """
        return _lookup(text, self._concept_index, kind="concept")

    def diagnosis(self, text: str) -> Diagnosis:
        """Look up the diagnosis that a word means.

        Raises:
            DataError: If no diagnosis is called so; names the closest ones.

        Example:
            >>> load_vocabulary().diagnosis("MEL").id
            'melanoma'
        """
        return _lookup(text, self._diagnosis_index, kind="diagnosis")


@cache
def load_vocabulary(folder: Path = FOLDER) -> Vocabulary:
    """Read ``concepts.yaml`` and ``diagnoses.yaml``; read once for each folder.

    Raises:
        DataError: If a file is missing or malformed, a word means two things, or the hierarchy is broken.
    """
    concepts = read_terms(folder / "concepts.yaml", Concept)
    diagnoses = read_terms(folder / "diagnoses.yaml", Diagnosis)
    return Vocabulary(
        concepts={term.id: term for term in concepts},
        diagnoses={term.id: term for term in diagnoses},
        _concept_index=_index(concepts, origin=folder / "concepts.yaml"),
        _diagnosis_index=_index(diagnoses, origin=folder / "diagnoses.yaml"),
    )


def read_terms(path: Path, kind: type[T]) -> tuple[T, ...]:
    """Read and check a list of terms.

    Args:
        path: A YAML file with a list of terms.
        kind: `Concept` or `Diagnosis`.

    Raises:
        DataError: If the file is missing or malformed, a word means two things, a parent is unknown, or a term is
            its own ancestor.
    """
    terms = tuple(_term(entry, kind, origin=path) for entry in _read_list(path))
    _index(terms, origin=path)
    _check_hierarchy(terms, origin=path)
    return terms


def extend(vocabulary: Vocabulary, concepts: Iterable[Concept], *, origin: str = "own concepts") -> Vocabulary:
    """Add a set's own concepts to the vocabulary.

    Args:
        vocabulary: What there is.
        concepts: The set's own; a parent may be a known concept or one of them.
        origin: Where they come from, for errors.

    Raises:
        DataError: If an identifier is taken, one of their words already means something, a parent is unknown, or a
            concept is its own ancestor.
    """
    everything = (*vocabulary.concepts.values(), *concepts)
    index = _index(everything, origin=origin)
    _check_hierarchy(everything, origin=origin)
    return replace(vocabulary, concepts={term.id: term for term in everything}, _concept_index=index)


def ancestors(terms: Mapping[str, Term], identifier: str) -> tuple[str, ...]:
    """List the identifiers of the broader terms, the nearest first.

    Example:
        >>> ancestors(load_vocabulary().concepts, "asymmetry")
        ('geometry',)
    """
    chain: list[str] = []
    parent = terms[identifier].parent
    while parent is not None:
        chain.append(parent)
        parent = terms[parent].parent
    return tuple(chain)


def _key(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(character if character.isalnum() else " " for character in folded).split())


def _index(terms: Sequence[T], *, origin: Path | str) -> dict[str, T]:
    index: dict[str, T] = {}
    identifiers: set[str] = set()
    for term in terms:
        if term.id in identifiers:
            raise DataError(f"{origin}: '{term.id}' is listed twice; give each term one entry")
        identifiers.add(term.id)
        for word in term.words:
            other = index.setdefault(_key(word), term)
            if other is not term:
                raise DataError(f"{origin}: '{word}' stands for both {other.id} and {term.id}; keep it in one of them")
    return index


def _check_hierarchy(terms: Iterable[Term], *, origin: Path | str) -> None:
    parents = {term.id: term.parent for term in terms}
    for identifier, parent in parents.items():
        lineage = [identifier]
        while parent is not None:
            if parent not in parents:
                raise DataError(f"{origin}: parent '{parent}' of '{lineage[-1]}' is not listed; add it or correct it")
            if parent in lineage:
                raise DataError(f"{origin}: '{parent}' is its own ancestor ({' < '.join([*lineage, parent])})")
            lineage.append(parent)
            parent = parents[parent]


def _lookup(text: str, index: Mapping[str, T], *, kind: str) -> T:
    term = index.get(_key(str(text)))
    if term is not None:
        return term
    close = dict.fromkeys(index[word].id for word in get_close_matches(_key(str(text)), index, n=3))
    hint = f"did you mean {' or '.join(close)}?" if close else f"e.g. {', '.join(_first_ids(index))}"
    raise DataError(f"unknown {kind} '{text}'; {hint} (all are listed in {FOLDER.parent.name}/{FOLDER.name}/)")


def _first_ids(index: Mapping[str, Term]) -> list[str]:
    return list(dict.fromkeys(term.id for term in index.values()))[:4]


def _read_list(path: Path) -> list[Any]:
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: the vocabulary cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(entries, list):
        raise DataError(f"{path}: expected a list of terms, found {type(entries).__name__}")
    return entries


def _term(entry: Any, kind: type[T], *, origin: Path) -> T:  # noqa: ANN401  # whatever the file holds
    try:
        return kind.model_validate(entry)
    except ValidationError as error:
        fault = error.errors()[0]
        name = entry.get("id", entry) if isinstance(entry, dict) else entry
        field = ".".join(str(part) for part in fault["loc"])
        raise DataError(f"{origin}: term '{name}' {field}: {fault['msg']} (got {fault['input']!r:.60})") from error
