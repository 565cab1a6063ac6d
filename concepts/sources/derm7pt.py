"""The Derm7pt table: seven-point checklist of 1,011 cases, as judgements.

Each column holds one value. Regular and irregular exclude each other; vessels do not, so a kind of vessel that is not
the one named is not known to be absent.

Source: Kawahara, Daneshvar, Argenziano and Hamarneh, IEEE J Biomed Health Inform 2019, 23:538.
"""

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

from concepts.errors import DataError
from concepts.judgement import Judgement, Verdict
from concepts.sources.csv_table import Row, read_table
from concepts.sources.records import read_rows

READER = "derm7pt"
IMAGE_COLUMN = "derm"
Meanings = Mapping[str, Verdict]


def _meanings(present: str = "", absent: str = "") -> Meanings:
    return {
        **dict.fromkeys(present.split(), Verdict.PRESENT),
        **dict.fromkeys(absent.split(), Verdict.ABSENT),
    }


VESSELS = (
    "vascular_structures arborizing_vessels comma_vessels hairpin_vessels vessels_within_regression wreath_vessels "
    "dotted_vessels linear_irregular_vessels"
)
COLUMNS: Mapping[str, Mapping[str, Meanings]] = {
    "pigment_network": {
        "absent": _meanings(absent="pigment_network typical_network atypical_network"),
        "typical": _meanings("pigment_network typical_network", "atypical_network"),
        "atypical": _meanings("pigment_network atypical_network", "typical_network"),
    },
    "streaks": {
        "absent": _meanings(absent="streaks regular_streaks irregular_streaks"),
        "regular": _meanings("streaks regular_streaks", "irregular_streaks"),
        "irregular": _meanings("streaks irregular_streaks", "regular_streaks"),
    },
    "pigmentation": {
        "absent": _meanings(absent="pigmentation regular_pigmentation"),
        "diffuse regular": _meanings("regular_pigmentation", "pigmentation"),
        "localized regular": _meanings("regular_pigmentation", "pigmentation"),
        "diffuse irregular": _meanings("pigmentation", "regular_pigmentation"),
        "localized irregular": _meanings("pigmentation", "regular_pigmentation"),
    },
    "regression_structures": {
        "absent": _meanings(absent="regression peppering scar_like_depigmentation"),
        "blue areas": _meanings("regression peppering", "scar_like_depigmentation"),
        "white areas": _meanings("regression scar_like_depigmentation", "peppering"),
        "combinations": _meanings("regression peppering scar_like_depigmentation"),
    },
    "dots_and_globules": {
        "absent": _meanings(absent="dots_and_globules regular_dots_and_globules irregular_dots_and_globules"),
        "regular": _meanings("dots_and_globules regular_dots_and_globules", "irregular_dots_and_globules"),
        "irregular": _meanings("dots_and_globules irregular_dots_and_globules", "regular_dots_and_globules"),
    },
    "blue_whitish_veil": {"absent": _meanings(absent="blue_whitish_veil"), "present": _meanings("blue_whitish_veil")},
    "vascular_structures": {
        "absent": _meanings(absent=VESSELS),
        "arborizing": _meanings("vascular_structures arborizing_vessels"),
        "comma": _meanings("vascular_structures comma_vessels"),
        "hairpin": _meanings("vascular_structures hairpin_vessels"),
        "within regression": _meanings("vascular_structures vessels_within_regression"),
        "wreath": _meanings("vascular_structures wreath_vessels"),
        "dotted": _meanings("vascular_structures dotted_vessels"),
        "linear irregular": _meanings("vascular_structures linear_irregular_vessels"),
    },
}


def derm7pt_judgements(path: Path) -> tuple[Judgement, ...]:
    """Read the checklist of every case, about its dermoscopic image.

    Args:
        path: ``meta/meta.csv`` of the data set.

    Returns:
        By case and concept, of reader ``derm7pt``; the image is the file name in column ``derm`` without its ending.
        One source speaks with one voice: a set made of it needs a rule of consensus with one reader.

    Raises:
        DataError: If the file cannot be read, a column is missing, or a value is unknown; ``rows`` lists all such rows.
    """
    rows = read_table(path)
    missing = [column for column in (IMAGE_COLUMN, *COLUMNS) if rows and column not in rows[0]]
    if missing:
        raise DataError(f"{path}: row 1: no column {', '.join(missing)}; give meta.csv of Derm7pt")
    return read_rows(path, rows, _of_row, first=2)


def _of_row(row: Row) -> list[Judgement]:
    image_id = _image_id(row)
    findings = {concept: verdict for column in COLUMNS for concept, verdict in _verdicts(column, row[column]).items()}
    return [
        Judgement(reader=READER, image_id=image_id, concept=concept, verdict=verdict, blinded=False)
        for concept, verdict in findings.items()
    ]


def _verdicts(column: str, value: str) -> Meanings:
    values = COLUMNS[column]
    verdicts = values.get(" ".join(value.casefold().split()))
    if verdicts is None:
        raise DataError(f"{column}: {value!r:.80}; allowed are {', '.join(values)}")
    return verdicts


def _image_id(row: Row) -> str:
    stem = PureWindowsPath(row[IMAGE_COLUMN].strip()).stem
    if not stem:
        raise DataError(f"{IMAGE_COLUMN}: no file name of the dermoscopic image")
    return stem
