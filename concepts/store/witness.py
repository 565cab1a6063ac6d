"""A witness: a file elsewhere that lists digests of a store's chain, so that no chain can be cut or replaced unseen.

It is the administrator's: on another machine's disk, or on a medium that only takes more. Each line tells the digest,
the number and the time of what was then the newest event.
"""

import os
from pathlib import Path

from concepts.errors import StoreError
from concepts.files import append_line
from concepts.store.audit import Event

VARIABLE = "DERMAXIS_WITNESS"
"""Environment variable with the path of the witness file."""


def witness_file(path: Path | None = None) -> Path | None:
    """Return the witness file that the administrator chose: the one given, else that of the environment variable."""
    named = os.environ.get(VARIABLE)
    return path or (Path(named).expanduser() if named else None)


def noted_digests(witness: Path) -> list[str]:
    """Return the digests that a witness file lists, the oldest first; none where there is no file yet.

    Raises:
        StoreError: If the file cannot be read.
    """
    try:
        return [line.split()[0] for line in witness.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"the witness file {witness} cannot be read; check its path and rights") from error


def note(witness: Path, newest: Event) -> None:
    """Add the newest event's digest, unless it is the last that is listed.

    Raises:
        StoreError: If the file cannot be read or written.
    """
    if noted_digests(witness)[-1:] == [newest.hash]:
        return
    try:
        append_line(witness, f"{newest.hash} {newest.seq} {newest.at}")
    except OSError as error:
        raise StoreError(f"the witness file {witness} cannot be written: {error.strerror}") from error
