import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageCms
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space, get_decoder
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    RLELossless,
    VLPhotographicImageStorage,
    generate_uid,
)

from concepts.errors import ImageError
from pipeline.images.reader import image_size, open_rgb, read_image, read_mask


def smooth(height=48, width=64):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 5, columns * 3, np.full_like(rows, 90)], axis=-1).astype(np.uint8)


def dicom(pixels, photometric, *, syntax=ExplicitVRLittleEndian, **attributes):
    """A data set of one frame from height x width (x 3) values; attributes override what follows from them."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.SOPClassUID = VLPhotographicImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    dataset.PixelData = pixels.tobytes()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset["PixelData"].VR = "OB" if dataset.BitsAllocated <= 8 else "OW"
    return dataset


def write(path, dataset):
    dataset.save_as(path, enforce_file_format=True)
    return path


def compressed(path, pixels, photometric, syntax, **options):
    """A data set whose one frame Pillow encoded."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, **options)
    dataset = dicom(pixels, photometric, syntax=syntax)
    dataset.PixelData = encapsulate([stream.getvalue()])
    dataset["PixelData"].is_undefined_length = True
    return write(path, dataset)


def palette(table, *, first=0, depth=8, kind=np.uint8):
    """Attributes of a palette from entries x 3 colours."""
    attributes = {}
    for colour, column in zip(("Red", "Green", "Blue"), np.asarray(table).T, strict=True):
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = [len(column), first, depth]
        attributes[f"{colour}PaletteColorLookupTableData"] = column.astype(kind).tobytes()
    return attributes


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_rgb_is_what_was_written(tmp_path, syntax):
    dataset = dicom(smooth(), "RGB", syntax=syntax)
    dataset.save_as(tmp_path / "image", enforce_file_format=True)
    image = read_image(tmp_path / "image")
    np.testing.assert_array_equal(image, smooth())
    assert image.flags.c_contiguous
    assert image_size(tmp_path / "image") == (64, 48)


def test_planes_after_one_another(tmp_path):
    planes = dicom(smooth(), "RGB", PlanarConfiguration=1, PixelData=smooth().transpose(2, 0, 1).tobytes())
    np.testing.assert_array_equal(read_image(write(tmp_path / "image.dcm", planes)), smooth())


def test_longest_side(tmp_path):
    path = write(tmp_path / "image.dcm", dicom(smooth(), "RGB"))
    assert read_image(path, longest_side=32).shape == (24, 32, 3)
    assert open_rgb(path, at_least=(8, 8)).size == (64, 48)


def test_ybr_full(tmp_path):
    ybr = convert_color_space(smooth(), "RGB", "YBR_FULL")
    path = write(tmp_path / "image.dcm", dicom(ybr, "YBR_FULL"))
    assert np.abs(read_image(path).astype(int) - smooth()).max() <= 3


def test_ybr_full_422(tmp_path):
    ybr = convert_color_space(np.repeat(smooth()[:, ::2], 2, axis=1), "RGB", "YBR_FULL")
    packed = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
    path = write(tmp_path / "image.dcm", dicom(ybr, "YBR_FULL_422", PixelData=packed.tobytes()))
    assert np.abs(read_image(path).astype(int) - np.repeat(smooth()[:, ::2], 2, axis=1)).max() <= 3


def test_run_lengths(tmp_path):
    dataset = dicom(smooth(), "RGB")
    dataset.compress(RLELossless, generate_instance_uid=False)
    np.testing.assert_array_equal(read_image(write(tmp_path / "image.dcm", dataset)), smooth())


def test_jpeg(tmp_path):
    path = compressed(
        tmp_path / "image.dcm",
        smooth(),
        "YBR_FULL_422",
        JPEGBaseline8Bit,
        format="JPEG",
        quality=95,
        subsampling="4:2:2",
    )
    assert np.abs(read_image(path).astype(int) - smooth()).mean() < 2


RAMP = np.add.outer(np.arange(16), np.arange(16))
TWELVE_BITS = (
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggLDAsK"
    "DAkKCgr/wQALDAAQABABAREA/8QAFQABAQAAAAAAAAAAAAAAAAAADQD/xAAbEAABBAMAAAAAAAAAAAAAAAAMACk4RlVicv/aAAgBAQAAPwA7fGUR"
    "lGPrfmMrHGiRABlEZRj635jKxxooZRGUY+t+YyscaJEAGURlGPrfmMrHGi//2Q=="
)
LOSSLESS = (
    "/9j/xAAWAAEBAQAAAAAAAAAAAAAAAAADBAj/wwALCAAQABABABEA/9oACAEAAAYAAM/0UUUUUUUUUUUUUUUIiIiIiIiIiUIiIiIiIiIiUIiIiIiI"
    "iIiUIiIiIiIiIiUIiIiIiIiIiUIiIiIiIiIiUIiIiIiIiIiUIiIiIiIiIiUIiIiIiIiIiUIiIiIiIiIiUIiIiIiIiIiUIiIiIiIiIiUIiIiIiIiI"
    "iUIiIiIiIiIiUIiIiIiIiIiA/9k="
)
"""The ramp times 136 (12 bits) and times 8, encoded by imagecodecs 2026.3.6, since none of our packages writes them."""


def encapsulated(path, pixels, syntax, frame, **attributes):
    dataset = dicom(pixels, "MONOCHROME2", syntax=syntax, **attributes)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].is_undefined_length = True
    return write(path, dataset)


def test_jpeg_of_twelve_bits(tmp_path):
    pixels = (RAMP * 136).astype(np.uint16)
    frame = base64.b64decode(TWELVE_BITS)
    read = read_image(encapsulated(tmp_path / "a.dcm", pixels, JPEGExtended12Bit, frame, BitsStored=12, HighBit=11))
    assert np.abs(read[..., 0] - pixels / 4095 * 255).max() < 2


def test_damaged_jpeg_of_twelve_bits_is_refused(tmp_path):
    pixels = (RAMP * 136).astype(np.uint16)
    frame = base64.b64decode(TWELVE_BITS)
    for damaged in (b"\xff\xd8", frame[:30], frame[::-1]):
        path = encapsulated(tmp_path / "a.dcm", pixels, JPEGExtended12Bit, damaged, BitsStored=12, HighBit=11)
        with pytest.raises(ImageError, match=r"a\.dcm"):
            read_image(path)


def test_lossless_jpeg(tmp_path):
    pixels = (RAMP * 8).astype(np.uint8)
    read = read_image(encapsulated(tmp_path / "a.dcm", pixels, JPEGLosslessSV1, base64.b64decode(LOSSLESS)))
    np.testing.assert_array_equal(read[..., 0], pixels)


def test_jpeg_of_grey_values(tmp_path):
    grey = np.ascontiguousarray(smooth()[..., 0])
    path = compressed(tmp_path / "image.dcm", grey, "MONOCHROME2", JPEGBaseline8Bit, format="JPEG", quality=95)
    assert np.abs(read_image(path)[..., 2].astype(int) - grey).mean() < 2


@pytest.mark.parametrize(
    ("syntax", "photometric", "tolerance"), [(JPEG2000Lossless, "YBR_RCT", 0), (JPEG2000, "YBR_ICT", 4)]
)
def test_jpeg_2000(tmp_path, syntax, photometric, tolerance):
    options = {"irreversible": True, "quality_layers": [5]} if tolerance else {}
    path = compressed(
        tmp_path / "image.dcm", smooth(), photometric, syntax, format="JPEG2000", no_jp2=True, mct=1, **options
    )
    assert np.abs(read_image(path).astype(int) - smooth()).mean() <= tolerance


def test_sixteen_bit_colour_is_scaled(tmp_path):
    values = smooth().astype(np.uint16) * 16
    path = write(tmp_path / "image.dcm", dicom(values, "RGB", BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(read_image(path), np.rint(values * (255 / 4095)).astype(np.uint8))


def test_palette(tmp_path):
    table = np.array([[255, 0, 0], [0, 255, 0], [1, 2, 3], [9, 9, 200]])
    indices = np.array([[0, 1, 2], [3, 4, 200]], dtype=np.uint8)
    path = write(tmp_path / "image.dcm", dicom(indices, "PALETTE COLOR", **palette(table)))
    np.testing.assert_array_equal(read_image(path), table[np.minimum(indices, 3)])


def test_palette_of_sixteen_bits_with_an_offset(tmp_path):
    table = np.array([[65535, 0, 0], [0, 32896, 0], [0, 0, 257]])
    indices = np.array([[0, 10, 11, 12, 13]], dtype=np.uint8)
    attributes = palette(table, first=10, depth=16, kind=np.uint16)
    path = write(tmp_path / "image.dcm", dicom(indices, "PALETTE COLOR", **attributes))
    assert read_image(path)[0].tolist() == [[255, 0, 0], [255, 0, 0], [0, 128, 0], [0, 0, 1], [0, 0, 1]]


def test_palette_with_more_than_256_entries_of_eight_bits(tmp_path):
    table = np.stack([np.arange(512) % 256, np.arange(512) // 2, np.arange(512) // 256], axis=-1)
    indices = np.array([[0, 255, 256, 511]], dtype=np.uint16)
    path = write(tmp_path / "image.dcm", dicom(indices, "PALETTE COLOR", **palette(table)))
    np.testing.assert_array_equal(read_image(path), table[indices])


def test_segmented_palette(tmp_path):
    attributes = {}
    for colour, end in zip(("Red", "Green", "Blue"), (255, 51, 0), strict=True):
        attributes[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        data = bytes([0, 1, 0, 1, 255, end])  # one entry of 0, then a ramp of 255 entries up to ``end``
        attributes[f"Segmented{colour}PaletteColorLookupTableData"] = data
    indices = np.array([[0, 255]], dtype=np.uint8)
    path = write(tmp_path / "image.dcm", dicom(indices, "PALETTE COLOR", **attributes))
    assert read_image(path)[0].tolist() == [[0, 0, 0], [255, 51, 0]]


GREY = np.array([[0, 100, 200, 255]], dtype=np.uint8)


def test_monochrome_2_is_as_stored_and_monochrome_1_inverted(tmp_path):
    assert read_image(write(tmp_path / "a.dcm", dicom(GREY, "MONOCHROME2")))[0, :, 0].tolist() == GREY[0].tolist()
    inverted = read_image(write(tmp_path / "b.dcm", dicom(GREY, "MONOCHROME1")))[0, :, 0]
    assert inverted.tolist() == (255 - GREY[0]).tolist()


def test_bits_stored_set_the_range(tmp_path):
    values = np.array([[0, 2048, 4095]], dtype=np.uint16)
    path = write(tmp_path / "image.dcm", dicom(values, "MONOCHROME2", BitsStored=12, HighBit=11))
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]


def test_signed_values_with_rescale(tmp_path):
    values = np.array([[-32768, 0, 32767]], dtype=np.int16)
    path = write(tmp_path / "image.dcm", dicom(values, "MONOCHROME2", RescaleSlope=2, RescaleIntercept=-100))
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("function", "expected"), [("LINEAR", [0, 0, 128, 255, 255]), ("LINEAR_EXACT", [0, 0, 127, 254, 255])]
)
def test_window_is_applied_after_rescale(tmp_path, function, expected):
    values = np.array([[0, 50, 114, 177, 250]], dtype=np.uint8)
    window = {"RescaleSlope": 2, "RescaleIntercept": 0, "WindowCenter": [228, 1], "WindowWidth": [256, 1]}
    path = write(tmp_path / "image.dcm", dicom(values, "MONOCHROME2", VOILUTFunction=function, **window))
    assert np.abs(read_image(path)[0, :, 0].astype(int) - expected).max() <= 1


def test_sigmoid_window(tmp_path):
    path = write(
        tmp_path / "image.dcm", dicom(GREY, "MONOCHROME2", VOILUTFunction="SIGMOID", WindowCenter=100, WindowWidth=40)
    )
    assert read_image(path)[0, :, 0].tolist() == [0, 128, 255, 255]


def test_voi_table(tmp_path):
    table = Dataset()
    table.LUTDescriptor = [256, 0, 16]
    table.LUTData = (np.arange(256)[::-1] * 257).astype("<u2").tolist()
    table["LUTData"].VR = "US"
    path = write(tmp_path / "image.dcm", dicom(GREY, "MONOCHROME2", VOILUTSequence=[table]))
    assert read_image(path)[0, :, 0].tolist() == (255 - GREY[0]).tolist()


def test_profile_is_converted_to_srgb(tmp_path):
    from_lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB", 5000)).tobytes()
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (from_lab, srgb, b"nonsense"):
        path = write(tmp_path / "image.dcm", dicom(smooth(), "RGB", ICCProfile=profile))
        np.testing.assert_array_equal(read_image(path), smooth())


def test_file_without_preamble_is_known_by_its_suffix(tmp_path):
    path = tmp_path / "image.dcm"
    dataset = dicom(smooth(), "RGB", syntax=ImplicitVRLittleEndian)
    del dataset.file_meta
    dataset.save_as(path, implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_image(path), smooth())
    path.rename(tmp_path / "image.png")
    with pytest.raises(ImageError, match="not an image"):
        read_image(tmp_path / "image.png")


def test_several_frames_are_refused(tmp_path):
    path = write(tmp_path / "film.dcm", dicom(GREY, "MONOCHROME2", NumberOfFrames=2, PixelData=GREY.tobytes() * 2))
    with pytest.raises(ImageError, match=r"film\.dcm: 2 frames"):
        read_image(path)


def test_limit(tmp_path):
    path = write(tmp_path / "image.dcm", dicom(smooth(), "RGB"))
    with pytest.raises(ImageError, match=r"64 x 48 = 3,072 pixels, more than the limit of 3,071"):
        read_image(path, max_pixels=3071)


def test_missing_decoder_names_the_extra(tmp_path, monkeypatch):
    path = compressed(tmp_path / "image.dcm", smooth(), "YBR_RCT", JPEG2000Lossless, format="JPEG2000", no_jp2=True)
    monkeypatch.setattr(get_decoder(JPEG2000Lossless), "_available", {})
    with pytest.raises(ImageError, match=r"JPEG 2000.*dermaxis\[dicom\]"):
        read_image(path)


def test_video_is_refused(tmp_path):
    dataset = dicom(smooth(), "YBR_FULL_422", syntax=MPEG2MPML)
    dataset.PixelData = encapsulate([b"\x00\x00\x01\xb3"])
    dataset["PixelData"].is_undefined_length = True
    with pytest.raises(ImageError, match="MPEG2"):
        read_image(write(tmp_path / "image.dcm", dataset))


def test_no_pixels(tmp_path):
    dataset = dicom(smooth(), "RGB")
    del dataset.PixelData
    with pytest.raises(ImageError, match="without pixel data"):
        read_image(write(tmp_path / "image.dcm", dataset))
    del dataset.Rows
    for read in (read_image, image_size):
        with pytest.raises(ImageError, match="without an image"):
            read(write(tmp_path / "image.dcm", dataset))


@pytest.mark.parametrize("compress", [False, True])
def test_truncated_files_are_refused(tmp_path, compress):
    dataset = dicom(smooth(), "RGB")
    if compress:
        dataset.compress(RLELossless, generate_instance_uid=False)
    path = write(tmp_path / "image.dcm", dataset)
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(ImageError, match=r"image\.dcm: (truncated|cannot be decoded)"):
        read_image(path)


def test_text_named_dcm_is_refused(tmp_path):
    path = tmp_path / "image.dcm"
    path.write_text("patient,diagnosis\n1,nevus\n" * 20)
    with pytest.raises(ImageError, match=r"image\.dcm"):
        read_image(path)


def test_mask_may_not_be_dicom(tmp_path):
    path = write(tmp_path / "mask.dcm", dicom(GREY, "MONOCHROME2"))
    with pytest.raises(ImageError, match=r"mask\.dcm: a DICOM file; a mask is expected as PNG"):
        read_mask(path)
