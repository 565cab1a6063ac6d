"""Images for the browser: signed addresses, and the files behind them, read one at a time.

An address can be made by this server only and opens one image; nobody learns of other files from it. What browsers
show by themselves is sent as it lies on the disk; other formats, and thumbnails, are converted.
"""

import hmac
import secrets
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image, ImageOps

from concepts.errors import ImageError

ROUTE = "/lesion-image"
THUMBNAIL_SIDE = 320
SENT_AS_IS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_SECRET = secrets.token_bytes(32)


class Place(StrEnum):
    """Which folder an image lies in."""

    IMAGES = "images"
    """The image folder."""
    RUNS = "runs"
    """The folder of runs, for pictures of cases."""


def image_url(path: str, *, thumbnail: bool = False, place: Place = Place.IMAGES) -> str:
    """Address of an image, or of its thumbnail, by its path relative to its folder."""
    size = "thumbnail" if thumbnail else "full"
    signature = _signature(path, size, place)
    return f"{ROUTE}?{urlencode({'place': place, 'path': path, 'size': size, 'signature': signature})}"


def is_signed(path: str, size: str, signature: str, *, place: str = Place.IMAGES) -> bool:
    """Whether this server made the address."""
    return hmac.compare_digest(_signature(path, size, place).encode(), signature.encode())


def image_content(folder: Path, path: str, *, thumbnail: bool) -> tuple[bytes, str]:
    """The bytes of an image and their media type.

    Raises:
        ImageError: If there is no such image inside the folder, or it cannot be read.
    """
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise ImageError(f"{path}: there is no such image in the image folder; check --images")
    if thumbnail:
        return _thumbnail(file, file.stat().st_mtime_ns), "image/jpeg"
    if file.suffix.lower() in SENT_AS_IS:
        return file.read_bytes(), SENT_AS_IS[file.suffix.lower()]
    return _converted(file, side=None, format="PNG"), "image/png"


@lru_cache(maxsize=512)
def _thumbnail(file: Path, _changed: int) -> bytes:
    return _converted(file, side=THUMBNAIL_SIDE, format="JPEG")


def _converted(file: Path, *, side: int | None, format: str) -> bytes:
    # Importing the reader costs something; most folders hold only what browsers show by themselves.
    from pipeline.images.rgb import to_rgb

    try:
        with Image.open(file) as image:
            if side is not None:
                image.draft("RGB", (side, side))
            image.load()
            picture = ImageOps.exif_transpose(to_rgb(file, image))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ImageError(f"{file.name}: the image cannot be read: {' '.join(str(error).split()):.120}") from error
    if side is not None:
        picture.thumbnail((side, side))
    buffer = BytesIO()
    picture.save(buffer, format=format, quality=85)
    return buffer.getvalue()


def _signature(path: str, size: str, place: str) -> str:
    return hmac.new(_SECRET, f"{place}\0{size}\0{path}".encode(), sha256).hexdigest()
