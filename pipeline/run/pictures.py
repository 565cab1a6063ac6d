"""Pictures of a run, made part of the page that shows them."""

from base64 import b64encode
from pathlib import Path

from concepts.errors import RunError

MAGIC = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}


def data_uri(folder: Path, name: str) -> str:
    """A picture of a run folder as a ``data:`` address.

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
