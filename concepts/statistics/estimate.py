"""A number as it may be shown to anyone: with its interval and its n."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with a 95 % interval.

    Attributes:
        value: The figure on the data themselves; NaN where it cannot be assessed.
        low: Lower end of the interval.
        high: Upper end of the interval.
        n: Number of cases behind the figure.
    """

    value: float
    low: float
    high: float
    n: int

    def to_json(self) -> dict[str, float | int | None]:
        """Return the estimate as a JSON object; NaN becomes null."""
        return {key: None if number != number else number for key, number in asdict(self).items()}


def is_known(figure: Estimate) -> bool:
    """Say whether a figure could be assessed, with its interval."""
    return all(number == number for number in (figure.value, figure.low, figure.high))
