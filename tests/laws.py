"""Laws that several tests state, each written once."""

from pathlib import Path

from sqlalchemy import select

from concepts.release import Release, read_release, write_release
from concepts.store import audit
from concepts.store.check import check
from concepts.store.schema import JudgementRow
from concepts.store.store import Store


def assert_nothing_lost(store: Store) -> None:
    """Replaying the audit log gives the current judgements; numbers have no gaps; each correction knows its target."""
    assert check(store).broken is None
    current: dict[tuple[object, ...], dict[str, object]] = {}
    with store.reading() as session:
        for event in audit.history(session):
            for record in event.payload.get("judgements", ()):
                cell = tuple(record[name] for name in ("image_id", "concept", "reader", "kind", "reading"))
                before = current.get(cell)
                assert record["supersedes"] == (before["id"] if before else None)
                current[cell] = record
        stored = session.scalars(select(JudgementRow).filter_by(superseded_by=None)).all()
        assert {row.id for row in stored} == {record["id"] for record in current.values()}
        written = session.scalars(select(JudgementRow).order_by(JudgementRow.id)).all()
    assert [row.id for row in written] == list(range(1, len(written) + 1))
    by_id = {row.id: row for row in written}
    assert all(by_id[row.supersedes].superseded_by == row.id for row in written if row.supersedes)


def assert_release_reads_back(release: Release, folder: Path) -> None:
    """Written, then read, a release is the same, digest and all; nothing else is left in the folder."""
    path = folder / "release.json"
    write_release(release, path)
    back = read_release(path)
    assert back == release
    assert back.digest == release.digest
    assert [file.name for file in folder.iterdir()] == ["release.json"]
