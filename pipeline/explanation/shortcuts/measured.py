"""Artefacts as they are measured in the picture, for images of which nobody says whether they have them.

How good these labels are was counted by looking at images (`QUALITY`); the counts hold for images of that kind, and a
measure may take a part of a lesion for an artefact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concepts.csv_cells import csv_rows, csv_text
from concepts.files import write_atomically
from concepts.reading import table_text
from pipeline.data.decoded import DecodedCache
from pipeline.data.sample import Sample
from pipeline.images.measures.quality import MEASURES, MEASURES_VERSION, is_found, measure_quality
from pipeline.results.shortcuts import MeasureQuality
from pipeline.run.progress import Tracker

MEASURED: Mapping[str, str] = {
    "hair": "hair",
    "ruler": "ruler",
    "ink": "ink",
    "colour_patch": "patch",
    "dark_corner": "dark_corners",
}
"""By artefact of the vocabulary, its measure. Bubbles are not among them: what is nearly white is overexposed skin more
often than a bubble."""

DIGEST = "digest"

Values = NDArray[np.float64]

QUALITY: Mapping[str, MeasureQuality] = {
    "hair": MeasureQuality(present=41, detected=26, absent=119, false_alarms=3),
    "ruler": MeasureQuality(present=73, detected=57, absent=87, false_alarms=0),
    "ink": MeasureQuality(present=16, detected=8, absent=144, false_alarms=4),
    "colour_patch": MeasureQuality(present=11, detected=9, absent=149, false_alarms=0),
    "dark_corner": MeasureQuality(present=2, detected=2, absent=158, false_alarms=0),
}
"""Counted in 160 validation and test images of ISIC 2018 (288 pixels), drawn at random and looked through by a
developer, no clinician, before they were measured; the thresholds were set on training images and phantoms.
"""


def measured_labels(
    cache: DecodedCache, samples: Sequence[Sample], artefacts: Sequence[str], *, tracker: Tracker
) -> dict[str, Values]:
    """Label images by artefact: 1 detected, 0 not detected.

    Each image is measured once; the values are kept beside the decoded images.

    Args:
        cache: Decoded images.
        samples: N images.
        artefacts: Of `MEASURED`.
        tracker: Shows progress.
    """
    if not artefacts:
        return {}
    table = _measures(cache, samples, tracker)
    return {artefact: _detected(MEASURED[artefact], table) for artefact in artefacts}


def _detected(measure: str, table: Values) -> Values:
    column = table[:, MEASURES.index(measure)]
    return np.array([is_found(measure, float(value)) for value in column], dtype=np.float64)


def _measures(cache: DecodedCache, samples: Sequence[Sample], tracker: Tracker) -> Values:
    """Return N x M measures of the decoded squares, margin and all: the network was trained on all parts of them."""
    file = cache.folder / f"measures-{MEASURES_VERSION}.csv"
    by_digest = _read_measures(file)
    missing = [sample for sample in samples if len(by_digest.get(sample.digest, ())) != len(MEASURES)]
    if missing:
        with tracker.task("artefacts measured in the picture", len(missing)) as advance:
            for sample in missing:
                by_digest[sample.digest] = astuple(measure_quality(cache.get(sample)))
                advance(1)
        rows = ([digest, *values] for digest, values in sorted(by_digest.items()))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, csv_text((DIGEST, *MEASURES), rows))
    return np.array([by_digest[sample.digest] for sample in samples], dtype=np.float64).reshape(-1, len(MEASURES))


def _read_measures(file: Path) -> dict[str, Sequence[float]]:
    """Return the measures by the image's digest; a damaged file counts as none."""
    if not file.is_file():
        return {}
    try:
        rows = csv_rows(table_text(file))
        return {row[DIGEST]: [float(row[measure]) for measure in MEASURES] for row in rows}
    except (ValueError, KeyError):
        return {}
