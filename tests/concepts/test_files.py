"""Files appear when they are complete, and whatever goes wrong leaves what was there before."""

import errno
import os
import stat
from pathlib import Path

import pytest

from concepts import files
from concepts.files import completing, replacing, write_atomically


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


@pytest.mark.parametrize(
    ("content", "stored"), [("ä\r\n", "ä\r\n".encode()), (b"\x00\xff\n", b"\x00\xff\n"), ("", b"")]
)
def test_what_is_written_is_there_to_the_byte_and_nothing_else_is(tmp_path: Path, content: str | bytes, stored: bytes):
    write_atomically(tmp_path / "file.json", content)
    assert (tmp_path / "file.json").read_bytes() == stored
    assert names(tmp_path) == ["file.json"]


def test_a_file_is_replaced_in_one_step(tmp_path: Path):
    path = tmp_path / "file.json"
    path.write_text("before")
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "before"
        temporary.write_text("after")
    assert path.read_text() == "after"
    assert names(tmp_path) == ["file.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_what_was_there_before(tmp_path: Path, error: type[BaseException]):
    path = tmp_path / "file.json"
    path.write_text("before")
    with pytest.raises(error), replacing(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert path.read_text() == "before"
    assert names(tmp_path) == ["file.json"]


def test_what_the_disk_does_not_take_never_becomes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files.os, "fsync", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_atomically(tmp_path / "file.json", "content")
    assert names(tmp_path) == []


def test_the_content_reaches_the_disk_before_it_takes_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = []

    def sync(descriptor: int) -> None:
        synced.append((os.fstat(descriptor).st_size, names(tmp_path)))

    monkeypatch.setattr(files.os, "fsync", sync)
    write_atomically(tmp_path / "file.json", "content")
    (size, before), (_, after) = synced
    assert size == len("content")
    assert "file.json" not in before
    assert after == ["file.json"], "then the name reaches the disk, too"


def test_a_link_is_replaced_and_never_written_through(tmp_path: Path):
    target, link = tmp_path / "elsewhere", tmp_path / "file.json"
    target.write_text("not ours")
    link.symlink_to(target)
    write_atomically(link, "ours")
    assert (target.read_text(), link.read_text(), link.is_symlink()) == ("not ours", "ours", False)


def test_a_file_that_waits_under_the_temporary_name_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "elsewhere"
    target.write_text("not ours")
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "guessed")
    (tmp_path / ".file.guessed.json").symlink_to(target)
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "file.json", "ours")
    assert target.read_text() == "not ours"
    assert names(tmp_path) == [".file.guessed.json", "elsewhere"]


def test_temporary_names_differ_are_hidden_and_keep_the_suffix(tmp_path: Path):
    with replacing(tmp_path / "picture.jpg") as first, replacing(tmp_path / "picture.jpg") as second:
        assert first != second
        assert {first.suffix, second.suffix} == {".jpg"}
        assert first.name.startswith(".picture.")
        assert first.parent == tmp_path


def test_a_long_name_fits_the_file_system(tmp_path: Path):
    path = tmp_path / f"{'x' * 240}.json"
    write_atomically(path, "content")
    assert path.read_text() == "content"


def test_the_file_may_be_read_by_whom_the_umask_lets(tmp_path: Path):
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file.json", "content")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file.json").stat().st_mode) == 0o640


def test_a_folder_that_is_missing_is_an_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "absent" / "file.json", "content")


def test_a_folder_appears_with_all_its_files(tmp_path: Path):
    folder = tmp_path / "bundle"
    folder.mkdir()
    with completing(folder) as temporary:
        (temporary / "first").write_text("1")
        assert names(folder) == []
        (temporary / "second").write_text("2")
    assert names(folder) == ["first", "second"]
    assert names(tmp_path) == ["bundle"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_no_folder(tmp_path: Path, error: type[BaseException]):
    def fail() -> None:
        with completing(tmp_path / "bundle") as temporary:
            (temporary / "first").write_text("1")
            raise error

    with pytest.raises(error):
        fail()
    assert names(tmp_path) == []


def test_a_folder_that_holds_something_is_not_replaced(tmp_path: Path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine").write_text("before")
    with pytest.raises(OSError, match=r"not empty"), completing(tmp_path / "bundle") as temporary:
        (temporary / "first").write_text("1")
    assert names(tmp_path / "bundle") == ["mine"]
    assert names(tmp_path) == ["bundle"]


def test_only_a_durable_file_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    synced = []
    monkeypatch.setattr(files.os, "fsync", synced.append)
    for durable in (False, True):
        with replacing(tmp_path / "file", durable=durable) as temporary:
            temporary.write_text("content")
        assert bool(synced) == durable
    assert (tmp_path / "file").read_text() == "content"
