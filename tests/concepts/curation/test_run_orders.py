"""Orders about runs: kept once, by whom; anything else is no order."""

import pytest

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR, add_account
from concepts.curation.run_orders import RunOrder
from concepts.errors import PermissionDeniedError, StoreError
from concepts.store.roles import Role


@pytest.fixture
def staffed(filled):
    for role in (Role.RESEARCHER, Role.REVIEWER):
        add_account(filled, OPERATOR, str(role), [role], key=f"account {role}")
    return filled


def test_an_order_is_kept_once_with_all_that_was_ordered(staffed):
    for _ in range(2):
        curation.order_run(staffed, "researcher", RunOrder.START, "phantom", details={"settings": "seed: 1"}, key="k")
    curation.order_run(staffed, "researcher", "stop", "phantom-1", key="s")
    orders = curation.read_runs(staffed, "reviewer")
    assert [(one.actor, one.subject, one.payload["order"]) for one in orders] == [
        ("researcher", "phantom-1", "stop"),
        ("researcher", "phantom", "start"),
    ]
    assert orders[1].payload["settings"] == "seed: 1"


def test_a_reviewer_reads_runs_and_orders_none(staffed):
    with pytest.raises(PermissionDeniedError, match="it needs: researcher, admin"):
        curation.order_run(staffed, "reviewer", RunOrder.STOP, "phantom-1", key="k")


@pytest.mark.parametrize(
    ("order", "subject"), [("delete", "x"), ("start", ""), ("start", "x" * 201), ("stop", "a\x00")]
)
def test_what_is_no_order_is_refused(staffed, order, subject):
    with pytest.raises(StoreError):
        curation.order_run(staffed, "researcher", order, subject, key="k")
