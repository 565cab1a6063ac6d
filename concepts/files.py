"""Files and folders that appear when they are complete, and what a stranger's folder may not do to who reads it.

The content goes to a new file with a random name in the same folder, reaches the disk, and then takes the name of its
target in one step; the name reaches the disk too. A reader sees the file of before or the new one. Nothing is written
through a link: a link in the place of the target is replaced, and the file it points to stays as it is. All that
Dermaxis writes is written here.
"""

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from concepts.errors import DataError

LONGEST_STEM = 100
"""Characters of the target's name that the temporary one repeats; file systems allow some 255 bytes in all."""
MOST_BYTES = 1 << 28
"""Of a file that is read whole; what Dermaxis writes for reading whole is far smaller."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file in one step; text in UTF-8, its line ends as they are.

    Args:
        path: The target, in a folder that exists.
        content: All of it.

    Raises:
        OSError: If the folder cannot be written; nothing is left behind.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "note.txt")
        >>> write_atomically(path, "asymmetry: present")
        >>> path.read_text(), [file.name for file in path.parent.iterdir()]
        ('asymmetry: present', ['note.txt'])
    """
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Give a writer that needs a path a temporary one, which becomes the target when the block ends.

    Args:
        path: The target, in a folder that exists; the temporary path has its suffix.
        durable: Wait for the disk, so that not even a power failure leaves an incomplete file. It takes milliseconds;
            a cache that rebuilds a damaged entry does without.

    Raises:
        OSError: If the folder cannot be written. After an error, the block's own too, nothing is left behind.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "note.txt")
        >>> with replacing(path) as temporary:
        ...     _ = temporary.write_text("streaks: absent")
        ...     path.exists()
        False
        >>> path.read_text()
        'streaks: absent'
    """
    temporary = path.with_name(f".{path.stem[:LONGEST_STEM]}.{secrets.token_hex(8)}{path.suffix}")
    # Exclusive, so that no link that waits under this name is followed; others may read what the umask lets them.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        if durable:
            _sync(temporary, os.O_RDWR)
        temporary.replace(path)
        if durable:
            _sync(path.parent.resolve())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def completing(folder: Path) -> Iterator[Path]:
    """Give a writer of several files a temporary folder, which becomes the target when the block ends.

    Args:
        folder: The target, in a folder that exists; it must not exist or be empty.

    Raises:
        OSError: If the folder cannot be made. After an error, the block's own too, nothing is left behind.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp(), "bundle")
        >>> with completing(folder) as temporary:
        ...     write_atomically(temporary / "note.txt", "globules: present")
        ...     folder.exists()
        False
        >>> [file.name for file in folder.iterdir()]
        ['note.txt']
    """
    temporary = folder.with_name(f".{folder.name[:LONGEST_STEM]}.{secrets.token_hex(8)}")
    temporary.mkdir()
    try:
        yield temporary
        _sync_tree(temporary)
        temporary.replace(folder)
        _sync(folder.parent.resolve())
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def append_line(path: Path, line: str) -> None:
    """Add a line to a file that only ever grows, and wait until it is on the disk; no link is followed.

    Raises:
        OSError: If the file cannot be written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "witness.txt")
        >>> append_line(path, "one"), append_line(path, "two")
        (None, None)
        >>> path.read_text().splitlines()
        ['one', 'two']
    """
    descriptor = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "ab") as file:
        file.write(f"{line}\n".encode())
        file.flush()
        os.fsync(descriptor)


def read_regular(path: Path, *, most_bytes: int = MOST_BYTES) -> bytes:
    """Read a file of a folder that a stranger may have made: no link is followed, and nothing can keep one waiting.

    Args:
        path: The file; links in the folders above it are followed.
        most_bytes: Longer files are refused unread.

    Raises:
        FileNotFoundError: If there is nothing of that name.
        DataError: If it is a link, a pipe or anything else than a file, or too long.
        OSError: If it cannot be read.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "note.txt")
        >>> write_atomically(path, "streaks: absent")
        >>> read_regular(path)
        b'streaks: absent'
    """
    if path.is_symlink():
        raise DataError(f"{path}: a link, which is not followed; put the file itself there")
    # Without waiting: a pipe that nobody writes to would keep the reader for ever.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise DataError(f"{path}: not a file; put a file there")
        if state.st_size > most_bytes:
            raise DataError(f"{path}: {state.st_size:,} bytes; a file of its kind has at most {most_bytes:,}")
        return file.read(most_bytes)


def odd_entry(folder: Path) -> Path | None:
    """Return an entry of a folder, at any depth, that is neither a file nor a folder, such as a link; else None.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> odd_entry(folder) is None
        True
        >>> (folder / "settings.yaml").symlink_to("/etc/hostname")
        >>> odd_entry(folder).name
        'settings.yaml'
    """
    folders = [os.fspath(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    return Path(entry)
    return None


def _sync_tree(folder: Path) -> None:
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        _sync(Path(parent))


def _sync(path: Path, mode: int = os.O_RDONLY) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, mode | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
