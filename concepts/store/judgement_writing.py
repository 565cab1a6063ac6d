"""Judgements are written and taken back, each superseding the current one on its case. Nothing is erased."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from concepts.judgement import Judgement, Region
from concepts.mask import check_mask
from concepts.store.acts import Act
from concepts.store.audit import instant, now
from concepts.store.judgement_rows import JudgementRecord, region_json, regions_of
from concepts.store.schema import JudgementRow, MaskRow, RegionRow, table

CELL = ("set_name", "concept", "image_id", "reader", "kind", "reading")
"""What has one current judgement."""
STATEMENT = ("verdict", "confidence", "note", "seconds", "blinded", "origin")
"""What a judgement says, as opposed to about what and when."""

JUDGEMENTS = table(JudgementRow)
NEWEST = select(func.max(JUDGEMENTS.c.id))
CURRENT = select(JUDGEMENTS.c.id).where(
    *(JUDGEMENTS.c[name] == bindparam(name) for name in CELL), JUDGEMENTS.c.superseded_by.is_(None)
)
SUPERSEDE = update(JUDGEMENTS).where(JUDGEMENTS.c.id == bindparam("older")).values(superseded_by=bindparam("newer"))
WRITE = insert(JUDGEMENTS)


def cell_of(judgement: Judgement, set_name: str) -> dict[str, Any]:
    """Return the columns that tell which case a judgement is on, of whom, and in which reading."""
    return {"set_name": set_name, **{name: getattr(judgement, name) for name in CELL[1:]}}


def write(act: Act, set_name: str, judgements: Sequence[Judgement], *, undoable: bool) -> list[JudgementRecord]:
    """Write judgements inside an act, each superseding the current one on its case.

    Returns:
        What the audit log is to say of them.
    """
    moment, key = now(), act.key if undoable else None
    records = []
    for number, judgement in enumerate(judgements, start=_next_number(act.session)):
        statement = {name: getattr(judgement, name) for name in STATEMENT}
        at = instant(judgement.at) if judgement.at else moment
        record = JudgementRecord(id=number, **cell_of(judgement, set_name), **statement, at=at, act=key)
        records.append(_insert(act.session, record, judgement.regions))
    return records


def take_back_one_act(act: Act, set_name: str) -> list[JudgementRecord]:
    """Take back the actor's newest act that still stands.

    Returns:
        What the audit log is to say of the judgements that replace those taken back; empty where there is nothing.
    """
    session = act.session
    undone = select(JudgementRow.undoes).where(JudgementRow.undoes.is_not(None))
    standing = select(JudgementRow).where(
        JudgementRow.set_name == set_name,
        JudgementRow.reader == act.actor,
        JudgementRow.act.is_not(None),
        JudgementRow.id.not_in(undone),
    )
    newest = session.scalar(standing.order_by(JudgementRow.id.desc()).limit(1))
    if newest is None:
        return []
    rows = session.scalars(standing.where(JudgementRow.act == newest.act).order_by(JudgementRow.id.desc())).all()
    return [_take_back(session, row, number) for number, row in enumerate(rows, start=_next_number(session))]


def _take_back(session: Session, row: JudgementRow, number: int) -> JudgementRecord:
    """Repeat what the case's judgement was before a row, or withdraw where there was none."""
    before = session.get(JudgementRow, row.supersedes) if row.supersedes else None
    regions = regions_of(session, [before.id]).get(before.id, ()) if before else ()
    record = JudgementRecord.of_row(before or row, ())
    if before is None:
        record = replace(record, verdict=None, note="")
    record = replace(record, id=number, at=now(), act=None, undoes=row.id)
    return _insert(session, record, regions)


def _next_number(session: Session) -> int:
    """Return the number of the next judgement; without gaps, as writers are alone."""
    return (session.scalar(NEWEST) or 0) + 1


def _insert(session: Session, record: JudgementRecord, regions: Sequence[Region]) -> JudgementRecord:
    current = session.scalar(CURRENT, {name: getattr(record, name) for name in CELL})
    if current is not None:
        session.execute(SUPERSEDE, {"older": current, "newer": record.id})
    record = replace(record, supersedes=current, regions=tuple(map(region_json, regions)))
    session.execute(WRITE, {**record.columns(), "superseded_by": None})
    for position, region in enumerate(regions):
        _insert_region(session, record.id, position, region)
    return record


def _insert_region(session: Session, number: int, position: int, region: Region) -> None:
    if region.mask is not None:
        check_mask(region.mask)
        if session.get(MaskRow, region.digest) is None:
            session.execute(insert(MaskRow).values(digest=region.digest, content=region.mask))
    vertices = json.dumps(region_json(region)["vertices"])
    session.execute(
        insert(RegionRow).values(
            judgement_id=number, position=position, kind=region.kind, vertices=vertices, mask=region.digest
        )
    )
