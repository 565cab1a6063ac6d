"""What a comparison of runs says: meaning only, no rendering. All runs are held against the first one."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from concepts.statistics.estimate import Estimate


class Finding(StrEnum):
    """What a difference between two runs amounts to."""

    BEYOND = "beyond noise"
    """Its interval, widened for the number of comparisons, does not hold 0."""
    UNCORRECTED = "not after correction"
    """Its own 95 % interval does not hold 0; the widened one does."""
    WITHIN = "within noise"
    UNKNOWN = "not assessable"


class Method(StrEnum):
    """How the interval of a difference came about."""

    PAIRED = "paired"
    """Both networks on the same resamples of the same test images."""
    UNPAIRED = "unpaired"
    """Different test images, each resampled by itself."""
    FROM_INTERVALS = "from intervals"
    """Only the two figures and their intervals are known; they are taken as independent."""


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs.

    Attributes:
        letter: A, B, … in the order in which they were given.
        test_images: Number of its test images.
        concepts: Names of its concepts, in axis order.
    """

    letter: str
    id: str
    name: str
    seed: int
    started: str
    commit: str | None
    architecture: str
    layer: str
    release: str
    test_images: int
    concepts: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """One run's figure minus the first run's.

    Attributes:
        letter: The run.
        figure: The difference with its 95 % interval; n is that of the smaller test set.
        widened: The interval's ends, widened for the number of comparisons in the family.
        finding: What it amounts to.
        method: How the interval came about.
    """

    letter: str
    figure: Estimate
    widened: tuple[float, float]
    finding: Finding
    method: Method


@dataclass(frozen=True)
class Row:
    """One figure in all runs.

    Attributes:
        key: Dotted name for machines.
        name: For people.
        figures: One per run; None where a run has no such figure.
        differences: One per run but the first; None where it cannot be formed.
        ranks: Of importance, the rank in each run; empty elsewhere.
    """

    key: str
    name: str
    figures: tuple[Estimate | None, ...]
    differences: tuple[Difference | None, ...]
    ranks: tuple[int | None, ...] = ()


@dataclass(frozen=True)
class Family:
    """Figures that are judged together.

    Attributes:
        key: For machines.
        title: For people.
        unit: What the figures are.
        reference: The value of no effect: 0.5 for an AUC, 1 for a ratio.
        rows: The figures.
        comparisons: How many differences the correction is for: those of all families of its kind.
    """

    key: str
    title: str
    unit: str
    reference: float
    rows: tuple[Row, ...]
    comparisons: int


@dataclass(frozen=True)
class SettingRow:
    """A setting or fact that is not the same in all runs."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Stability:
    """How far importance agrees between two or more runs that differ in their seeds alone.

    Attributes:
        target: The diagnosis, for people.
        tau: Mean over the pairs of runs of Kendall's rank correlation of the concepts' importance.
        lowest: The lowest among the pairs.
        highest: The highest among the pairs.
        pairs: Number of pairs.
        concepts: Number of concepts that are ranked.
        top: The concept that is most important most often.
        top_share: In what share of the runs; interval after Wilson, n counts the runs.
    """

    target: str
    tau: float
    lowest: float
    highest: float
    pairs: int
    concepts: int
    top: str
    top_share: Estimate


@dataclass(frozen=True)
class SeedSpread:
    """How one figure varies between runs that differ in their seeds alone.

    Attributes:
        key: Dotted name for machines.
        family: Title of its family.
        name: For people.
        unit: What it is.
        mean: Over the runs; n counts them.
        deviation: Standard deviation between the runs.
        lowest: Of the runs.
        highest: Of the runs.
    """

    key: str
    family: str
    name: str
    unit: str
    mean: Estimate
    deviation: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes:
        runs: In the order in which they were given.
        same_images: By letter of a run, whether its test images are those of the first run, image by image.
        settings: Settings that differ.
        facts: Digests, versions and the commit, where they differ.
        families: The figures.
        stability: Where only seeds differ; else empty.
        spreads: Where only seeds differ and there are three runs or more; else empty.
        seeds: Whether the settings that differ are seeds alone.
        resamples: Number of bootstrap resamples.
    """

    runs: tuple[ComparedRun, ...]
    same_images: Mapping[str, bool]
    settings: tuple[SettingRow, ...]
    facts: tuple[SettingRow, ...]
    families: tuple[Family, ...]
    stability: tuple[Stability, ...]
    seeds: bool
    resamples: int
    spreads: tuple[SeedSpread, ...] = ()

    def findings(self, finding: Finding) -> list[tuple[Family, Row, Difference]]:
        """All differences that amount to something."""
        return [
            (family, row, one)
            for family in self.families
            for row in family.rows
            for one in row.differences
            if one is not None and one.finding is finding
        ]

    def to_json(self) -> dict[str, Any]:
        """The comparison as JSON; figures are ``{value, low, high, n}``."""
        return {key: _plain(value) for key, value in vars(self).items()}


def _plain(value: Any) -> Any:  # noqa: ANN401  # anything that the classes above hold
    if isinstance(value, Estimate):
        return value.to_json()
    if isinstance(value, StrEnum):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and value != value:
        return None
    return {key: _plain(one) for key, one in vars(value).items()} if hasattr(value, "__dict__") else value
