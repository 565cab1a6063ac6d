"""Nested JSON of a run folder, read so that what is missing is named."""

from typing import Any

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate


class Tree:
    """Nested JSON that names file and key where something is missing.

    Args:
        content: What the file holds at this place.
        place: File and key so far, for errors.
    """

    def __init__(self, content: Any, place: str) -> None:  # noqa: ANN401  # any JSON
        self.content = content
        self.place = place

    def __getitem__(self, key: str) -> "Tree":
        if not isinstance(self.content, dict) or key not in self.content:
            raise RunError(f"{self.place} has no '{key}'; the run is of another version: evaluate and explain it again")
        return Tree(self.content[key], f"{self.place} {key}" if self.place.endswith(":") else f"{self.place}.{key}")

    def __contains__(self, key: str) -> bool:
        return isinstance(self.content, dict) and key in self.content

    def items(self) -> list[tuple[str, "Tree"]]:
        """Keys with what is under them."""
        return [(key, self[key]) for key in self.content]

    def estimate(self) -> Estimate:
        """The estimate that stands here; null becomes NaN."""
        numbers = {key: self[key].content for key in ("value", "low", "high")}
        known = {key: float("nan") if number is None else float(number) for key, number in numbers.items()}
        return Estimate(**known, n=int(self["n"].content or 0))

    def estimates(self) -> dict[str, Estimate]:
        """Every key's estimate."""
        return {key: tree.estimate() for key, tree in self.items()}
