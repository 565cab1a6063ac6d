"""What every result has in common: it is immutable, closed to unknown keys, and reads back as it was written."""

import json
from collections.abc import Mapping
from math import isfinite, nan
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError
from typing_extensions import TypedDict  # pydantic needs it before Python 3.12

from concepts.errors import RunError
from concepts.statistics.estimate import Estimate


class Result(BaseModel):
    """Part of what a run says.

    A number that is not known is NaN in Python and null in JSON.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResultFile(Result):
    """A result that is a file of the run folder.

    Attributes:
        file: Name of the file.
        version: Its format; a run of another format is refused.
        remedy: The command that makes the file anew, with ``{run}`` for the folder.
    """

    file: ClassVar[str]
    version: ClassVar[int]
    remedy: ClassVar[str]

    def to_text(self) -> str:
        """Return the file's text: JSON, the format first, numbers that are not finite as null."""
        content = {"format": self.version} | self.model_dump(mode="json")
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


LONGEST_KEY = 200
"""Characters of a key that an error repeats."""
F = TypeVar("F", bound=ResultFile)


def parse_result(model: type[F], text: str, path: str) -> F:
    """Read a result file.

    Args:
        model: What the file holds.
        text: Its content.
        path: What the file is called in an error.

    Raises:
        RunError: If it is damaged, of another format, or lacks something; names the key and the remedy.
    """
    remedy = model.remedy.format(run=path.removesuffix(model.file).rstrip("/"))
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged JSON ({error!s:.80}); {remedy}") from error
    if not isinstance(content, dict) or content.get("format") != model.version:
        version = content.get("format") if isinstance(content, dict) else None
        origin = f"format {version}" if isinstance(version, int) else "an earlier version"
        raise RunError(f"{path}: written by {origin}, this version reads format {model.version}; {remedy}")
    try:
        return model.model_validate({key: value for key, value in content.items() if key != "format"})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])[:LONGEST_KEY] or "the whole file"
        raise RunError(f"{path}: {key}: {first['msg'].lower()}; {remedy}") from error


def _read_number(content: Any) -> Any:  # noqa: ANN401  # whatever stands in the JSON; pydantic checks it next
    return nan if content is None else content


def _write_number(number: float) -> float | None:
    return number if isfinite(number) else None


Number = Annotated[float, BeforeValidator(_read_number), PlainSerializer(_write_number)]
"""A number that may be unknown: NaN, and null in JSON."""


def _read_estimate(content: Any) -> Any:  # noqa: ANN401  # whatever stands in the JSON; pydantic checks it next
    if not isinstance(content, Mapping):
        return content
    return {key: nan if number is None and key != "n" else number for key, number in content.items()}


class WrittenEstimate(TypedDict):
    """An estimate in JSON: the figure, the ends of its 95 % interval, and the number of cases behind it."""

    value: float | None
    low: float | None
    high: float | None
    n: int


def _write_estimate(figure: Estimate) -> WrittenEstimate:
    return WrittenEstimate(
        value=_write_number(figure.value), low=_write_number(figure.low), high=_write_number(figure.high), n=figure.n
    )


Figure = Annotated[Estimate, BeforeValidator(_read_estimate), PlainSerializer(_write_estimate)]
"""An `Estimate`; in JSON ``{"value", "low", "high", "n"}``, null where not known."""


class Band(Result):
    """The middle 95 % of what chance gives.

    Attributes:
        low: Lower end; NaN where there is no band.
        high: Upper end; likewise.
    """

    low: Number
    high: Number
