"""The generated cohort as samples, and which concepts were planted where."""

from collections.abc import Hashable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from concepts.errors import DataError
from concepts.reading import MOST_TABLE_MEMORY, table_text
from pipeline.data.digests import file_digest
from pipeline.data.phantom.cohort import COLUMNS
from pipeline.data.phantom.lesion import LESION
from pipeline.data.phantom.rule import CONCEPTS, DIAGNOSES
from pipeline.data.phantom.skin import tone_name
from pipeline.data.sample import Sample

SOURCE = "phantom"
LICENCE = "CC0-1.0"

_TEXT = dict.fromkeys(("image_id", "patient_id", "lesion_id", "diagnosis", "sex", "site"), str)
_FIRST_ROW = 2


def load_phantom(root: Path) -> list[Sample]:
    """Load the samples of a generated cohort, in the order of its table.

    Args:
        root: A folder written by `generate_cohort`.

    Raises:
        DataError: If the folder, a column or a file is missing, or a row cannot be used.
    """
    table = _read_metadata(root)
    return [_sample(root, row) for row in table.to_dict("records")]


def _read_metadata(root: Path) -> pd.DataFrame:
    path = root / "metadata.csv"
    if not path.is_file():
        raise DataError(
            f"{root}: not a phantom cohort: there is no metadata.csv; generate one with 'dermaxis phantom FOLDER'"
        )
    try:
        text = table_text(path, most_memory=MOST_TABLE_MEMORY)
        table = pd.read_csv(StringIO(text), dtype=_TEXT, keep_default_na=False)
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a table ({' '.join(str(error).split())}); generate the cohort again") from error
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise DataError(f"{path}: no column {', '.join(missing)}; generate the cohort again")
    _refuse(path, table["image_id"], ~table["image_id"].duplicated(), allowed="each image once")
    _refuse(path, table["diagnosis"], table["diagnosis"].isin(DIAGNOSES), allowed=", ".join(DIAGNOSES))
    for concept in CONCEPTS:
        _refuse(path, table[concept], pd.to_numeric(table[concept], errors="coerce").isin([0, 1]), allowed="0 and 1")
    _refuse(path, table["age"], pd.to_numeric(table["age"], errors="coerce").notna(), allowed="a number of years")
    return table


def _refuse(path: Path, column: "pd.Series[str]", is_allowed: "pd.Series[bool]", *, allowed: str) -> None:
    if is_allowed.all():
        return
    row = int(is_allowed.to_numpy().argmin())
    raise DataError(
        f"{path} row {row + _FIRST_ROW}: {column.name} is '{column.iloc[row]}'; allowed: {allowed}; "
        "generate the cohort again"
    )


def _sample(root: Path, row: Mapping[Hashable, Any]) -> Sample:
    image_id = str(row["image_id"])
    image, mask = root / "images" / f"{image_id}.png", root / "masks" / f"{image_id}_{LESION}.png"
    for path in (image, mask):
        if not path.is_file():
            raise DataError(f"{path}: metadata.csv names this file, but it is missing; generate the cohort again")
    return Sample(
        image_id=image_id,
        path=image,
        digest=file_digest(image),
        diagnosis=str(row["diagnosis"]),
        source=SOURCE,
        patient_id=str(row["patient_id"]),
        lesion_id=str(row["lesion_id"]),
        site=str(row["site"]),
        sex=str(row["sex"]),
        age=float(str(row["age"])),
        skin_tone=tone_name(float(str(row["skin_tone"]))),
        image_type="dermoscopic",
        licence=LICENCE,
        lesion_mask=mask,
    )
