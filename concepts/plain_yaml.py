"""YAML from strangers: limited in length and depth before it is read, and without aliases.

An alias repeats a part of the text for three characters, so that a few lines can fill the memory. Nobody needs one in
settings.
"""

from typing import Any

import yaml

from concepts.errors import DataError

MOST_CHARACTERS = 65_536
"""Settings with all their keys have some 5,000."""
DEEPEST = 12
"""Mappings and lists inside each other; settings need four."""
LONGEST_PROBLEM = 80
"""Characters of what the parser says; it may quote a word of the text."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
OPENING, CLOSING = (yaml.MappingStartEvent, yaml.SequenceStartEvent), (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def parse_yaml(text: str) -> Any:  # noqa: ANN401  # whatever the text holds; the caller checks it
    """Read YAML: plain mappings, lists, words and numbers.

    Args:
        text: At most `MOST_CHARACTERS` long and `DEEPEST` deep.

    Raises:
        DataError: If it is longer, deeper, has an alias, or is not YAML; says why and in which line.

    Example:
        >>> parse_yaml("training: {plain_epochs: 3}")
        {'training': {'plain_epochs': 3}}
        >>> parse_yaml("[&a [1], *a]")
        Traceback (most recent call last):
        concepts.errors.DataError: has an alias (*name) in line 1, which is not allowed; write its value out
    """
    if len(text) > MOST_CHARACTERS:
        raise DataError(f"has {len(text):,} characters; at most {MOST_CHARACTERS:,} are allowed")
    try:
        _refuse_growth(text)
        return yaml.load(text, Loader=LOADER)  # nosec B506  # a safe one, see above
    except yaml.MarkedYAMLError as error:
        problem = " ".join((error.problem or "malformed").split())
        raise DataError(f"is not YAML: {problem:.{LONGEST_PROBLEM}}{_place(error.problem_mark)}") from error
    # PyYAML passes on what Python says of impossible characters, dates and numbers.
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise DataError("is not YAML: it has a character, number or date that cannot be read") from error


def _refuse_growth(text: str) -> None:
    """Refuse what is larger or deeper when it is read than it looks, event by event, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise DataError(
                f"has an alias (*name){_place(event.start_mark)}, which is not allowed; write its value out"
            )
        depth += isinstance(event, OPENING) - isinstance(event, CLOSING)
        if depth > DEEPEST:
            raise DataError(f"is nested deeper than {DEEPEST}{_place(event.start_mark)}; flatten it")


def _place(mark: Any) -> str:  # noqa: ANN401  # of either of the two parsers
    return f" in line {mark.line + 1}" if mark is not None else ""
