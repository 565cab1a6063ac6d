"""Accounts of readers and everyone else: names, roles, passwords (Argon2id). Nobody judges without one."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from concepts.errors import StoreError
from concepts.judgement import is_plain
from concepts.store.acts import Act, looking, performing
from concepts.store.audit import now
from concepts.store.persons import add_person
from concepts.store.roles import Action, Role
from concepts.store.schema import AccountRoleRow, AccountRow
from concepts.store.store import Store

OPERATOR = "operator"
"""The account that the command line acts as, for whoever has the database's address; it cannot sign in."""
NAME_LIMIT = 100
PASSWORD_LENGTHS = (10, 1000)
HASHER = PasswordHasher()


@dataclass(frozen=True, slots=True)
class Account:
    """Someone who may do something.

    Attributes:
        name: Unique.
        roles: What they may be.
        disabled: Whether they are shut out.
        can_sign_in: Whether there is a password; sources that stand in for readers have none.
    """

    name: str
    roles: frozenset[Role]
    disabled: bool
    can_sign_in: bool


def add_account(
    store: Store, actor: str, name: str, roles: Collection[Role], *, password: str | None = None, key: str
) -> None:
    """Make an account.

    Args:
        store: An open store.
        actor: An admin.
        name: Of the account; unique.
        roles: One or more.
        password: At least ten characters; None for an account that signs in elsewhere (OIDC) or not at all.
        key: One for each submit.

    Raises:
        PermissionDeniedError: If the actor is no admin.
        StoreError: If the name is taken or not allowed, or the password too short.

    Example:
        >>> add_account(store, OPERATOR, "dora", [Role.CURATOR], password="a long password", key="1")
        >>> sign_in(store, "dora", "a long password").roles == {Role.CURATOR}
        True
    """
    _check_name(name)
    digest = None if password is None else _digest(password)
    granted = sorted(set(roles))
    with performing(store, actor, Action.ADD_ACCOUNT, key=key, request=[name, granted]) as act:
        if act.is_repeat:
            return
        if act.session.get(AccountRow, name) is not None:
            raise StoreError(f"an account {name!r} already exists; choose another name")
        created = now()
        person = add_person(act.session, name, password=digest, created=created)
        _give_roles(act.session, name, granted)
        told = {"account": name, "roles": granted, "password": _told(digest), **person}
        act.record(name, told)


def set_roles(store: Store, actor: str, name: str, roles: Collection[Role], *, key: str) -> None:
    """Give an account these roles and no others.

    Raises:
        PermissionDeniedError: If the actor is no admin.
        StoreError: If there is no such account, it is the operator's, or admins would give up their own role.

    Example:
        >>> set_roles(store, OPERATOR, "ann", [Role.ANNOTATOR, Role.CURATOR], key="1")
        >>> sorted(find_account(store, "ann").roles)
        [<Role.ANNOTATOR: 'annotator'>, <Role.CURATOR: 'curator'>]
    """
    granted = sorted(set(roles))
    with performing(store, actor, Action.SET_ROLES, key=key, request=[name, granted]) as act:
        if not act.is_repeat:
            _refuse_unknown(act, name)
            if name == actor and Role.ADMIN not in granted:
                raise StoreError(f"{actor!r:.80} cannot give up their own admin role; ask another admin")
            act.session.execute(delete(AccountRoleRow).filter_by(account=name))
            _give_roles(act.session, name, granted)
            act.record(name, {"account": name, "roles": granted})


def set_password(store: Store, actor: str, name: str, password: str, *, key: str) -> None:
    """Give an account a new password.

    Raises:
        PermissionDeniedError: If the actor is no admin.
        StoreError: If there is no such account, it is the operator's, or the password is too short.

    Example:
        >>> set_password(store, OPERATOR, "ann", "a long password", key="1")
        >>> sign_in(store, "ann", "a long password").name
        'ann'
    """
    digest = _digest(password)
    with performing(store, actor, Action.SET_PASSWORD, key=key, request=[name]) as act:
        if not act.is_repeat:
            _refuse_unknown(act, name)
            act.session.execute(update(AccountRow).filter_by(name=name).values(password=digest))
            act.record(name, {"account": name, "password": _told(digest)})


def set_disabled(store: Store, actor: str, name: str, *, disabled: bool, key: str) -> None:
    """Shut an account out, or let it in again; what it judged stays.

    Raises:
        PermissionDeniedError: If the actor is no admin.
        StoreError: If there is no such account, or it is the operator's or the actor's own.

    Example:
        >>> set_disabled(store, OPERATOR, "ann", disabled=True, key="1")
        >>> find_account(store, "ann") is None
        True
    """
    with performing(store, actor, Action.SET_DISABLED, key=key, request=[name, disabled]) as act:
        if not act.is_repeat:
            _refuse_unknown(act, name)
            if name == actor:
                raise StoreError(f"{actor!r:.80} cannot disable their own account; ask another admin")
            act.session.execute(update(AccountRow).filter_by(name=name).values(disabled=disabled))
            act.record(name, {"account": name, "disabled": disabled})


def list_accounts(store: Store, actor: str) -> list[Account]:
    """List all accounts, by name.

    Raises:
        PermissionDeniedError: If the actor is no admin.

    Example:
        >>> [account.name for account in list_accounts(store, OPERATOR)]
        ['ann', 'ben', 'eve', 'operator']
    """
    with looking(store, actor, Action.LIST_ACCOUNTS) as session:
        return [_account(session, row) for row in session.scalars(select(AccountRow).order_by(AccountRow.name))]


def sign_in(store: Store, name: str, password: str) -> Account | None:
    """Return the account of a name and its password, or None; a wrong name takes as long as a wrong password."""
    with store.reading() as session:
        row = session.get(AccountRow, name) if is_plain(name) else None
        password_digest = row.password if row is not None and not row.disabled else None
        matches = _matches(password_digest or _decoy(), password)
        return _account(session, row) if row is not None and password_digest and matches else None


def find_account(store: Store, name: str) -> Account | None:
    """Return the account of a name that was proven elsewhere (OIDC); None where there is none or it is disabled."""
    with store.reading() as session:
        row = session.get(AccountRow, name) if is_plain(name) else None
        return _account(session, row) if row is not None and not row.disabled and name != OPERATOR else None


def _account(session: Session, row: AccountRow) -> Account:
    roles = session.scalars(select(AccountRoleRow.role).filter_by(account=row.name))
    return Account(row.name, frozenset(map(Role, roles)), row.disabled, row.password is not None)


def _give_roles(session: Session, name: str, roles: Collection[Role]) -> None:
    for role in roles:
        session.execute(insert(AccountRoleRow).values(account=name, role=role))


def _refuse_unknown(act: Act, name: str) -> None:
    if name == OPERATOR:
        raise StoreError(f"the account {OPERATOR!r} belongs to the command line and stays as it is")
    if act.session.get(AccountRow, name) is None:
        raise StoreError(f"there has no account {name!r:.80}; see 'dermaxis accounts list'")


def _check_name(name: str) -> None:
    if not 0 < len(name) <= NAME_LIMIT or not name.isprintable() or name != name.strip():
        raise StoreError(f"an account's name has 1 to {NAME_LIMIT} printable characters and no space at either end")


def _digest(password: str) -> str:
    shortest, longest = PASSWORD_LENGTHS
    if not shortest <= len(password) <= longest:
        raise StoreError(f"a password has {shortest} to {longest} characters (got {len(password)})")
    return HASHER.hash(password)


def _told(digest: str | None) -> str | None:
    """Return what the audit log says of a password: a digest of its salted hash, which tells nothing of either."""
    return sha256(digest.encode()).hexdigest() if digest else None


def _matches(digest: str, password: str) -> bool:
    try:
        return HASHER.verify(digest, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def _decoy() -> str:
    return HASHER.hash("no password of anyone")
