"""The files of a job on the machine that works on it: what the run reads, what it writes."""

from dataclasses import dataclass
from pathlib import Path

from concepts.addresses import blanked
from concepts.files import write_atomically
from pipeline.config import RunSettings, dump_settings
from pipeline.run.progress_file import LONGEST

OUTPUT_LINES, OUTPUT_BYTES = 30, 16_384
"""How much of the log's end is shown."""


@dataclass(frozen=True)
class JobFiles:
    """The files of one job.

    Attributes:
        folder: Where they lie.
    """

    folder: Path

    @property
    def settings(self) -> Path:
        """The settings, written when the job is first begun; older than everything that its run writes."""
        return self.folder / "settings.yaml"

    @property
    def progress(self) -> Path:
        """How far the run has come."""
        return self.folder / "progress.json"

    @property
    def log(self) -> Path:
        """What the run wrote to its output, all attempts one after the other."""
        return self.folder / "log.txt"

    def prepare(self, settings: RunSettings) -> None:
        """Make the folder and write the settings, unless an earlier attempt did."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.settings.exists():
            write_atomically(self.settings, dump_settings(settings))

    def last_output(self) -> str:
        """Return the last lines of the log; empty where there is none."""
        if not self.log.is_file():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - OUTPUT_BYTES))
            lines = log.read(OUTPUT_BYTES).decode("utf-8", errors="replace").splitlines()
            return blanked("\n".join(lines[-OUTPUT_LINES:]))

    def progress_text(self) -> str | None:
        """Return the progress as JSON; None where the run wrote none yet."""
        if not self.progress.is_file():
            return None
        with self.progress.open(encoding="utf-8", errors="replace") as file:
            return file.read(LONGEST + 1)
