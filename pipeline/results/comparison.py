"""The file that ``dermaxis compare -o`` writes: runs side by side, all held against the first one."""

from collections.abc import Mapping
from enum import StrEnum
from math import nan
from typing import ClassVar

from concepts.statistics.estimate import Estimate, is_known
from concepts.statistics.intervals import LEVEL, critical_value
from pipeline.results.result import Figure, Number, Result, ResultFile

IMPORTANCE = "importance"
"""How the keys of families of importance begin."""


class NoiseFinding(StrEnum):
    """What a difference amounts to."""

    BEYOND = "beyond noise"
    """Its interval, widened for the number of comparisons, does not hold 0."""
    UNCORRECTED = "not after correction"
    """Its own 95 % interval does not hold 0; the widened one does."""
    WITHIN = "within noise"
    UNKNOWN = "not assessable"


class IntervalMethod(StrEnum):
    """How the interval of a difference came about."""

    PAIRED = "paired"
    """Both networks on the same resamples of the same test images."""
    UNPAIRED = "unpaired"
    """Different images, each set resampled by itself."""
    FROM_INTERVALS = "from intervals"
    """Only the two figures and their intervals are known; they are taken as independent."""


class JudgedDifference(Result):
    """A difference, and what it amounts to among all that are judged with it.

    Attributes:
        figure: The difference with its 95 % interval; n is that of the smaller set of images.
        widened: The interval's ends, widened for the number of comparisons; NaN where the figure is not known.
        finding: What it amounts to.
        method: How the interval came about.
    """

    figure: Figure
    widened: tuple[Number, Number]
    finding: NoiseFinding
    method: IntervalMethod


def judge_difference(figure: Estimate, method: IntervalMethod, *, comparisons: int) -> JudgedDifference:
    """Judge a difference among so many.

    The 95 % interval is widened, each side by itself, as a normal one would be from 5 % to 5 % divided by the number of
    comparisons (Bonferroni). So where nothing differs, at most about 5 % of the pages name any difference at all.

    Example:
        >>> difference = Estimate(0.04, 0.01, 0.07, 50)
        >>> str(judge_difference(difference, IntervalMethod.PAIRED, comparisons=1).finding)
        'beyond noise'
        >>> str(judge_difference(difference, IntervalMethod.PAIRED, comparisons=20).finding)
        'not after correction'
    """
    if not is_known(figure):
        return JudgedDifference(figure=figure, widened=(nan, nan), finding=NoiseFinding.UNKNOWN, method=method)
    factor = critical_value(LEVEL / max(comparisons, 1)) / critical_value(LEVEL)
    low = figure.value - factor * (figure.value - figure.low)
    high = figure.value + factor * (figure.high - figure.value)
    return JudgedDifference(figure=figure, widened=(low, high), finding=_finding(figure, low, high), method=method)


def _finding(figure: Estimate, low: float, high: float) -> NoiseFinding:
    if low > 0 or high < 0:
        return NoiseFinding.BEYOND
    return NoiseFinding.UNCORRECTED if figure.low > 0 or figure.high < 0 else NoiseFinding.WITHIN


class ComparedRun(Result):
    """One of the runs.

    Attributes:
        letter: A, B, … in the order in which they were given.
        id: Name of its folder.
        name: Name of the experiment.
        seed: Its seed.
        started: When, ISO 8601 in UTC.
        commit: Of the code; None where it is not known.
        architecture: Of the network.
        layer: The whitened layer.
        release: ``NAME@VERSION`` of the concept release.
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


class ComparedFigure(Result):
    """One figure in all runs.

    Attributes:
        key: Dotted name for machines.
        name: For people.
        figures: One per run; None where a run has no such figure.
        differences: Each run's figure minus the first run's, one per run but the first; None where there is none.
        ranks: Of importance, the rank in each run; empty elsewhere.
    """

    key: str
    name: str
    figures: tuple[Figure | None, ...]
    differences: tuple[JudgedDifference | None, ...]
    ranks: tuple[int | None, ...] = ()


class FigureFamily(Result):
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
    rows: tuple[ComparedFigure, ...]
    comparisons: int

    @property
    def is_importance(self) -> bool:
        """Whether its figures are loss ratios of axes."""
        return self.key.startswith(IMPORTANCE)


class DifferingEntry(Result):
    """A setting or fact that is not the same in all runs.

    Attributes:
        key: Dotted name.
        values: One per run.
    """

    key: str
    values: tuple[str, ...]


class SeedAgreement(Result):
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
    tau: Number
    lowest: Number
    highest: Number
    pairs: int
    concepts: int
    top: str
    top_share: Figure


class SeedSpread(Result):
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
    mean: Figure
    deviation: float
    lowest: float
    highest: float


class Comparison(ResultFile):
    """Runs side by side.

    Attributes:
        runs: In the order in which they were given.
        same_images: By letter of a run, whether its test images are those of the first run, image by image.
        settings: Settings that differ.
        facts: Digests, versions and the commit, where they differ.
        families: The figures.
        agreement: Where only seeds differ; else empty.
        spreads: Where only seeds differ and there are three runs or more; else empty.
        only_seeds: Whether the settings that differ are seeds alone.
        resamples: Number of bootstrap resamples.
    """

    file: ClassVar[str] = "comparison.json"
    version: ClassVar[int] = 2
    remedy: ClassVar[str] = "compare the runs again: dermaxis compare"

    runs: tuple[ComparedRun, ...]
    same_images: Mapping[str, bool]
    settings: tuple[DifferingEntry, ...]
    facts: tuple[DifferingEntry, ...]
    families: tuple[FigureFamily, ...]
    agreement: tuple[SeedAgreement, ...] = ()
    spreads: tuple[SeedSpread, ...] = ()
    only_seeds: bool
    resamples: int

    def differences(
        self, *, importance: bool | None = None
    ) -> list[tuple[FigureFamily, ComparedFigure, str, JudgedDifference]]:
        """List all differences, each with its family, its figure and the letter of its run.

        Args:
            importance: Only those of importance, or only all others; None: all.
        """
        return [
            (family, row, run.letter, difference)
            for family in self.families
            if importance is None or family.is_importance is importance
            for row in family.rows
            for run, difference in zip(self.runs[1:], row.differences, strict=True)
            if difference is not None
        ]
