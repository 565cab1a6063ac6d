"""The samples of a run as a CSV table."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from pipeline.data.sample import Sample
from pipeline.run.folder import write_atomically


def write_samples(samples: Sequence[Sample], path: Path) -> None:
    """Write one row per sample, with the columns of `Sample`; what is not known stays empty."""
    table = pd.DataFrame([asdict(sample) for sample in samples])
    write_atomically(path, table.to_csv(index=False))
