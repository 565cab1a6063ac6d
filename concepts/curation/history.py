"""Who did what: the audit chain as those see it who may."""

from sqlalchemy import select

from concepts.store.acts import looking
from concepts.store.audit import Event, to_event
from concepts.store.persons import names_of
from concepts.store.roles import Action
from concepts.store.schema import EventRow
from concepts.store.store import Store


def history(
    store: Store,
    actor: str,
    *,
    by: str | None = None,
    action: Action | None = None,
    subject: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Event]:
    """List the latest acts, newest first.

    Args:
        store: An open store.
        actor: Who looks.
        by: Only acts of this account.
        action: Only acts of this kind.
        subject: Only acts on subjects that begin so, e.g. a set's name.
        before: Only events before this number, to turn the page.
        limit: At most so many.

    Raises:
        PermissionDeniedError: If the actor's roles do not allow it.

    Example:
        >>> newest = history(store, OPERATOR, by="ben", limit=1)[0]
        >>> newest.actor, newest.action, newest.subject
        ('ben', 'judge', 'derm/streaks/image1')
    """
    with looking(store, actor, Action.HISTORY) as session:
        names = names_of(session)
        called = {name: number for number, name in names.items()}
        query = select(EventRow).order_by(EventRow.seq.desc()).limit(limit)
        if by is not None:
            query = query.where(EventRow.actor == called.get(by, by))
        if action is not None:
            query = query.where(EventRow.action == action)
        if subject is not None:
            query = query.where(EventRow.subject.startswith(called.get(subject, subject), autoescape=True))
        if before is not None:
            query = query.where(EventRow.seq < before)
        return [to_event(row, names) for row in session.scalars(query)]
