"""Where the cases of a run lie, and how they are read; imports no torch, so that screens may read them."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from concepts.csv_cells import csv_text
from concepts.errors import RunError
from concepts.reading import check_json, read_bytes
from pipeline.results.case import CaseContent
from pipeline.run.folder import RunFolder
from pipeline.run.pictures import save_picture

FOLDER = "cases"
INDEX = "cases.csv"


def case_file(image_id: str) -> str:
    """Return the name of a case's file in the run folder; what could be a path in an identifier is quoted."""
    return f"{FOLDER}/{quote(image_id, safe='')}.json"


def picture_file(image_id: str) -> str:
    """Return the name of the picture of an image, as the network sees it."""
    return f"{FOLDER}/{quote(image_id, safe='')}.jpg"


def save_missing_pictures(
    run: RunFolder, image_ids: Iterable[str], picture: Callable[[str], NDArray[np.uint8]]
) -> None:
    """Write the pictures of images that the run folder does not have yet."""
    for image_id in image_ids:
        if not run.has(picture_file(image_id)):
            save_picture(run, picture_file(image_id), picture(image_id))


def write_case(run: RunFolder, case: CaseContent) -> Path:
    """Write one case into the run folder."""
    run.file(FOLDER).mkdir(exist_ok=True)
    run.write_text(case_file(case.image_id), case.model_dump_json(indent=1))
    return run.file(case_file(case.image_id))


def read_case(run: RunFolder, image_id: str) -> CaseContent:
    """Read one case.

    Raises:
        RunError: If the run has no such case, or it is of another version.
    """
    path = run.file(case_file(image_id))
    try:
        content = read_bytes(path)
        check_json(content)
        return CaseContent.model_validate_json(content)
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such case; 'dermaxis explain {run.path} --image {image_id}' makes it") from error
    except ValueError as error:
        raise RunError(f"{path}: not a case of this version; 'dermaxis explain {run.path}' makes it anew") from error


def write_index(run: RunFolder, rows: Sequence[dict[str, Any]]) -> None:
    """Write the list of cases, one row each; all rows have the same keys."""
    columns = list(rows[0]) if rows else ["image_id"]
    run.write_text(INDEX, csv_text(columns, ([row[column] for column in columns] for row in rows)))


def stored_cases(run: RunFolder) -> Iterable[str]:
    """Return the names of the files of all cases of a run, in order."""
    # A hidden file is one that is being written.
    return sorted(path.name for path in run.file(FOLDER).glob("*.json") if not path.name.startswith("."))
