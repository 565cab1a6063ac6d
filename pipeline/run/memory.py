"""What a process does with memory that it freed."""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``, by their numbers in ``malloc.h``."""
KEPT = 2**31 - 1
"""Bytes up to which a freed block is kept: the largest number that ``mallopt`` takes."""


def keep_freed_memory() -> bool:
    """Keep what is freed for the next use instead of giving it back to the system at once.

    Maps of a batch take tens of megabytes. glibc asks the system for each of them anew, which clears its pages first;
    over evaluation passes that took longer than the sums themselves. The price is that the process keeps its peak.

    Returns:
        Whether it is so now; False where the C library is not glibc, and nothing was changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(mallopt(MMAP_THRESHOLD, KEPT)) and bool(mallopt(TRIM_THRESHOLD, KEPT))
