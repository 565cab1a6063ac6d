"""Pictures of a run: written in one step, and made part of the page that shows them."""

from base64 import b64encode
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from concepts.errors import RunError

JPEG_QUALITY = 88
MAGIC = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}


def write_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write H x W x 3 pixels as JPEG, in one step; makes the folder where there is none."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    Image.fromarray(pixels).save(temporary, format="JPEG", quality=JPEG_QUALITY)
    temporary.replace(path)


def data_uri(folder: Path, name: str) -> str:
    """Turn a picture of a run folder into a ``data:`` address.

    Args:
        folder: The run folder.
        name: The picture's file, relative to the folder; JPEG or PNG.

    Raises:
        RunError: If the file is missing, outside the folder, or neither JPEG nor PNG.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise RunError(f"{folder}: picture '{name}' lies outside the run folder; explain the run again")
    if not path.is_file():
        raise RunError(f"{folder}: picture '{name}' is missing; explain the run again")
    content = path.read_bytes()
    kind = next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), None)
    if kind is None:
        raise RunError(f"{path}: neither JPEG nor PNG; explain the run again")
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"
