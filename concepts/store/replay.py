"""Recompute from the chained events, one after the other, what the tables of a store must hold."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from concepts.store.audit import RECHAINED, Event
from concepts.store.persons import OPERATOR, PREFIX
from concepts.store.roles import Action

OPERATOR_ROLES = ("admin", "curator", "researcher", "reviewer")
"""The one account that no event made: a store begins with it."""
LATER_KEY = ("set_name", "reader", "concept", "image_id")
Row = dict[str, Any]


@dataclass
class State:
    """What the tables must hold: by table and key, the columns that the events tell.

    A column that the events of an older Dermaxis do not tell is missing from its row.

    Attributes:
        rows: By name of the table, then by key.
        seqs: By the same, the newest event that wrote the row.
    """

    rows: dict[str, dict[tuple[Any, ...], Row]] = field(default_factory=lambda: defaultdict(dict))
    seqs: dict[tuple[str, tuple[Any, ...]], int] = field(default_factory=dict)

    def put(self, seq: int, table: str, key: tuple[Any, ...], row: Mapping[str, Any]) -> None:
        """Write a row, or columns of it."""
        self.rows[table].setdefault(key, {}).update(row)
        self.seqs[table, key] = seq

    def remove(self, seq: int, table: str, key: tuple[Any, ...]) -> None:
        """Remove a row, if it is there."""
        self.rows[table].pop(key, None)
        self.seqs[table, key] = seq


def replayed(events: Iterable[Event]) -> State:
    """Return the state that events lead to.

    Raises:
        LookupError: If an event changes what no event before it made.
    """
    state = State()
    state.put(0, "accounts", (OPERATOR,), _person(OPERATOR, password=None, salt=None) | {"disabled": False})
    _set_roles(state, 0, OPERATOR, OPERATOR_ROLES)
    for event in events:
        _replay_sets(state, event)
        _replay_people(state, event)
        _replay_judgements(state, event)
        _replay_releases(state, event)
        _replay_networks(state, event)
        _replay_act(state, event)
    return state


def _replay_sets(state: State, event: Event) -> None:
    payload, seq = event.payload, event.seq
    match event.action:
        case Action.ADD_IMAGES:
            for row in payload["images"]:
                state.put(seq, "images", (row["id"],), row)
        case Action.CREATE_SET | Action.UPDATE_SET:
            state.put(seq, "sets", (payload["set"]["name"],), payload["set"] | _told(payload, "created"))
        case Action.ADD_TO_SET:
            name = payload["set"]
            before = sum(key[0] == name for key in state.rows["set_images"]) if payload["images"] else 0
            for position, image in enumerate(payload["images"], start=before + 1):
                row = {"set_name": name, "image_id": image, "position": position}
                state.put(seq, "set_images", (name, image), row)
        case Action.ADD_CONCEPT | Action.PROPOSE_CONCEPT if payload["concept"] is not None:
            row = payload["concept"]
            state.put(seq, "set_concepts", (row["set_name"], row["id"]), row)


def _replay_people(state: State, event: Event) -> None:
    payload, seq = event.payload, event.seq
    for position, name in enumerate(payload.get("readers", ())):
        salted = {"salt": payload["names"][position]} if "names" in payload else {}
        row = {**_person(name, password=None), "disabled": False, **salted, **_told(payload, "created")}
        state.put(seq, "accounts", (name,), row)
    name = payload.get("account")
    match event.action:
        case Action.ADD_ACCOUNT:
            salted = {"salt": payload["name"]} if "name" in payload else {}
            row = {"disabled": False, **salted, **_told(payload, "created")}
            row |= _person(str(name)) | _password(payload["password"])
            state.put(seq, "accounts", (name,), row)
            _set_roles(state, seq, str(name), payload["roles"])
        case Action.SET_ROLES:
            _set_roles(state, seq, str(name), payload["roles"])
        case Action.SET_PASSWORD:
            state.rows["accounts"][name,].pop("password", None)
            state.put(seq, "accounts", (name,), _password(payload.get("password", True)))
        case Action.SET_DISABLED:
            state.put(seq, "accounts", (name,), {"disabled": payload["disabled"]})
        case Action.FORGET_PERSON:
            _set_roles(state, seq, str(name), ())
            state.put(seq, "accounts", (name,), {"disabled": True, "password": None, "salt": None})
    if event.action == RECHAINED:
        for name, digest in payload["names"].items():
            state.put(seq, "accounts", (name,), {"salt": digest})


def _person(name: str, **columns: None) -> Row:
    """Return the columns of an account that follow from what the chain calls it."""
    return {"name": name, "number": int(name.removeprefix(PREFIX)) if name != OPERATOR else 0, **columns}


def _set_roles(state: State, seq: int, name: str, roles: Iterable[str]) -> None:
    for key in [key for key in state.rows["account_roles"] if key[0] == name]:
        state.remove(seq, "account_roles", key)
    for role in roles:
        state.put(seq, "account_roles", (name, role), {"account": name, "role": role})


def _password(told: str | bool | None) -> Row:
    """Return what an event says of a password: the digest of its hash, or (older events) only whether there is one."""
    return {"password": None} if not told else {} if told is True else {"password": told}


def _replay_judgements(state: State, event: Event) -> None:
    payload, seq = event.payload, event.seq
    if event.action == Action.SAVE_FOR_LATER:
        key = tuple(payload[name] for name in LATER_KEY)
        state.remove(seq, "later_marks", key)
        if payload["later"]:
            state.put(seq, "later_marks", key, dict(zip(LATER_KEY, key, strict=True)) | _told(payload, "at"))
    for record in payload.get("judgements", ()):
        number = (record["id"],)
        columns = {name: value for name, value in record.items() if name != "regions"}
        state.put(seq, "judgements", number, columns | {"superseded_by": None})
        if record["supersedes"] is not None:
            state.rows["judgements"][record["supersedes"],]["superseded_by"] = record["id"]
            state.seqs["judgements", (record["supersedes"],)] = seq
        for position, region in enumerate(record["regions"]):
            row = {"judgement_id": record["id"], "position": position, **region}
            state.put(seq, "regions", (record["id"], position), row)
            if region["mask"] is not None:
                state.put(seq, "masks", (region["mask"],), {"digest": region["mask"], "content": region["mask"]})
        if event.action in (Action.JUDGE, Action.JUDGE_MANY):
            state.remove(seq, "later_marks", tuple(record[name] for name in LATER_KEY))
    if "review" in payload:
        state.put(seq, "case_reviews", (payload["review"]["id"],), payload["review"])


def _replay_releases(state: State, event: Event) -> None:
    payload, seq = event.payload, event.seq
    match event.action:
        case Action.FREEZE | Action.IMPORT_RELEASE:
            row = payload["release"] | {"status": "frozen", "by": event.actor} | _told(payload, "at")
            state.put(seq, "releases", (row["name"], row["version"]), row)
            for digest in payload.get("masks", ()):
                state.put(seq, "masks", (digest,), {"digest": digest, "content": digest})
        case Action.SUPERSEDE_RELEASE | Action.RETIRE_RELEASE:
            changed = payload["status"]
            state.put(seq, "releases", (changed["name"], changed["version"]), {"status": changed["status"]})


def _replay_networks(state: State, event: Event) -> None:
    payload, seq = event.payload, event.seq
    match event.action:
        case Action.RECORD_EMBEDDINGS:
            for image, digest in payload.get("vectors", {}).items():
                row = {"run": payload["run"], "image_id": image, "vector": digest}
                state.put(seq, "embeddings", (payload["run"], image), row)
        case Action.RECORD_SUSPICION | Action.PROPOSE_CONCEPT:
            is_proposed = event.action == Action.PROPOSE_CONCEPT
            concept = event.subject.removeprefix(f"{payload['set']}/") if is_proposed else payload["concept"]
            for image, value in payload["values"].items():
                key = (payload["run"], concept, image)
                if key not in state.rows["suspicions"]:
                    row = {"run": payload["run"], "concept": concept, "image_id": image, "value": value}
                    state.put(seq, "suspicions", key, row)


def _replay_act(state: State, event: Event) -> None:
    if event.act is not None:
        row = {"actor": event.actor, "action": event.action, "seq": event.seq, **event.act}
        state.put(event.seq, "acts", (event.actor, event.act["key"]), row)


def _told(payload: Mapping[str, Any], name: str) -> Row:
    return {name: payload[name]} if name in payload else {}
