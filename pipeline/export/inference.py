"""Parts that a bundle's inference configuration names: the list of images, their reader and the table of results."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data.image_reader import ImageReader
from monai.utils import ImageMetaKey, MetaKeys
from torch import Tensor

from concepts.csv_cells import csv_text
from concepts.errors import DataError, ImageError
from concepts.files import write_atomically
from pipeline.choices import Fit
from pipeline.data.decoded import decode_square
from pipeline.data.geometry import crop_image
from pipeline.images.formats import SUFFIXES
from pipeline.images.reader import MAX_PIXELS, Pixels


class NetworkViewReader(ImageReader):
    """A reader for MONAI's ``LoadImage`` that returns the network's view of an image in evaluation.

    The file is read as by `pipeline.images.reader.DermoscopyReader`, made square, resized to size + margin pixels and
    cropped at the centre, by the functions that the run used: other transforms would change the pixels, and with them
    the probabilities.

    Args:
        size: Side of the network's input in pixels.
        margin: Pixels that are cropped away around it.
        fit: How an oblong image becomes a square.
        max_pixels: Files with more pixels are refused.
    """

    def __init__(self, *, size: int, margin: int, fit: Fit | str, max_pixels: int = MAX_PIXELS) -> None:
        super().__init__()
        self.size = size
        self.margin = margin
        self.fit = Fit(fit)
        self.max_pixels = max_pixels

    def verify_suffix(self, filename: Any) -> bool:  # noqa: ANN401 - MONAI's signature
        """Accept any suffix: formats are told by content."""
        return True

    def read(self, data: Any, **kwargs: Any) -> Path:  # noqa: ANN401 - MONAI's signature
        """Return the file to decode, without decoding it: MONAI answers an error here with other readers.

        Raises:
            ImageError: If several files are given for one image.
        """
        names = [data] if isinstance(data, str | Path) else list(data)
        if len(names) != 1:
            raise ImageError(f"{names}: {len(names)} files for one image; give one file")
        return Path(names[0])

    def get_data(self, img: Path) -> tuple[Pixels, dict[str, Any]]:
        """Decode the file.

        Returns:
            uint8, size x size x 3, RGB, and MONAI's metadata.

        Raises:
            ImageError: If the file cannot be read.
        """
        square = decode_square(img, size=self.size + self.margin, fit=self.fit, max_pixels=self.max_pixels)
        offset = self.margin // 2
        pixels = np.ascontiguousarray(crop_image(square, offset=(offset, offset), size=self.size))
        return pixels, {MetaKeys.ORIGINAL_CHANNEL_DIM: -1, MetaKeys.SPATIAL_SHAPE: np.asarray(pixels.shape[:2])}


def list_images(folder: Path | str) -> list[dict[str, str]]:
    """List the image files of a folder, by name, as items for a MONAI data set.

    Raises:
        DataError: If there is no such folder, or no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give a folder of images: --dataset_dir FOLDER")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(f"{folder}: no images; expected files with the suffix {', '.join(sorted(SUFFIXES))}")
    return [{"image": str(path)} for path in files]


def image_metadata(batch: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the metadata of a decollated batch, in which MONAI's ``ClassificationSaver`` looks for file names."""
    return [dict(item["image"].meta) for item in batch]


class PredictionTable:
    """A saver for MONAI's ``ClassificationSaver``: a CSV with a header, one row per image, written in one step.

    Args:
        path: The file; its folder is made where it is missing.
        columns: What each number of a prediction is.
    """

    def __init__(self, path: Path | str, columns: Sequence[str]) -> None:
        self.path = Path(path)
        self.columns = tuple(columns)
        self.rows: list[list[str | float]] = []

    def save_batch(self, batch_data: Tensor, meta_data: Mapping[str, Sequence[str]]) -> None:
        """Add predictions (N x columns) and the names of their image files.

        Raises:
            DataError: If there are more or fewer numbers than columns.
        """
        if batch_data.shape[1] != len(self.columns):
            raise DataError(f"{self.path}: {batch_data.shape[1]} numbers per image for {len(self.columns)} columns")
        for name, values in zip(meta_data[ImageMetaKey.FILENAME_OR_OBJ], batch_data.tolist(), strict=True):
            self.rows.append([Path(name).name, *(round(value, 6) for value in values)])

    def finalize(self) -> None:
        """Write the table."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, csv_text(["image", *self.columns], self.rows))
        self.rows = []
