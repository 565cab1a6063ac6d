"""Pictures of a run: how they are written into its folder, and how a page takes them in."""

from base64 import b64encode
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from concepts.errors import RunError
from concepts.files import replacing
from pipeline.run.folder import RunFolder

JPEG_QUALITY = 88
"""Of Pillow's 0 to 95; a lesion of 288 pixels takes about 15 kB."""
MAGIC = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}
"""The first bytes of the formats that a page may hold, and their media types."""


def save_picture(run: RunFolder, name: str, picture: NDArray[np.uint8]) -> str:
    """Write a picture into the run folder as JPEG, in one step; its folder is made where it is missing.

    Args:
        run: The run folder.
        name: The picture's file, relative to the folder.
        picture: RGB, H x W x 3, 0 to 255.

    Returns:
        The name.
    """
    path = run.file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Image.fromarray(picture).save(temporary, format="JPEG", quality=JPEG_QUALITY)
    return name


def data_uri(folder: Path, name: str) -> str:
    """Read a picture of a run folder as a ``data:`` address.

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
    media_type = next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), None)
    if media_type is None:
        raise RunError(f"{path}: neither JPEG nor PNG; explain the run again")
    return f"data:{media_type};base64,{b64encode(content).decode('ascii')}"
