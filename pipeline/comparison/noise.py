"""Whether a difference between two runs is more than noise: intervals of differences, and their correction."""

from collections.abc import Sequence
from math import hypot, isfinite, nan, sqrt
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate
from pipeline.evaluation.bootstrap import Resampled, group_weights
from pipeline.evaluation.bootstrap import difference as resampled_difference
from pipeline.evaluation.diagnosis import MACRO, class_aucs, macro
from pipeline.report.content import is_known
from pipeline.results.comparison import Difference, Finding, Method
from pipeline.run.folder import RunFolder

NETWORKS = ("plain", "whitened")
LEVEL = 0.05


class Predictions:
    """What both networks of a run said about its test images.

    Args:
        run: A whole run.
        classes: The diagnoses, in the order of the networks' outputs.

    Raises:
        RunError: If a file or column is missing.
    """

    def __init__(self, run: RunFolder, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        wanted = [f"{network}_{name}" for network in NETWORKS for name in classes]
        table = _table(run, "predictions.csv", ["image_id", "diagnosis", *wanted]).set_index("image_id").sort_index()
        split = _table(run, "split.csv", ["image_id", "group"]).set_index("image_id")
        samples = _table(run, "samples.csv", ["image_id", "digest"]).set_index("image_id")
        if not table.index.isin(split.index).all() or not table.index.isin(samples.index).all():
            raise RunError(
                f"{run.path}: predictions.csv has images that split.csv or samples.csv lack; evaluate it again"
            )
        self.groups = [str(one) for one in split.loc[table.index, "group"]]
        self.labels = np.array([self.classes.index(one) for one in table["diagnosis"]], dtype=np.int64)
        self.images = list(zip(table.index, samples.loc[table.index, "digest"], table["diagnosis"], strict=True))
        self._probabilities = {
            network: table[[f"{network}_{name}" for name in classes]].to_numpy(dtype=np.float64) for network in NETWORKS
        }

    def are_of_the_same_images_as(self, other: "Predictions") -> bool:
        """Whether images, their content, their diagnoses, their groups and the list of diagnoses are the same."""
        return (self.classes, self.images, self.groups) == (other.classes, other.images, other.groups)

    def weights(self, generator: np.random.Generator, resamples: int) -> NDArray[np.float32]:
        """Resamples of the test images, by group."""
        return group_weights(self.groups, resamples=resamples, generator=generator)

    def aucs(self, network: str, weights: NDArray[np.float32]) -> dict[str, Resampled]:
        """AUC of each diagnosis, and their mean, on the data and on resamples."""
        by_class = class_aucs(self._probabilities[network], self.labels, classes=self.classes, weights=weights)
        return {MACRO: macro(by_class), **by_class}


def auc_differences(
    first: Predictions, other: Predictions, *, generator: np.random.Generator, resamples: int
) -> dict[tuple[str, str], tuple[Estimate, Method]]:
    """The other run's AUC minus the first run's, by network and diagnosis.

    On the same test images both runs are resampled together, so that what the images have in common cancels; on
    different ones each by itself.
    """
    paired = first.are_of_the_same_images_as(other)
    weights = first.weights(generator, resamples)
    other_weights = weights if paired else other.weights(generator, resamples)
    found = {}
    for network in NETWORKS:
        ours, theirs = first.aucs(network, weights), other.aucs(network, other_weights)
        shared = [key for key in ours if key in theirs and (key != MACRO or first.classes == other.classes)]
        for key in shared:
            figure = resampled_difference(theirs[key], ours[key]).estimate()
            found[network, key] = (figure, Method.PAIRED if paired else Method.UNPAIRED)
    return found


def difference_of(figure: Estimate, first: Estimate) -> Estimate:
    """A figure minus another, from their intervals alone, taken as independent.

    Where both rest on the same images they are correlated, mostly positively, and the interval is wider than it need
    be: it errs towards noise.

    Source: Zou & Donner 2008, Statistics in Medicine 27:1693, eq. 10 (method of variance estimates recovery).
    """
    if not (is_known(figure) and is_known(first)):
        return Estimate(nan, nan, nan, min(figure.n, first.n))
    value = figure.value - first.value
    below = hypot(figure.value - figure.low, first.high - first.value)
    above = hypot(figure.high - figure.value, first.value - first.low)
    return Estimate(value, value - below, value + above, min(figure.n, first.n))


def judged(letter: str, figure: Estimate, method: Method, *, comparisons: int) -> Difference:
    """What a difference amounts to among so many.

    The 95 % interval is widened, each side by itself, as a normal one would be from 5 % to 5 % divided by the number of
    comparisons (Bonferroni): then, where nothing differs, all of them together err in at most about 5 % of such pages.
    """
    if not is_known(figure):
        return Difference(letter, figure, (nan, nan), Finding.UNKNOWN, method)
    wider = _critical(LEVEL / max(comparisons, 1)) / _critical(LEVEL)
    low = figure.value - wider * (figure.value - figure.low)
    high = figure.value + wider * (figure.high - figure.value)
    return Difference(letter, figure, (low, high), _finding(figure, low, high), method)


def wilson(successes: int, n: int) -> Estimate:
    """A share with its 95 % interval.

    Source: Wilson 1927, JASA 22:209.
    """
    if n == 0:
        return Estimate(nan, nan, nan, 0)
    z, share = _critical(LEVEL), successes / n
    centre, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    whole = 1 + z * z / n
    return Estimate(share, max((centre - half) / whole, 0.0), min((centre + half) / whole, 1.0), n)


def kendall_tau(first: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's tau-b of two lists of figures: 1 for the same order, -1 for the opposite one; NaN where all are tied.

    Source: Kendall 1945, Biometrika 33:239.
    """
    signs = [np.sign(np.subtract.outer(one, one))[np.triu_indices(len(first), 1)] for one in (first, other)]
    untied = [float(np.abs(one).sum()) for one in signs]
    return float((signs[0] * signs[1]).sum() / sqrt(untied[0] * untied[1])) if all(untied) else nan


def _finding(figure: Estimate, low: float, high: float) -> Finding:
    if low > 0 or high < 0:
        return Finding.BEYOND
    return Finding.UNCORRECTED if figure.low > 0 or figure.high < 0 else Finding.WITHIN


def _critical(level: float) -> float:
    return NormalDist().inv_cdf(1 - level / 2)


def _table(run: RunFolder, name: str, columns: Sequence[str]) -> pd.DataFrame:
    if not run.has(name):
        raise RunError(f"{run.path}: {name} is missing; the run did not come so far: continue it with --resume")
    table = pd.read_csv(run.file(name), dtype={"image_id": str, "group": str, "diagnosis": str})
    missing = [column for column in columns if column not in table]
    if missing:
        raise RunError(f"{run.file(name)} has no column {', '.join(missing)}; evaluate the run again")
    return table[list(columns)]


def is_finite(figure: Estimate | None) -> bool:
    """Whether there is a figure with a value."""
    return figure is not None and isfinite(figure.value)
