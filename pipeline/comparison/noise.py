"""Whether a difference between two runs is more than noise: intervals of differences, and their correction."""

from collections.abc import Sequence
from math import nan

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concepts.errors import RunError
from concepts.statistics.bootstrap import Resampled, group_weights
from concepts.statistics.bootstrap import difference as resampled_difference
from concepts.statistics.estimate import Estimate, is_known
from concepts.statistics.intervals import LEVEL, critical_value
from pipeline.evaluation.diagnosis import MACRO, class_aucs, macro
from pipeline.results.comparison import Difference, Finding, Method
from pipeline.run.folder import RunFolder

NETWORKS = ("plain", "whitened")


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


def judged(letter: str, figure: Estimate, method: Method, *, comparisons: int) -> Difference:
    """What a difference amounts to among so many.

    The 95 % interval is widened, each side by itself, as a normal one would be from 5 % to 5 % divided by the number of
    comparisons (Bonferroni): then, where nothing differs, all of them together err in at most about 5 % of such pages.
    """
    if not is_known(figure):
        return Difference(letter, figure, (nan, nan), Finding.UNKNOWN, method)
    wider = critical_value(LEVEL / max(comparisons, 1)) / critical_value(LEVEL)
    low = figure.value - wider * (figure.value - figure.low)
    high = figure.value + wider * (figure.high - figure.value)
    return Difference(letter, figure, (low, high), _finding(figure, low, high), method)


def _finding(figure: Estimate, low: float, high: float) -> Finding:
    if low > 0 or high < 0:
        return Finding.BEYOND
    return Finding.UNCORRECTED if figure.low > 0 or figure.high < 0 else Finding.WITHIN


def _table(run: RunFolder, name: str, columns: Sequence[str]) -> pd.DataFrame:
    if not run.has(name):
        raise RunError(f"{run.path}: {name} is missing; the run did not come so far: continue it with --resume")
    table = pd.read_csv(run.file(name), dtype={"image_id": str, "group": str, "diagnosis": str})
    missing = [column for column in columns if column not in table]
    if missing:
        raise RunError(f"{run.file(name)} has no column {', '.join(missing)}; evaluate the run again")
    return table[list(columns)]
