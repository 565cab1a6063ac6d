"""Orders to train: who asked for a run to be started, stopped or resumed. The runs themselves are the pipeline's."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from concepts.errors import StoreError
from concepts.judgement import is_plain
from concepts.store.acts import looking, performing
from concepts.store.audit import Event, to_event
from concepts.store.persons import names_of
from concepts.store.roles import Action
from concepts.store.schema import EventRow
from concepts.store.store import Store

SUBJECT_LIMIT = 200


class RunOrder(StrEnum):
    """What is to be done about a run."""

    START = "start"
    STOP = "stop"
    RESUME = "resume"


def order_run(
    store: Store, actor: str, order: RunOrder | str, subject: str, *, details: Mapping[str, Any] | None = None, key: str
) -> None:
    """Enter an order about a run into the audit chain; whoever carries it out does so after this.

    Args:
        store: An open store.
        actor: Who orders.
        order: ``start``, ``stop`` or ``resume``.
        subject: The experiment's name, or the job.
        details: JSON; of a start, its settings.
        key: Chosen once for each submit; a repeat writes nothing.

    Raises:
        PermissionDeniedError: If the actor may not.
        StoreError: If there is no such order, or the subject is none.

    Example:
        >>> order_run(store, OPERATOR, RunOrder.START, "demo", key="1")
        >>> [(order.actor, order.subject, order.payload["order"]) for order in read_runs(store, OPERATOR)]
        [('operator', 'demo', 'start')]
    """
    if order not in set(RunOrder):
        raise StoreError(f"unknown order {order!r:.40}; allowed are {', '.join(RunOrder)}")
    if not 0 < len(subject) <= SUBJECT_LIMIT or not is_plain(subject):
        raise StoreError(f"an order needs a subject of 1 to {SUBJECT_LIMIT} characters (got {len(subject)})")
    payload = {"order": str(order), **(details or {})}
    with performing(store, actor, Action.ORDER_RUN, key=key, request={"subject": subject, **payload}) as act:
        if not act.is_repeat:
            act.record(subject, payload)


def read_runs(store: Store, actor: str, *, limit: int = 100) -> list[Event]:
    """List the latest orders, newest first; who may read them may read the runs and their reports.

    Raises:
        PermissionDeniedError: If the actor may not.

    Example:
        >>> read_runs(store, OPERATOR)
        []
    """
    with looking(store, actor, Action.READ_RUNS) as session:
        query = select(EventRow).where(EventRow.action == Action.ORDER_RUN).order_by(EventRow.seq.desc()).limit(limit)
        names = names_of(session)
        return [to_event(row, names) for row in session.scalars(query)]
