"""Files that a stranger could hand over, by kind: each must be refused in no time and hardly any memory."""

import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

Content = bytes | Callable[[Path], None]
MEGABYTES_32 = 1 << 25
CANARY = "canary-that-a-pickle-made"


def deep(opening: bytes, closing: bytes, levels: int, core: bytes = b"") -> bytes:
    return opening * levels + core + closing * levels


JSON: Mapping[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "number": b"-0.5",
    "list": b"[1, 2]",
    "text": b'"=cmd"',
    "truncated": b'{"format": 1, "examples": [',
    "latin": b'{"name": "\xe9"}',
    "wide": '{"name": "x"}'.encode("utf-16"),
    "nul": b"\0" * 100,
    "surrogate": b'{"name": "\\ud800"}',
    "not_a_number": b'{"format": NaN, "version": Infinity, "total": -Infinity}',
    "long_number": b'{"format": ' + b"9" * 100_000 + b"}",
    "deep_lists": deep(b"[", b"]", 900),
    "deeper_lists": b"[" * 1_000_000,
    "deep_objects": deep(b'{"format":', b"}", 900, b"1"),
    "deeper_objects": b'{"a":' * 500_000,
    "lists_in_fields": b'{"format": 1, "concepts": ' + deep(b"[", b"]", 500) + b"}",
    "repeated_keys": b"{" + b'"format": 1, ' * 20_000 + b'"format": 1}',
    "backslashes": b'"' + b"\\" * 99_999,
    "quotes": b'"' * 100_000,
}
DEAR_JSON: Mapping[str, bytes] = {
    "lists": b"[" + b"[]," * (MEGABYTES_32 // 3 - 2) + b"[]]",
    "objects": b"[" + b'{"":0},' * (MEGABYTES_32 // 7 - 2) + b"{}]",
    "keys": b"{" + b",".join(b'"%d":0' % number for number in range(2_000_000)) + b"}",
    "many_quotes": b'"' * MEGABYTES_32,
    "escapes": b'\\"' * (MEGABYTES_32 // 2),
    "many_backslashes": b'"' + b"\\" * (MEGABYTES_32 - 1),
    "long_text": b'{"name": "' + b"x" * (MEGABYTES_32 - 20) + b'"}',
    "one_wide_letter": b'{"name": "' + b"x" * (MEGABYTES_32 - 20) + "😀".encode() + b'"}',
    "numbers": b"[" + b"1," * (MEGABYTES_32 // 2 - 2) + b"1]",
    "many_brackets": b"[" * MEGABYTES_32,
    "too_long": b" " * (MEGABYTES_32 * 4),
}
CSV: Mapping[str, bytes] = {
    "empty": b"",
    "blank": b"\n\n\n",
    "nul": b"image_id\0,part\0\n\0,\0\n",
    "latin": b"image_id,part\n\xe9,test\n",
    "utf_16": "image_id,part\na,test\n".encode("utf-16"),
    "open_quote": b'image_id,part,group\n"a,test,b\n' + b"x,y,z\n" * 1000,
    "long_cell": b"image_id,part,group\n" + b"x" * 1_000_000 + b",test,b\n",
    "uneven": b"image_id,part,group\na,b,c,d\na\n",
    "no_header": b"1,2,3\n",
    "wide": b",".join(b"c%d" % number for number in range(20_000)) + b"\n1\n",
    "binary": bytes(range(256)) * 50,
    "formulas": b"=1+1,@x\n=cmd|' /C calc'!A0,+1\n",
}
DEAR_CSV: Mapping[str, bytes] = {
    "line_ends": b"\n" * (MEGABYTES_32 - 1),
    "commas": b"," * (MEGABYTES_32 - 1),
    "one_cell": b"image_id\n" + b"x" * (MEGABYTES_32 - 20),
    "one_quote": b'image_id\n"' + b"x,\n" * (MEGABYTES_32 // 3 - 20),
    "too_long": b"x" * (MEGABYTES_32 * 8),
}
SVG: Mapping[str, bytes] = {
    "script": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "entities": b'<!DOCTYPE x [<!ENTITY a "'
    + b"x" * 1000
    + b'">'
    + b"<!ENTITY b '&a;&a;&a;&a;'>" * 9
    + b"]><svg>&b;</svg>",
    "outside": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
}


def safetensors(header: bytes, content: bytes = b"", *, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(header) if length is None else length) + header + content


def one_tensor(**changes: object) -> bytes:
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], **changes}
    return safetensors(json.dumps({"conv.weight": entry}).encode(), b"\0" * 4)


SAFETENSORS: Mapping[str, bytes] = {
    "empty": b"",
    "short": b"\1\2\3",
    "text": b"these are no weights at all, but a sentence\n" * 10,
    "endless_header": safetensors(b"{}", length=2**63),
    "longer_than_the_file": safetensors(b"{}", length=1 << 30),
    "no_header": safetensors(b""),
    "no_object": safetensors(b"[]"),
    "deep_header": safetensors(b'{"__metadata__": {"tree": ' + deep(b"[", b"]", 5000) + b"}}"),
    "deep_entry": safetensors(deep(b'{"a":', b"}", 60)),
    "deep_tree": safetensors(json.dumps({"__metadata__": {"tree": "[" * 50_000}}).encode()),
    "odd_tree": safetensors(json.dumps({"__metadata__": {"tree": '{"items": [[{}, {"list": 3}]]}'}}).encode()),
    "empty_tree": safetensors(json.dumps({"__metadata__": {"tree": "{}"}}).encode()),
    "tensor_of_nothing": safetensors(json.dumps({"__metadata__": {"tree": '{"tensor": "t9"}'}}).encode()),
    "huge_shape": one_tensor(shape=[2**62, 2**62]),
    "empty_huge_shape": one_tensor(shape=[0, 2**62], data_offsets=[0, 0]),
    "negative_shape": one_tensor(shape=[-1]),
    "backwards": one_tensor(data_offsets=[4, 0]),
    "beyond_the_end": one_tensor(data_offsets=[0, 4_000_000_000]),
    "odd_type": one_tensor(dtype="F4"),
    "no_type": one_tensor(dtype="PICKLE"),
    "pickle": pickle.dumps({"a": 1}),
    "dear_header": safetensors(b"{" + b",".join(b'"%d":{}' % number for number in range(1_000_000)) + b"}"),
}


class Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.mkdir, (CANARY,)


def legacy(stream: bytes) -> bytes:
    """A file as torch wrote before it wrote zip files."""
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
    return magic + pickle.dumps(1001, protocol=2) + pickle.dumps({"little_endian": True}, protocol=2) + stream


def zipped(entries: Mapping[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


def bomb(path: Path) -> None:
    """A gigabyte of noughts in a megabyte."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/version", "3")
        with archive.open("archive/data.pkl", "w", force_zip64=True) as entry:
            for _ in range(1024):
                entry.write(b"\0" * (1 << 20))


def crowd(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(80_000):
            archive.writestr(f"archive/data/{number:040}", b"")


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


WEIGHTS: Mapping[str, Content] = {
    "empty": b"",
    "text": b"no weights\n" * 100,
    "runs_a_command": pickle.dumps(Malicious()),
    "runs_a_command_in_a_zip": zipped({"archive/data.pkl": pickle.dumps(Malicious(), protocol=2)}, compression=0),
    "legacy_that_runs": legacy(pickle.dumps(Malicious(), protocol=2)),
    "deep_pickle": legacy(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "number": pickle.dumps(3),
    "nested_wrappers": pickle.dumps({"state_dict": {"model": {"state_dict": 3}}}),
    "truncated_zip": zipped({"archive/data.pkl": b"x" * 1000})[:-30],
    "out_of_the_folder": zipped({"../../data.pkl": pickle.dumps({})}, compression=0),
    "no_pickle_in_it": zipped({"archive/other": b""}, compression=0),
    "bomb": bomb,
}
DEAR_WEIGHTS: Mapping[str, Content] = {"crowd": crowd, "sparse": sparse}


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + b"".join(chunks)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100))
        + chunk(b"IEND", b"")
    )


IMAGES: Mapping[str, bytes] = {
    "empty": b"",
    "bomb.png": png(60_000, 60_000),
    "endless.png": png(2**31 - 1, 2**31 - 1),
    "flat.png": png(0, 0),
    "text_bomb.png": png(9_999, 10_001, chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * (1 << 28)))),
    "truncated.jpg": b"\xff\xd8\xff\xe0\0\x10JFIF\0",
    "nested.tif": b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 65535) + b"\xff" * 600,
    "endless.tif": b"II*\0" + struct.pack("<IHI", 8, 0, 8),
    "endless.bmp": b"BM" + struct.pack("<IHHIIiiHHI", 0, 0, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0) + b"\0" * 20,
    "gif.png": b"GIF89a" + b"\xff" * 20,
}


def element(group: int, number: int, kind: bytes, content: bytes) -> bytes:
    content += b"\0" * (len(content) % 2)
    if kind in (b"OB", b"OW", b"SQ", b"UN"):
        return struct.pack("<HH2sHI", group, number, kind, 0, len(content)) + content
    return struct.pack("<HH2sH", group, number, kind, len(content)) + content


def dicom(syntax: bytes, body: bytes) -> bytes:
    meta = element(2, 0x10, b"UI", syntax)
    return b"\0" * 128 + b"DICM" + element(2, 0, b"UL", struct.pack("<I", len(meta))) + meta + body


EXPLICIT, DEFLATED, JPEG_LOSSLESS = b"1.2.840.10008.1.2.1", b"1.2.840.10008.1.2.1.99", b"1.2.840.10008.1.2.4.70"


def picture(rows: int, columns: int, pixels: bytes, *, kind: bytes = b"OB") -> bytes:
    numbers = [(0x02, 1), (0x10, rows), (0x11, columns), (0x100, 8), (0x101, 8), (0x102, 7), (0x103, 0)]
    fields = {number: element(0x28, number, b"US", struct.pack("<H", value)) for number, value in numbers}
    fields[0x04] = element(0x28, 0x04, b"CS", b"MONOCHROME2")
    return b"".join(fields[number] for number in sorted(fields)) + element(0x7FE0, 0x10, kind, pixels)


def deflated(body: Iterator[bytes]) -> bytes:
    squeeze = zlib.compressobj(wbits=-15)
    return b"".join([*(squeeze.compress(part) for part in body), squeeze.flush()])


def nested_sequences(levels: int) -> bytes:
    opening = struct.pack("<HH2sHI", 0x40, 0x275, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    return opening * levels


DICOM: Mapping[str, bytes] = {
    "empty": b"",
    "header_only": b"\0" * 128 + b"DICM",
    "noise": b"\0" * 128 + b"DICM" + np.random.default_rng(0).bytes(5000),
    "huge_frame": dicom(EXPLICIT, picture(65535, 65535, b"\0" * 10)),
    "short_frame": dicom(EXPLICIT, picture(1000, 1000, b"\0" * 10)),
    "broken_frame": dicom(JPEG_LOSSLESS, picture(9000, 9000, b"\xff\xd8\xff\xc3" + b"\0" * 50)),
    "sequences": dicom(EXPLICIT, nested_sequences(20_000)),
    "deflated_bomb": dicom(DEFLATED, deflated(b"\0" * (1 << 20) for _ in range(1024))),
    "deflated_noise": dicom(DEFLATED, b"\xff" * 1000),
}

DESCRIPTION: Mapping[str, object] = {
    "architecture": "mobilenet_v1",
    "width": 0.25,
    "classes": ["nevus", "melanoma"],
    "size": 64,
    "fit": "crop",
    "margin": 8,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2],
}
MODELS: Mapping[str, bytes] = {
    "odd": json.dumps({"architecture": "mobilenet_v1"}).encode(),
    "unknown": json.dumps({**DESCRIPTION, "architecture": "os.system"}).encode(),
    "wide": json.dumps({**DESCRIPTION, "width": 1e6}).encode(),
    "quite_wide": json.dumps({**DESCRIPTION, "width": 15.0}).encode(),
    "endless": b'{"architecture": "mobilenet_v1", "width": 1e999}',
    "many_classes": json.dumps({**DESCRIPTION, "classes": ["a"] * 200_000}).encode(),
}
"""Descriptions of a network beside weights of another."""

QUICK: Mapping[str, Mapping[str, Content]] = {"json": JSON, "csv": CSV}
CORPUS: Mapping[str, Mapping[str, Content]] = {
    "json": {**JSON, **DEAR_JSON},
    "csv": {**CSV, **DEAR_CSV},
    "svg": SVG,
    "safetensors": SAFETENSORS,
    "weights": {**WEIGHTS, **DEAR_WEIGHTS},
    "images": IMAGES,
    "dicom": DICOM,
    "models": MODELS,
}


def write_corpus(folder: Path, corpus: Mapping[str, Mapping[str, Content]]) -> None:
    for kind, files in corpus.items():
        (folder / kind).mkdir(parents=True)
        for name, content in files.items():
            path = folder / kind / name
            content(path) if callable(content) else path.write_bytes(content)
