"""Law: what the store holds follows from its audit log alone.

Covered are images, sets with their rules and concepts and rows, accounts with their roles, judgements of every kind
with their regions, what was put aside, and releases with their status. Not in the log, by design: password hashes,
the bytes of masks and manifests (their digests are), embeddings, and times of writing.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import pytest
from fake_stores import live
from sqlalchemy import inspect, select

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR
from concepts.errors import StoreError
from concepts.store import audit
from concepts.store.check import check
from concepts.store.judgement_rows import JudgementRecord
from concepts.store.roles import Action
from concepts.store.schema import (
    AccountRoleRow,
    AccountRow,
    ConceptRow,
    ImageRow,
    JudgementRow,
    LaterRow,
    MaskRow,
    RegionRow,
    ReleaseRow,
    SetImageRow,
    SetRow,
)


@dataclass
class State:
    """What the tables hold, as plain values."""

    images: dict[str, Any] = field(default_factory=dict)
    sets: dict[str, Any] = field(default_factory=dict)
    concepts: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    rows: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    roles: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    disabled: set[str] = field(default_factory=set)
    judgements: dict[tuple[Any, ...], Any] = field(default_factory=dict)
    later: set[tuple[str, ...]] = field(default_factory=set)
    releases: dict[tuple[str, int], Any] = field(default_factory=dict)


def cell(record: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(record[name] for name in ("set_name", "image_id", "concept", "reader", "kind", "reading"))


def replayed(store) -> State:
    """The state that the events lead to, one after the other."""
    state = State()
    with store.reading() as session:
        for event in audit.history(session):
            replay_sets(state, event.action, event.payload)
            replay_people(state, event.action, event.payload)
            replay_judgements(state, event.action, event.payload)
    return state


def replay_sets(state: State, action: str, payload: dict[str, Any]) -> None:
    match action:
        case Action.ADD_IMAGES:
            state.images |= {row["id"]: row for row in payload["images"]}
        case Action.CREATE_SET | Action.UPDATE_SET:
            state.sets.setdefault(payload["set"]["name"], {}).update(payload["set"])
        case Action.ADD_CONCEPT:
            state.concepts[payload["concept"]["set_name"]].append(payload["concept"])
        case Action.ADD_TO_SET:
            state.rows[payload["set"]] += payload["images"]
        case Action.FREEZE | Action.IMPORT_RELEASE:
            release = payload["release"]
            state.releases[release["name"], release["version"]] = release | {"status": "frozen"}
        case Action.SUPERSEDE_RELEASE | Action.RETIRE_RELEASE:
            changed = payload["status"]
            state.releases[changed["name"], changed["version"]]["status"] = changed["status"]


def replay_people(state: State, action: str, payload: dict[str, Any]) -> None:
    match action:
        case Action.ADD_ACCOUNT | Action.SET_ROLES:
            state.roles[payload["account"]] = set(payload["roles"])
        case Action.SET_DISABLED:
            (state.disabled.add if payload["disabled"] else state.disabled.discard)(payload["account"])
    for reader in payload.get("readers", ()):
        state.roles[reader] = set()


def replay_judgements(state: State, action: str, payload: dict[str, Any]) -> None:
    if action == Action.SAVE_FOR_LATER:
        case = tuple(payload[name] for name in ("set_name", "reader", "concept", "image_id"))
        (state.later.add if payload["later"] else state.later.discard)(case)
    for record in payload.get("judgements", ()):
        state.judgements[cell(record)] = record
        if action in (Action.JUDGE, Action.JUDGE_MANY):
            state.later.discard(tuple(record[name] for name in ("set_name", "reader", "concept", "image_id")))


def stored(store) -> State:
    """The state that the tables hold."""
    state = State()
    with store.reading() as session:

        def every(table, *order):
            return session.scalars(select(table).order_by(*order)).all()

        def fields(row) -> dict[str, Any]:
            return {entry.columns[0].name: getattr(row, entry.key) for entry in inspect(type(row)).column_attrs}

        state.images = {row.id: fields(row) for row in every(ImageRow)}
        state.sets = {row.name: {k: v for k, v in fields(row).items() if k != "created"} for row in every(SetRow)}
        for row in every(ConceptRow, ConceptRow.position):
            state.concepts[row.set_name].append(fields(row))
        for row in every(SetImageRow, SetImageRow.position):
            state.rows[row.set_name].append(row.image_id)
        for row in every(AccountRow):
            if row.name != OPERATOR:
                given = session.scalars(select(AccountRoleRow.role).filter_by(account=row.name))
                state.roles[row.name] = set(given)
                state.disabled |= {row.name} if row.disabled else set()
        for row in every(JudgementRow, JudgementRow.id):
            regions = select(RegionRow).filter_by(judgement_id=row.id).order_by(RegionRow.position)
            record = JudgementRecord.of_row(row, session.scalars(regions)).to_json()
            state.judgements[cell(record)] = record
        state.later = {(row.set_name, row.reader, row.concept, row.image_id) for row in every(LaterRow)}
        for row in every(ReleaseRow):
            identity = {"name": row.name, "version": row.version, "digest": row.digest}
            manifest = sha256(row.manifest.encode()).hexdigest()
            state.releases[row.name, row.version] = identity | {"manifest": manifest, "status": row.status}
    return state


def assert_replay_gives_the_store(store) -> None:
    assert check(store).broken is None
    assert replayed(store) == stored(store)


def test_sets_accounts_judgements_adjudications_and_releases_follow_from_the_audit_log(filled):
    assert_replay_gives_the_store(filled)
    live(filled)
    assert_replay_gives_the_store(filled)
    held = stored(filled)
    assert {status["status"] for status in held.releases.values()} == {"frozen", "superseded", "retired"}
    assert {record["kind"] for record in held.judgements.values()} == {"reading", "first_look", "adjudication"}
    assert held.later == {("derm", "ann", "streaks", "image4")}
    with filled.reading() as session:
        drawn = {
            region["mask"] for record in held.judgements.values() for region in record["regions"] if region["mask"]
        }
        assert drawn <= set(session.scalars(select(MaskRow.digest)))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sets SET description = 'other'",
        "UPDATE set_concepts SET definition = 'other'",
        "UPDATE images SET age = 3",
        "DELETE FROM later_marks",
        "INSERT INTO account_roles (account, role) VALUES ('ann', 'admin')",
    ],
)
def test_a_change_past_the_log_is_seen_by_the_replay(filled, statement):
    live(filled)
    with filled.writing() as session:
        session.connection().exec_driver_sql(statement)
    assert replayed(filled) != stored(filled)


@pytest.mark.parametrize(
    "rule", [{"majority": 0.1}, {"minimum": 1}, {"majority": "a\nb"}, "majority", ["majority"], [], 0, {1: 2}]
)
def test_a_bad_rule_of_consensus_is_one_line_and_makes_no_set(store, rule):
    with pytest.raises(StoreError, match=r"rule of consensus: .*; its fields are minimum_readers, majority") as refused:
        curation.create_set(store, OPERATOR, "derm", consensus=rule, key="set")
    assert "\n" not in str(refused.value)
    assert ": : " not in str(refused.value)
    assert curation.list_sets(store, OPERATOR) == []
