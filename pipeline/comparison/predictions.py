"""What both networks of a run say about its test images, and how far the AUCs of two runs differ."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from concepts.csv_cells import csv_rows
from concepts.errors import RunError
from concepts.reading import table_text
from concepts.statistics.bootstrap import Resampled, group_weights
from concepts.statistics.bootstrap import difference as resampled_difference
from concepts.statistics.estimate import Estimate
from pipeline.evaluation.diagnosis import MACRO, class_aucs, macro
from pipeline.results.comparison import IntervalMethod
from pipeline.run.folder import RunFolder

NETWORKS = ("plain", "whitened")
TEXTS = {"image_id", "group", "diagnosis", "digest"}
PREDICTIONS, SPLIT, SAMPLES = "predictions.csv", "split.csv", "samples.csv"
AucDifferences = dict[tuple[str, str], tuple[Estimate, IntervalMethod]]
"""By network and diagnosis (or ``macro``): a difference, and how its interval came about."""


@dataclass(frozen=True)
class ComparedImage:
    """A test image as two runs must share it to be compared in pairs.

    Attributes:
        image_id: Which image.
        digest: SHA-256 of its file.
        diagnosis: Its recorded diagnosis.
        group: Of related images.
    """

    image_id: str
    digest: str
    diagnosis: str
    group: str


@dataclass(frozen=True)
class Predictions:
    """What both networks of a run say about its test images.

    Attributes:
        classes: The D diagnoses, in the order of the networks' outputs.
        images: The N test images, ordered by identifier.
        probabilities: By network, N x D.
    """

    classes: tuple[str, ...]
    images: tuple[ComparedImage, ...]
    probabilities: dict[str, NDArray[np.float64]]

    def are_of_the_same_images_as(self, other: "Predictions") -> bool:
        """Whether images, their content, their diagnoses, their groups and the list of diagnoses are the same."""
        return (self.classes, self.images) == (other.classes, other.images)

    def weights(self, generator: np.random.Generator, resamples: int) -> NDArray[np.float32]:
        """Draw resamples of the test images by group, as a weight of each image in each resample."""
        return group_weights([image.group for image in self.images], resamples=resamples, generator=generator)

    def aucs(self, network: str, weights: NDArray[np.float32]) -> dict[str, Resampled]:
        """Compute the AUC of each diagnosis, and their mean, on the data and on resamples."""
        labels = np.array([self.classes.index(image.diagnosis) for image in self.images], dtype=np.int64)
        by_class = class_aucs(self.probabilities[network], labels, classes=self.classes, weights=weights)
        return {MACRO: macro(by_class), **by_class}


def read_predictions(run: RunFolder, classes: Sequence[str]) -> Predictions:
    """Read the predictions of a finished run.

    Args:
        run: The run.
        classes: The diagnoses, in the order of the networks' outputs.

    Raises:
        RunError: If a file, a column or an image is missing.
    """
    columns = {network: [f"{network}_{diagnosis}" for diagnosis in classes] for network in NETWORKS}
    names = ["image_id", "diagnosis", *(name for each in columns.values() for name in each)]
    table = _table(run, PREDICTIONS, names).set_index("image_id").sort_index()
    groups = _table(run, SPLIT, ["image_id", "group"]).set_index("image_id")["group"]
    digests = _table(run, SAMPLES, ["image_id", "digest"]).set_index("image_id")["digest"]
    if not table.index.isin(groups.index).all() or not table.index.isin(digests.index).all():
        raise RunError(
            f"{run.path}: {PREDICTIONS} has images that {SPLIT} or {SAMPLES} lacks; evaluate the run again: "
            f"dermaxis evaluate {run.path}"
        )
    rows = zip(table.index, digests.loc[table.index], table["diagnosis"], groups.loc[table.index], strict=True)
    return Predictions(
        classes=tuple(classes),
        images=tuple(ComparedImage(*(str(value) for value in row)) for row in rows),
        probabilities={network: table[each].to_numpy(dtype=np.float64) for network, each in columns.items()},
    )


def auc_differences(
    first: Predictions, other: Predictions, *, generator: np.random.Generator, resamples: int
) -> AucDifferences:
    """Subtract the first run's AUC from the other run's, by network and diagnosis.

    On the same test images both runs are resampled together, so that what the images have in common cancels. On
    different ones each is resampled by itself.
    """
    is_paired = first.are_of_the_same_images_as(other)
    weights = first.weights(generator, resamples)
    other_weights = weights if is_paired else other.weights(generator, resamples)
    method = IntervalMethod.PAIRED if is_paired else IntervalMethod.UNPAIRED
    differences = {}
    for network in NETWORKS:
        first_aucs, other_aucs = first.aucs(network, weights), other.aucs(network, other_weights)
        for key, auc in first_aucs.items():
            if key in other_aucs and (key != MACRO or first.classes == other.classes):
                differences[network, key] = (resampled_difference(other_aucs[key], auc).estimate(), method)
    return differences


def _table(run: RunFolder, name: str, columns: Sequence[str]) -> pd.DataFrame:
    if not run.has(name):
        raise RunError(f"{run.path}: {name} is missing; resume the run: dermaxis run CONFIG --resume")
    try:
        table = pd.DataFrame(csv_rows(table_text(run.file(name))))
    except ValueError as error:
        raise RunError(f"{run.file(name)}: cannot be read ({error!s:.100}); restore it from the run") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise RunError(
            f"{run.file(name)}: no column '{missing[0]}'; evaluate the run again: dermaxis evaluate {run.path}"
        )
    numbers = [column for column in columns if column not in TEXTS]
    try:
        return table[list(columns)].astype(dict.fromkeys(numbers, np.float64))
    except ValueError as error:
        raise RunError(f"{run.file(name)}: {error!s:.100}; evaluate the run again") from error
