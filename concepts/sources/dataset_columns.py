"""What the columns of published data sets say of concepts, from ``dataset_columns.yaml``."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import yaml

from concepts.judgement import Verdict

Meanings = Mapping[str, Verdict]
"""By concept."""


@cache
def column_meanings(dataset: str) -> Mapping[str, Mapping[str, Meanings]]:
    """Read what each value of each column says of which concepts.

    Example:
        >>> {concept: str(verdict) for concept, verdict in column_meanings("ph2")["streaks"]["a"].items()}
        {'streaks': 'absent'}
    """
    columns = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))[dataset]
    return {
        column: {
            value: {concept: Verdict(verdict) for verdict, concepts in by_verdict.items() for concept in concepts}
            for value, by_verdict in values.items()
        }
        for column, values in columns.items()
    }
