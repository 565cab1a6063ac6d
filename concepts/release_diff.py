"""What changed from one release to another."""

from dataclasses import asdict, dataclass
from typing import Any

from concepts.example import AgreementEntry, Example, Polarity
from concepts.release import Release

Cell = tuple[str, str]
"""Concept and image."""


@dataclass(frozen=True, slots=True)
class ReleaseDiff:
    """The differences between two releases; all lists sorted.

    Attributes:
        concepts_added: Identifiers of concepts that only the second has.
        concepts_removed: Of those that only the first has.
        concepts_changed: Of those that read otherwise: name, definition, origin, rule or parent.
        examples_added: Concept and image of examples that only the second has.
        examples_removed: Of those that only the first has.
        verdicts_changed: Concept, image, and what the first and the second say.
        regions_changed: Concept and image where only the region differs.
        agreement: By concept, the coefficient in the first and in the second, where both measured the same.
    """

    concepts_added: tuple[str, ...]
    concepts_removed: tuple[str, ...]
    concepts_changed: tuple[str, ...]
    examples_added: tuple[Cell, ...]
    examples_removed: tuple[Cell, ...]
    verdicts_changed: tuple[tuple[str, str, Polarity, Polarity], ...]
    regions_changed: tuple[Cell, ...]
    agreement: dict[str, tuple[float | None, float | None]]

    @property
    def is_empty(self) -> bool:
        """Tell whether concepts and examples are the same."""
        return not any(value for name, value in asdict(self).items() if name != "agreement")

    def to_json(self) -> dict[str, Any]:
        """Return the differences as a JSON object."""
        return asdict(self)


def diff(first: Release, second: Release) -> ReleaseDiff:
    """Compare two releases, of the same set or not: what changed from the first to the second."""
    entries = [{entry.id: entry for entry in release.concepts} for release in (first, second)]
    before, after = [{(e.concept, e.image_id): e for e in release.examples} for release in (first, second)]
    common = sorted(before.keys() & after.keys())
    return ReleaseDiff(
        concepts_added=tuple(sorted(entries[1].keys() - entries[0].keys())),
        concepts_removed=tuple(sorted(entries[0].keys() - entries[1].keys())),
        concepts_changed=tuple(
            sorted(name for name in entries[0].keys() & entries[1].keys() if entries[0][name] != entries[1][name])
        ),
        examples_added=tuple(sorted(after.keys() - before.keys())),
        examples_removed=tuple(sorted(before.keys() - after.keys())),
        verdicts_changed=tuple(
            (*cell, before[cell].polarity, after[cell].polarity)
            for cell in common
            if before[cell].polarity is not after[cell].polarity
        ),
        regions_changed=tuple(cell for cell in common if _only_region_differs(before[cell], after[cell])),
        agreement=_agreement(first, second),
    )


def _only_region_differs(before: Example, after: Example) -> bool:
    return before.polarity is after.polarity and before.region != after.region


def _agreement(first: Release, second: Release) -> dict[str, tuple[float | None, float | None]]:
    before, after = _by_concept(first), _by_concept(second)
    both = sorted(before.keys() & after.keys())
    return {c: (before[c].value, after[c].value) for c in both if before[c].measure == after[c].measure}


def _by_concept(release: Release) -> dict[str, AgreementEntry]:
    return {entry.concept: entry for entry in release.agreement or ()}
