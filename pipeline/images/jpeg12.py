"""JPEG of 12 bits, through GDCM: pydicom hands such a file to no decoder but libjpeg, whose licence is the GPL.

GDCM decodes it (compared with libjpeg on a photograph: the same to half a grey level of 256), so it is asked directly.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import JPEGExtended12Bit

from concepts.errors import ImageError

SIGNED_OR_COLOUR = "12-bit JPEG that is not unsigned grey; export the image uncompressed"


def is_jpeg12(dataset: Dataset) -> bool:
    """Tell whether the pixels are JPEG of more than 8 bits."""
    return bool(dataset.file_meta.TransferSyntaxUID == JPEGExtended12Bit and dataset.BitsStored > 8)


def decode_jpeg12(dataset: Dataset) -> npt.NDArray[Any]:
    """Decode the one frame of a data set.

    Returns:
        uint16, height x width.

    Raises:
        ImportError: If the extra ``dicom``, which brings GDCM, is not installed.
        ImageError: If the pixels are not unsigned grey, or the frame is damaged.
    """
    import gdcm

    if dataset.SamplesPerPixel != 1 or dataset.PixelRepresentation or dataset.BitsAllocated != 16:
        raise ImageError(SIGNED_OR_COLOUR)
    rows, columns, bits = int(dataset.Rows), int(dataset.Columns), int(dataset.BitsStored)
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(_element(gdcm, get_frame(dataset.PixelData, 0, number_of_frames=1)))
    kind = gdcm.PhotometricInterpretation.GetPIType(str(dataset.PhotometricInterpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(kind))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(JPEGExtended12Bit))))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, 0))
    # GDCM's Python gives bytes as text.
    content = image.GetBuffer().encode("utf-8", "surrogateescape")
    if len(content) != 2 * rows * columns:
        raise ImageError("the JPEG is damaged or of another size than its header; fetch the file again")
    return np.frombuffer(content, dtype="<u2").reshape(rows, columns)


def _element(gdcm: Any, frame: bytes) -> Any:  # noqa: ANN401 - GDCM ships no types
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(frame)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    return element
