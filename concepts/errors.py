"""The exceptions of Dermaxis, from the general to the particular.

DermaxisError            anything that the user can put right; the command line prints it in one line and exits with 2
├── SettingsError        a setting that is unknown, misspelt or out of range
├── DataError            a file, row or column that cannot be used; names the file and the row
│   ├── ImageError       one image that cannot be decoded
│   └── LeakError        related images, or one image, on both sides of a split
├── ReleaseError         a concept release that is malformed, altered or empty
├── StoreError           a concept store that cannot be opened, or an act that its state does not allow
│   └── PermissionDeniedError  an act that none of the actor's roles allows
├── WeightsError         a weights or checkpoint file that does not fit the network
└── RunError             a run folder that is incomplete, in use or not a run
"""

from collections.abc import Sequence


class DermaxisError(Exception):
    """An error that the user can put right: what came, what is allowed and what to do, in one line."""

    exit_code = 2


class SettingsError(DermaxisError):
    """A setting that is unknown, misspelt or out of range."""


class DataError(DermaxisError):
    """A file, row or column that cannot be used.

    Attributes:
        rows: Every offending row with its reason, where the message names only the first few.
    """

    def __init__(self, message: str, *, rows: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.rows = tuple(rows)


class ImageError(DataError):
    """One image that cannot be decoded."""


class LeakError(DataError):
    """Related images, or one image, on both sides of a split."""


class ReleaseError(DermaxisError):
    """A concept release that is malformed, altered or empty."""


class StoreError(DermaxisError):
    """A concept store that cannot be opened, or an act that its state does not allow."""


class PermissionDeniedError(StoreError):
    """An act that none of the actor's roles allows."""


class WeightsError(DermaxisError):
    """A weights or checkpoint file that does not fit the network."""


class RunError(DermaxisError):
    """A run folder that is incomplete, in use or not a run."""
