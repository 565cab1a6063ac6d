"""The files of unnamed directions in a run folder: candidates for examples of a new concept, and pictures.

Screens read them, so nothing here imports torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from concepts.csv_cells import csv_rows, csv_text
from concepts.errors import RunError
from concepts.reading import table_text
from pipeline.results.discovery import Direction, Discovery
from pipeline.results.explanation import Explanation
from pipeline.run.folder import RunFolder

FOLDER = "discovery"
DIRECTIONS = f"{FOLDER}/directions.safetensors"
HIGH, LOW = "high", "low"
"""Ends of a direction."""
HEADER = ("image_id", "digest", "end", "activation", "x0", "y0", "x1", "y1")

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 as fractions of an image's sides."""


@dataclass(frozen=True)
class Candidate:
    """A training image that may be an example of what a direction stands for.

    Attributes:
        image_id: Which image.
        digest: SHA-256 of its file.
        end: `HIGH` or `LOW`, the end of the direction on which it lies.
        activation: Of the direction, pooled.
        box: Where the direction is most active.
    """

    image_id: str
    digest: str
    end: str
    activation: float
    box: Box


def candidates_file(direction: str) -> str:
    """Return the name, in the run folder, of the file with the candidates of a direction."""
    return f"{FOLDER}/{direction}.csv"


def write_candidates(run: RunFolder, direction: str, candidates: Sequence[Candidate]) -> None:
    """Write the candidates of a direction, numbers with four decimals."""
    rows = (
        (each.image_id, each.digest, each.end, *(round(number, 4) for number in (each.activation, *each.box)))
        for each in candidates
    )
    run.write_text(candidates_file(direction), csv_text(HEADER, rows))


def read_candidates(run: RunFolder, direction: Direction) -> list[Candidate]:
    """Read the candidates of a direction.

    Raises:
        RunError: If the file is missing or damaged.
    """
    path = run.file(direction.candidates)
    try:
        return [
            Candidate(
                row["image_id"],
                row["digest"],
                row["end"],
                float(row["activation"]),
                (float(row["x0"]), float(row["y0"]), float(row["x1"]), float(row["y1"])),
            )
            for row in csv_rows(table_text(path))
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error!r:.60}); explain the run again") from error


def candidate_values(run: RunFolder, direction: Direction) -> dict[str, float]:
    """Say how strongly a direction is active on its candidates, by SHA-256 of the image file.

    Returns:
        1 for the most active of the high end down to 0.5, and below 0.5 down to 0 for the low end: ranks among the
        candidates, not probabilities.

    Raises:
        RunError: If the file is missing or damaged.
    """
    candidates = sorted(read_candidates(run, direction), key=lambda each: (each.end == LOW, -each.activation))
    last = max(1, len(candidates) - 1)
    return {candidate.digest: 1 - rank / last for rank, candidate in enumerate(candidates)}


def read_discovery(run: RunFolder) -> Discovery | None:
    """Read the unnamed directions of a run; None where it did not look for any.

    Raises:
        RunError: If the run is not explained, or by another version.
    """
    return run.read(Explanation).discovery
