"""Files and folders that appear when they are complete, whatever happens while they are written.

The content goes to a new file with a random name in the same folder, reaches the disk, and then takes the name of its
target in one step. A reader sees the file of before or the new one. Nothing is written through a link: a link in the
place of the target is replaced, and the file it points to stays as it is.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_STEM = 100
"""Characters of the target's name that the temporary one repeats; file systems allow some 255 bytes in all."""


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
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
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
        temporary.replace(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
