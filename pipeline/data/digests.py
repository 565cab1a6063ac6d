"""What a file is known by: the SHA-256 of its bytes."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from concepts.errors import DataError


def file_digest(path: Path) -> str:
    """Compute the SHA-256 of a file's bytes, 64 hexadecimal digits.

    Raises:
        DataError: If the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); restore the file or its rights") from error


def file_digests(paths: Sequence[Path], *, threads: int = 4) -> list[str]:
    """Compute `file_digest` of many files, in order; threads help, since reading and hashing release the interpreter.

    Raises:
        DataError: If a file cannot be read.
    """
    with ThreadPoolExecutor(max(1, threads)) as pool:
        return list(pool.map(file_digest, paths))
