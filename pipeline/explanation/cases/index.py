"""The list of a run's cases: read, narrowed down, and added to; imports no torch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from concepts.csv_cells import csv_rows
from concepts.errors import RunError
from concepts.reading import table_text
from pipeline.explanation.cases.files import INDEX, write_index
from pipeline.results.case import CaseContent, ConceptState
from pipeline.run.folder import PARTIAL, RunFolder

STATE = "state_"
FLAGS = ("wrong", "abstain", "conflict", "out_of_scope", "unusual_picture")


class CaseRow(BaseModel):
    """A case in the list.

    Attributes:
        image_id: Which image.
        part: ``test`` and the like, or None for an image that is not of the cohort.
        reference: What the lesion is, or None.
        call: What the network calls it.
        probability: Of the call, calibrated, 0 to 1.
        wrong: Whether call and reference differ; None where the reference is not known.
        abstain: Whether more than one diagnosis is plausible.
        conflict: Whether concepts and diagnosis disagree.
        out_of_scope: Whether the image lies unusually far from the training images.
        unusual_picture: Whether a measurement of the picture is unusual.
        states: By concept.
    """

    model_config = ConfigDict(frozen=True)

    image_id: str
    part: str | None
    reference: str | None
    call: str
    probability: float
    wrong: bool | None
    abstain: bool
    conflict: bool
    out_of_scope: bool
    unusual_picture: bool
    states: Mapping[str, ConceptState]


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilter:
    """What cases must have; None or empty: anything.

    Attributes:
        flags: Names among `FLAGS`, all of which must be raised.
        call: The network's call.
        reference: What the lesion is.
        concept: A concept whose state is asked for.
        state: That state.
        image: Part of the image's name.
    """

    flags: frozenset[str] = frozenset()
    call: str | None = None
    reference: str | None = None
    concept: str | None = None
    state: ConceptState | None = None
    image: str = ""


def explained_runs(folder: Path) -> list[str]:
    """Return the names of the whole runs below a folder that have cases, newest first by name's time stamp."""
    names = [path.parent.name for path in folder.glob(f"*/{INDEX}") if not path.parent.name.endswith(PARTIAL)]
    return sorted(names, key=lambda name: (name.split("-")[-2:], name), reverse=True)


def read_index(run: RunFolder) -> list[CaseRow]:
    """Read the list of a run's cases, in order.

    Raises:
        RunError: If the run has no cases, or the list is damaged; names file and row.
    """
    path = run.file(INDEX)
    try:
        return [_row(row, path, number) for number, row in enumerate(csv_rows(table_text(path)), start=2)]
    except ValueError as error:
        raise RunError(f"{path}: {error!s:.100}; explain the run again") from error
    except FileNotFoundError as error:
        raise RunError(f"{path}: there are no cases yet; 'dermaxis explain {run.path}' makes them") from error


def matching(rows: Iterable[CaseRow], filters: CaseFilter) -> list[CaseRow]:
    """Return the cases that a filter lets through, in their order."""
    return [row for row in rows if _fits(row, filters)]


def add_to_index(run: RunFolder, case: CaseContent) -> None:
    """Put a case into the list, in the place of an earlier one of the same image."""
    path = run.file(INDEX)
    rows = csv_rows(table_text(path)) if path.is_file() else []
    write_index(run, [*(row for row in rows if row["image_id"] != case.image_id), case.row()])


def concepts_of(rows: Sequence[CaseRow]) -> list[str]:
    """Return the concepts whose states the list has, in axis order."""
    return list(rows[0].states) if rows else []


def _fits(row: CaseRow, filters: CaseFilter) -> bool:
    return (
        all(getattr(row, flag) for flag in filters.flags)
        and filters.call in (None, row.call)
        and filters.reference in (None, row.reference)
        and (filters.concept is None or filters.state in (None, row.states.get(filters.concept)))
        and filters.image.lower() in row.image_id.lower()
    )


def _row(row: Mapping[str, str | None], path: Path, number: int) -> CaseRow:
    content = {name: text or None for name, text in row.items() if name in CaseRow.model_fields}
    states = {name.removeprefix(STATE): text for name, text in row.items() if name and name.startswith(STATE)}
    try:
        return CaseRow.model_validate({**content, "states": states})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        column = ".".join(str(part) for part in fault["loc"])
        reason = f"{column} is missing" if fault["type"] == "missing" else f"{column} is {fault['input']!r}"
        raise RunError(
            f"{path}: row {number} is not one of this version ({reason:.60}); explain the run again"
        ) from error
