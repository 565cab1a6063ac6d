"""Artefacts as they are measured in the picture, for images of which nobody says whether they have them.

What is known of these labels was counted by looking (`KNOWN`); it holds for images of that kind, and a measure may take
a part of a lesion for an artefact.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from concepts.files import write_atomically
from pipeline.data.cohort import Cohort
from pipeline.data.decoded import DecodedCache
from pipeline.data.sample import Sample
from pipeline.images.measures.quality import MEASURES, MEASURES_VERSION, is_found, measure_quality
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

Values = NDArray[np.float64]


@dataclass(frozen=True)
class MeasureQuality:
    """How often a measure was right in images that somebody looked through.

    Attributes:
        present: Images with the artefact.
        found: Of these, where it was found.
        absent: Images without it.
        falsely: Of these, where it was found.
    """

    present: int
    found: int
    absent: int
    falsely: int

    def to_json(self) -> dict[str, int]:
        """As JSON."""
        return asdict(self)


KNOWN: Mapping[str, MeasureQuality] = {
    "hair": MeasureQuality(present=41, found=26, absent=119, falsely=3),
    "ruler": MeasureQuality(present=73, found=57, absent=87, falsely=0),
    "ink": MeasureQuality(present=16, found=8, absent=144, falsely=4),
    "colour_patch": MeasureQuality(present=11, found=9, absent=149, falsely=0),
    "dark_corner": MeasureQuality(present=2, found=2, absent=158, falsely=0),
}
"""Counted in 160 validation and test images of ISIC 2018 (288 pixels), drawn at random and looked through by a
developer, no clinician, before they were measured; what counts as found was set on training images and phantoms.
"""


def measured_labels(
    cohort: Cohort, samples: Sequence[Sample], artefacts: Sequence[str], *, tracker: Tracker
) -> dict[str, Values]:
    """By artefact, N labels of images: 1 found, 0 not found.

    Each image is measured once; the values are kept beside the decoded images.

    Args:
        cohort: The cohort.
        samples: N of its images.
        artefacts: Of `MEASURED`.
        tracker: Where progress is shown.
    """
    table = _measures(cohort.cache, samples, tracker) if artefacts else np.zeros((len(samples), len(MEASURES)))
    return {name: _found(MEASURED[name], table) for name in artefacts}


def _found(measure: str, table: Values) -> Values:
    column = table[:, MEASURES.index(measure)]
    return np.array([is_found(measure, float(value)) for value in column], dtype=np.float64)


def _measures(cache: DecodedCache, samples: Sequence[Sample], tracker: Tracker) -> Values:
    """N x M measures of the decoded squares, margin and all: the network was trained on all parts of them."""
    file = cache.folder / f"measures-{MEASURES_VERSION}.csv"
    known = _kept(file)
    missing = [sample for sample in samples if len(known.get(sample.digest, ())) != len(MEASURES)]
    if missing:
        with tracker.task("artefacts measured in the picture", len(missing)) as advance:
            for sample in missing:
                known[sample.digest] = astuple(measure_quality(cache.get(sample)))
                advance(1)
        text = io.StringIO()
        csv.writer(text).writerows([digest, *values] for digest, values in sorted(known.items()))
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, text.getvalue())
    return np.array([known[sample.digest] for sample in samples], dtype=np.float64).reshape(-1, len(MEASURES))


def _kept(file: Path) -> dict[str, Sequence[float]]:
    """By digest of the image, its measures; a damaged file is as good as none."""
    if not file.is_file():
        return {}
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            return {row[0]: [float(value) for value in row[1:]] for row in csv.reader(opened) if row}
    except (ValueError, csv.Error):
        return {}
