"""The formats that are read, told by a file's first bytes; its suffix counts only where a folder is searched."""

from collections.abc import Mapping
from pathlib import Path

from PIL.BmpImagePlugin import BmpImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"}) | DICOM_SUFFIXES
"""In lower case."""
SIGNATURES: Mapping[bytes, type[ImageFile]] = {
    b"\xff\xd8\xff": JpegImageFile,
    b"\x89PNG\r\n\x1a\n": PngImageFile,
    b"II*\x00": TiffImageFile,
    b"MM\x00*": TiffImageFile,
    b"II+\x00": TiffImageFile,
    b"MM\x00+": TiffImageFile,
    b"BM": BmpImageFile,
}
"""What files that Pillow decodes begin with; the last two of TIFF are BigTIFF's."""
PREAMBLE = 128
"""Bytes before ``DICM`` (DICOM PS3.10, section 7.1)."""


def pillow_format(head: bytes) -> type[ImageFile] | None:
    """Return Pillow's class for a file that begins with these bytes; None where it is of no format that is read.

    Args:
        head: The first 8 bytes or more.
    """
    return next((kind for signature, kind in SIGNATURES.items() if head.startswith(signature)), None)


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM.

    Archives export DICOM without the preamble: such a file counts by its suffix, unless it begins as a picture does.
    """
    with path.open("rb") as file:
        head = file.read(PREAMBLE + 4)
    return head[PREAMBLE:] == b"DICM" or (path.suffix.lower() in DICOM_SUFFIXES and pillow_format(head) is None)
