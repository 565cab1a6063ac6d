"""Memory that a process frees: kept for its next use, where the C library can."""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``, by their numbers in ``malloc.h``."""
LARGEST_BLOCK = 2**31 - 1
"""Bytes up to which a freed block is kept: the largest number that ``mallopt`` takes."""


def keep_freed_memory() -> bool:
    """Keep freed memory for the next use instead of returning it to the system at once.

    Maps of a batch take tens of megabytes. glibc requests each of them from the system anew, which clears the pages
    first; in evaluation passes that took longer than the computation. The price is that the process keeps its peak.

    Returns:
        Whether memory is kept now; False where the C library is not glibc, and nothing was changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST_BLOCK)) and bool(mallopt(TRIM_THRESHOLD, LARGEST_BLOCK))
