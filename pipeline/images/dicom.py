"""Pixels of a DICOM file as a picture: 8 bits, grey or RGB.

pydicom decodes and converts YBR to RGB; palettes, windows and bit depths are applied here. Grey values pass through the
modality transform, then through the file's first window or VOI table where it has one, else through the full range that
its stored bits allow. One frame only: a dermoscopic image is one picture.

Source: DICOM PS3.3, C.7.6.3 (image pixel), C.7.9 (palettes), C.11.1 (modality LUT), C.11.2 (VOI LUT, windows).
"""

import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, get_decoder, pixel_array
from pydicom.uid import UID

from concepts.errors import ImageError
from pipeline.images.jpeg12 import decode_jpeg12, is_jpeg12

Values = npt.NDArray[Any]
Range = tuple[float, float]

DEFLATED = b"1.2.840.10008.1.2.1.99"
HEADER = 1 << 16
"""Bytes in which the transfer syntax stands."""
PART = 1 << 20
MOST_UNPACKED = 1 << 26
"""Of a deflated file: 64 MiB, a picture of 22 million pixels."""

_LUT_COLOURS = ("Red", "Green", "Blue")


def check_pixels(path: Path, size: tuple[int, int], *, max_pixels: int) -> None:
    """Refuse an image whose width times height is above the limit.

    Raises:
        ImageError: If it is.
    """
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: {width} x {height} = {width * height:,} pixels, more than the limit of {max_pixels:,}; "
            "reduce it or raise data.max_pixels"
        )


def dicom_size(path: Path) -> tuple[int, int]:
    """Read width and height in pixels from the header.

    Raises:
        ImageError: If the file is not DICOM or holds no image.
    """
    return _size(path, _read(path, stop_before_pixels=True))


def read_dicom(path: Path, *, max_pixels: int) -> tuple[npt.NDArray[np.uint8], bytes | None]:
    """Read the picture in a DICOM file.

    Args:
        path: A DICOM file with one frame: RGB, YBR, PALETTE COLOR, MONOCHROME1 or MONOCHROME2; uncompressed, deflated,
            RLE, or any compression for which a decoder is installed (the extra ``dicom`` brings all common ones).
        max_pixels: Files with more pixels are refused before they are decoded.

    Returns:
        uint8, height x width (grey, black is 0) or height x width x 3 (RGB), and the ICC profile, if there is one.

    Raises:
        ImageError: If the file is not DICOM, has no pixels or several frames, is above the limit, or needs a decoder
            that is not installed.
    """
    dataset = _read(path)
    check_pixels(path, _size(path, dataset), max_pixels=max_pixels)
    if "PixelData" not in dataset:
        raise ImageError(f"{path}: a DICOM file without pixel data; expected an image")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ImageError(f"{path}: {frames} frames; expected a single picture: save the right one as a separate file")
    _check_decoder(path, dataset.file_meta.TransferSyntaxUID)
    return _picture(path, dataset, _values(dataset)), _profile(dataset)


def _read(path: Path, *, stop_before_pixels: bool = False) -> Dataset:
    _refuse_bomb(path)
    try:
        dataset = dcmread(path, stop_before_pixels=stop_before_pixels, force=True)
    except InvalidDicomError as error:
        raise ImageError(f"{path}: not an image: expected JPEG, PNG, TIFF, BMP or DICOM") from error
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2")
    return dataset


def _refuse_bomb(path: Path) -> None:
    """Refuse a deflated file that unpacks to more than a picture: pydicom unpacks all of it at once."""
    with path.open("rb") as file:
        if DEFLATED not in file.read(HEADER):
            return
        file.seek(0)
        read_preamble(file, force=True)
        _read_file_meta_info(file)
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        packed, unpacked = file.read(PART), 0
        while packed and not inflater.eof:
            unpacked += len(inflater.decompress(packed, PART))
            if unpacked > MOST_UNPACKED:
                raise ImageError(f"{path}: unpacks to more than {MOST_UNPACKED:,} bytes; export it uncompressed")
            packed = inflater.unconsumed_tail or file.read(PART)


def _size(path: Path, dataset: Dataset) -> tuple[int, int]:
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise ImageError(f"{path}: a DICOM file without an image (no Rows and Columns); give one that holds a picture")
    return int(dataset.Columns), int(dataset.Rows)


def _check_decoder(path: Path, syntax: UID) -> None:
    if not syntax.is_encapsulated:
        return
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError as error:
        raise ImageError(
            f"{path}: compressed as {syntax.name}, which is not a still image; export it as one"
        ) from error
    if not available:
        raise ImageError(f"{path}: no decoder for {syntax.name}; install the extra: pip install 'dermaxis[dicom]'")


def _values(dataset: Dataset) -> Values:
    if is_jpeg12(dataset):
        with suppress(ImportError):
            return decode_jpeg12(dataset)
    return pixel_array(dataset)


def _profile(dataset: Dataset) -> bytes | None:
    optics = dataset.get("OpticalPathSequence") or [Dataset()]
    return dataset.get("ICCProfile") or optics[0].get("ICCProfile")


def _picture(path: Path, dataset: Dataset, values: Values) -> npt.NDArray[np.uint8]:
    photometric = str(dataset.PhotometricInterpretation).strip()
    if photometric == "PALETTE COLOR":
        return _apply_palette(dataset, values)
    if photometric in ("MONOCHROME1", "MONOCHROME2"):
        grey = _grey(dataset, values)
        return 255 - grey if photometric == "MONOCHROME1" else grey
    if values.ndim == 3 and values.shape[-1] == 3:
        return _to_bytes(values, (0, 2 ** int(dataset.BitsStored) - 1))
    raise ImageError(f"{path}: pixels of kind {photometric}; expected RGB, YBR, PALETTE COLOR or MONOCHROME")


def _to_bytes(values: Values, limits: Range) -> npt.NDArray[np.uint8]:
    low, high = limits
    if values.dtype == np.uint8 and (low, high) == (0, 255):
        return values
    scaled = (values.astype(np.float64) - low) * (255 / max(high - low, 1e-9))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def _apply_palette(dataset: Dataset, indices: Values) -> npt.NDArray[np.uint8]:
    entries, first, depth = (int(number) for number in dataset.RedPaletteColorLookupTableDescriptor)
    if "RedPaletteColorLookupTableData" not in dataset:
        return _to_bytes(apply_color_lut(indices, dataset)[..., :3], (0, 2**depth - 1))
    entries = entries or 2**16
    table = np.stack([_table(dataset, colour, entries) for colour in _LUT_COLOURS], axis=-1)
    # pydicom looks up in the entries' own type, which wraps indices above 255 where entries have 8 bits.
    rows = np.clip(indices.astype(np.int64) - first, 0, entries - 1)
    return _to_bytes(table, (0, 2**depth - 1))[rows]


def _table(dataset: Dataset, colour: str, entries: int) -> Values:
    data: bytes = dataset[f"{colour}PaletteColorLookupTableData"].value
    order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
    kind = np.dtype(np.uint8) if len(data) < 2 * entries else np.dtype(f"{order}u2")
    return np.frombuffer(data, dtype=kind, count=entries)


def _grey(dataset: Dataset, values: Values) -> npt.NDArray[np.uint8]:
    scaled = apply_modality_lut(values, dataset)
    if dataset.get("VOILUTSequence"):
        depth = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
        return _to_bytes(apply_voi(scaled, dataset), (0, 2**depth - 1))
    if dataset.get("WindowWidth") is not None and dataset.get("WindowCenter") is not None:
        return _to_bytes(_window(dataset, scaled.astype(np.float64)), (0, 1))
    return _to_bytes(scaled, _range(dataset))


def _window(dataset: Dataset, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Map the first window (PS3.3 C.11.2.1.2 and C.11.2.1.3) onto 0 to 1."""
    centre, width = _first(dataset.WindowCenter), _first(dataset.WindowWidth)
    function = dataset.get("VOILUTFunction") or "LINEAR"
    if function == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (values - centre) / width)))
    if function == "LINEAR_EXACT":
        return (values - centre) / width + 0.5
    return (values - (centre - 0.5)) / max(width - 1, 1e-9) + 0.5


def _first(value: Any) -> float:  # noqa: ANN401 - one number or several, as the file has it
    return float(value if isinstance(value, int | float | str) else value[0])


def _range(dataset: Dataset) -> Range:
    """Return the range that the stored bits can express, after the modality transform."""
    if dataset.get("ModalityLUTSequence"):
        return 0, 2 ** int(dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1
    bits, signed = int(dataset.BitsStored), int(dataset.PixelRepresentation)
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1], dtype=np.float64)
    ends = ends * float(dataset.get("RescaleSlope") or 1) + float(dataset.get("RescaleIntercept") or 0)
    return float(ends.min()), float(ends.max())
