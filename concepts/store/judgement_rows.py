"""Judgements as the tables and the audit log hold them: value types on one side, rows and JSON records on the other."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from concepts.example import Origin
from concepts.judgement import Judgement, Kind, Region, RegionKind, Verdict
from concepts.store.schema import JudgementRow, MaskRow, RegionRow

Record = Mapping[str, Any]
COLUMNS = tuple(column.name for column in JudgementRow.__table__.columns if column.name != "superseded_by")
"""What an audit event says of a judgement; by whom it is superseded is said by the event that did so."""


def record_of(row: JudgementRow, regions: Iterable[RegionRow]) -> dict[str, Any]:
    """Return what the audit log says of a stored judgement."""
    drawn = [{"kind": r.kind, "vertices": json.loads(r.vertices), "mask": r.mask} for r in regions]
    return {**{name: getattr(row, name) for name in COLUMNS}, "regions": drawn}


def to_json(judgement: Judgement) -> dict[str, Any]:
    """Return what a judgement says, as JSON; masks by their digests."""
    names = ("reader", "image_id", "concept", "verdict", "confidence", "note", "seconds", "reading", "blinded")
    fields = {name: getattr(judgement, name) for name in (*names, "origin", "kind")}
    at = judgement.at.isoformat() if judgement.at else None
    return {**fields, "at": at, "regions": [region_json(region) for region in judgement.regions]}


def region_json(region: Region) -> dict[str, Any]:
    """Return a region as JSON; its mask by the digest."""
    return {"kind": region.kind, "vertices": [list(vertex) for vertex in region.vertices], "mask": region.digest}


def to_judgements(session: Session, rows: Sequence[JudgementRow], *, with_regions: bool = True) -> list[Judgement]:
    """Build the judgements that rows hold, with their regions unless told otherwise; withdrawals are left out."""
    standing = [(row, row.verdict) for row in rows if row.verdict is not None]
    regions = regions_of(session, [row.id for row, _ in standing]) if with_regions else {}
    return [_judgement(row, Verdict(verdict), regions.get(row.id, ())) for row, verdict in standing]


def regions_of(session: Session, judgement_ids: Sequence[int]) -> dict[int, tuple[Region, ...]]:
    """Read the regions of judgements, by the judgement's number."""
    regions: dict[int, list[Region]] = defaultdict(list)
    for start in range(0, len(judgement_ids), 500):
        query = (
            select(RegionRow, MaskRow.content)
            .outerjoin(MaskRow, MaskRow.digest == RegionRow.mask)
            .where(RegionRow.judgement_id.in_(judgement_ids[start : start + 500]))
            .order_by(RegionRow.judgement_id, RegionRow.position)
        )
        for row, content in session.execute(query):
            vertices = tuple((x, y) for x, y in json.loads(row.vertices))
            regions[row.judgement_id].append(Region(RegionKind(row.kind), vertices, content))
    return {key: tuple(of_judgement) for key, of_judgement in regions.items()}


def _judgement(row: JudgementRow, verdict: Verdict, regions: tuple[Region, ...]) -> Judgement:
    return Judgement(
        reader=row.reader,
        image_id=row.image_id,
        concept=row.concept,
        verdict=verdict,
        confidence=row.confidence,
        note=row.note,
        regions=regions,
        seconds=row.seconds,
        reading=row.reading,
        blinded=row.blinded,
        origin=Origin(row.origin),
        kind=Kind(row.kind),
        at=datetime.fromisoformat(row.at),
        id=row.id,
        supersedes=row.supersedes,
    )
