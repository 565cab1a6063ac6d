"""A folder of images as the store wants to know it: names, digests and sizes, and what a table beside them says."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from concepts.csv_cells import csv_rows
from concepts.errors import DataError
from concepts.image_record import ImageRecord
from concepts.reading import MOST_TABLE_MEMORY, table_text

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp"})
TABLE = "metadata.csv"
COLUMNS = {
    "id": ("image_id", "isic_id", "image"),
    "diagnosis": ("diagnosis", "dx"),
    "site": ("site", "anatom_site_general", "localization"),
    "sex": ("sex",),
    "age": ("age", "age_approx"),
    "lesion": ("lesion_id",),
    "patient": ("patient_id",),
}
"""By field, the columns of ``metadata.csv`` in which it may stand."""
ROTATED = frozenset({5, 6, 7, 8})
ORIENTATION = 0x0112

Row = Mapping[str, str]


def scan_images(root: Path, *, inside: str = "", source: str | None = None) -> list[ImageRecord]:
    """All images below a folder, by path; each is called by its file's name without the ending.

    A ``metadata.csv`` in the root gives what is known of each image, by the column ``image_id``, ``isic_id`` or
    ``image``.

    Args:
        root: The folder to which the store's paths are relative.
        inside: Only below this folder, relative to the root.
        source: Data set or department.

    Raises:
        DataError: If the folder leaves the root or holds no image; or if images cannot be read or two have one name;
            ``rows`` lists all.
    """
    folder = (root / inside).resolve()
    if not folder.is_relative_to(root.resolve()) or not folder.is_dir():
        raise DataError(f"{inside!r:.80} is not a folder inside the image folder {root}")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise DataError(f"{folder}: holds no image; readable endings: {', '.join(sorted(SUFFIXES))}")
    table = _table(root)
    faults = list(_repeated(paths))
    records = []
    for path in paths:
        try:
            records.append(_record(path, root.resolve(), table.get(path.stem, {}), source))
        except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
            faults.append(f"{path}: cannot be read: {' '.join(str(error).split()):.100}")
    if faults:
        raise DataError(f"{len(faults)} of {len(paths)} images cannot be added, the first: {faults[0]}", rows=faults)
    return records


def _record(path: Path, root: Path, row: Row, source: str | None) -> ImageRecord:
    with Image.open(path) as image:
        width, height = image.size
        if image.getexif().get(ORIENTATION) in ROTATED:
            width, height = height, width
    cells = {field: next((row[name] for name in names if row.get(name)), None) for field, names in COLUMNS.items()}
    age = cells.pop("age")
    cells.pop("id")
    return ImageRecord(
        id=path.stem,
        digest=sha256(path.read_bytes()).hexdigest(),
        path=path.resolve().relative_to(root).as_posix(),
        width=width,
        height=height,
        source=source,
        age=float(age) if age else None,
        **cells,
    )


def _table(root: Path) -> dict[str, Row]:
    path = root / TABLE
    if not path.is_file():
        return {}
    try:
        rows = csv_rows(table_text(path, most_memory=MOST_TABLE_MEMORY))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: the table cannot be read: {' '.join(str(error).split()):.100}") from error
    return {row[name]: row for row in rows for name in COLUMNS["id"] if row.get(name)}


def _repeated(paths: list[Path]) -> Iterator[str]:
    first_paths: dict[str, Path] = {}
    for path in paths:
        if path.stem in first_paths:
            yield f"{path}: has the name of {first_paths[path.stem]}; give each image its own name"
        first_paths.setdefault(path.stem, path)
