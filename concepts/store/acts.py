"""How anything is asked of the store: who may, once only, and with an entry in the audit chain.

Every use case that writes does so inside `performing`, every one that reads inside `looking`.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from concepts.errors import PermissionDeniedError, StoreError
from concepts.judgement import is_plain
from concepts.release import canonical_json
from concepts.store import audit
from concepts.store.roles import Action, Role, require
from concepts.store.schema import AccountRoleRow, AccountRow, ActRow, table
from concepts.store.store import Store

KEY_LIMIT = 200
ROLES = "roles"
ACTS = table(ActRow)
EARLIER = select(ACTS.c.action, ACTS.c.request, ACTS.c.result).where(
    ACTS.c.actor == bindparam("by"), ACTS.c.key == bindparam("named")
)
KEEP = insert(ACTS)
ACCOUNTS, ROLE_ROWS = table(AccountRow), table(AccountRoleRow)
ROLES_OF = (
    select(ACCOUNTS.c.disabled, ROLE_ROWS.c.role)
    .outerjoin_from(ACCOUNTS, ROLE_ROWS, ROLE_ROWS.c.account == ACCOUNTS.c.name)
    .where(ACCOUNTS.c.name == bindparam("called"))
)


@dataclass
class Act:
    """A write in progress.

    Attributes:
        session: Its transaction.
        actor: Who does it.
        key: The sender's name for it.
        is_repeat: Whether it was done before; then nothing must be written, and ``result`` is the answer of then.
        result: What came of it; JSON.
    """

    session: Session
    actor: str
    action: Action
    key: str
    request: str
    is_repeat: bool = False
    result: Any = None
    _is_recorded: bool = field(default=False, repr=False)

    def record(self, subject: str, payload: Mapping[str, Any], *, result: Any = None) -> None:  # noqa: ANN401  # JSON
        """Enter the act into the audit chain and keep its answer for repeats.

        Args:
            subject: On what.
            payload: JSON; all that was written.
            result: JSON; the answer.
        """
        self.session.flush()
        # Not the digest of the request: it may be one of a name, and so could be guessed for ever.
        told = {"key": self.key, "result": result}
        content = {**payload, audit.ACT: told}
        seq = audit.append(self.session, self.actor, self.action, subject=subject, payload=content)
        answer = canonical_json(result).decode()
        values = {"actor": self.actor, "key": self.key, "action": self.action, "request": self.request, "seq": seq}
        self.session.execute(KEEP, values | {"result": answer})
        self.result = json.loads(answer)
        self._is_recorded = True


@contextmanager
def performing(
    store: Store,
    actor: str,
    action: Action,
    *,
    key: str,
    request: Any,  # noqa: ANN401  # JSON
) -> Iterator[Act]:
    """Do something in the store: all of it, once, by someone who may.

    Args:
        store: An open store.
        actor: Name of the account.
        action: What is to be done.
        key: Chosen by the sender, once for each submit: a repeat with the same key writes nothing.
        request: All that is asked for, as JSON; a repeat must ask for the same.

    Raises:
        PermissionDeniedError: If the actor may not.
        StoreError: If the key was used for something else, or the database refuses.
    """
    if not 0 < len(key) <= KEY_LIMIT or not is_plain(key):
        raise StoreError(
            f"an act needs a key of 1 to {KEY_LIMIT} characters (got {len(key)}); make one for each submit"
        )
    asked = sha256(canonical_json(request)).hexdigest()
    with store.writing() as session:
        require(actor, roles_of(session, actor), action)
        act = _begin(session, actor, action, key=key, request=asked)
        yield act
        if not act.is_repeat and not act._is_recorded:
            raise StoreError(
                f"{action} ended without an entry in the audit chain, so nothing was written; please report this"
            )


@contextmanager
def looking(store: Store, actor: str, action: Action) -> Iterator[Session]:
    """Read from the store, by someone who may.

    Raises:
        PermissionDeniedError: If the actor may not.
    """
    with store.reading() as session:
        roles = roles_of(session, actor)
        require(actor, roles, action)
        # It sees one state throughout: what was asked of it once need not be asked again.
        session.info[ROLES, actor] = roles
        yield session


def roles_of(session: Session, actor: str) -> frozenset[Role]:
    """Return the roles of an account.

    Raises:
        PermissionDeniedError: If there is no such account, or it is disabled.
    """
    remembered: frozenset[Role] | None = session.info.get((ROLES, actor))
    if remembered is not None:
        return remembered
    rows = session.execute(ROLES_OF, {"called": actor}).all() if is_plain(actor) else []
    if not rows or rows[0].disabled:
        state = "is disabled" if rows else "has no account"
        raise PermissionDeniedError(f"{actor!r:.80} {state}; ask an admin: dermaxis accounts add NAME --role ROLE")
    return frozenset(Role(row.role) for row in rows if row.role is not None)


def _begin(session: Session, actor: str, action: Action, *, key: str, request: str) -> Act:
    act = Act(session, actor, action, key, request)
    earlier = session.execute(EARLIER, {"by": actor, "named": key}).first()
    if earlier is not None:
        if (earlier.action, earlier.request) != (action, request):
            raise StoreError(f"key {key!r} was used for another {earlier.action}; give each submit a key of its own")
        act.is_repeat, act.result = True, json.loads(earlier.result)
    return act
