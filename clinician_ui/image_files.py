"""Images for the browser: signed addresses, and the files behind them, read one at a time.

Only this server can make an address. An address opens one image and tells nothing of other files. Formats that browsers
show are sent as they lie on the disk; other formats, and thumbnails, are converted.
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
from concepts.reading import check_pixels

ROUTE = "/lesion-image"
THUMBNAIL_SIDE = 320
SENT_AS_IS = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp"}
_SECRET = secrets.token_bytes(32)


class ImageRoot(StrEnum):
    """The folder to which an image's path is relative."""

    IMAGES = "images"
    """The image folder."""
    RUNS = "runs"
    """The folder of runs, for pictures of cases."""


def image_url(path: str, *, thumbnail: bool = False, root: ImageRoot = ImageRoot.IMAGES) -> str:
    """Return the address of an image, or of its thumbnail, by the path relative to its root."""
    size = "thumbnail" if thumbnail else "full"
    signature = _signature(path, size, root)
    return f"{ROUTE}?{urlencode({'root': root, 'path': path, 'size': size, 'signature': signature})}"


def is_signed(path: str, size: str, signature: str, *, root: str = ImageRoot.IMAGES) -> bool:
    """Tell whether this server made the address."""
    return hmac.compare_digest(_signature(path, size, root).encode(), signature.encode())


def image_content(folder: Path, path: str, *, thumbnail: bool) -> tuple[bytes, str]:
    """Return the bytes of an image and their media type.

    Raises:
        ImageError: If the folder has no such image, or the image cannot be read.
    """
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise ImageError(f"{path}: no such image in the image folder; check --images")
    if thumbnail:
        return _thumbnail(file, file.stat().st_mtime_ns), "image/jpeg"
    if file.suffix.lower() in SENT_AS_IS:
        return file.read_bytes(), SENT_AS_IS[file.suffix.lower()]
    return _converted(file, side=None, format="PNG"), "image/png"


@lru_cache(maxsize=512)
def _thumbnail(file: Path, _changed: int) -> bytes:
    return _converted(file, side=THUMBNAIL_SIDE, format="JPEG")


def _converted(file: Path, *, side: int | None, format: str) -> bytes:
    # Importing the reader takes time, and most folders hold only formats that browsers show.
    from pipeline.images.rgb import to_rgb

    try:
        with Image.open(file) as image:
            check_pixels(image.size)
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


def _signature(path: str, size: str, root: str) -> str:
    return hmac.new(_SECRET, f"{root}\0{size}\0{path}".encode(), sha256).hexdigest()
