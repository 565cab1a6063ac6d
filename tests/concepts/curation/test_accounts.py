import pytest

from concepts.curation.accounts import (
    OPERATOR,
    add_account,
    find_account,
    list_accounts,
    set_disabled,
    set_password,
    set_roles,
    sign_in,
)
from concepts.errors import StoreError
from concepts.store.audit import history
from concepts.store.roles import Role

WORD = "correct horse battery"


def add(store, name: str = "dora", **fields: object) -> None:
    add_account(store, OPERATOR, name, [Role.CURATOR, Role.ANNOTATOR], **{"password": WORD, "key": name, **fields})


def test_an_account_signs_in_with_its_password_only(store):
    add(store)
    account = sign_in(store, "dora", WORD)
    assert (account.name, account.roles) == ("dora", {Role.CURATOR, Role.ANNOTATOR})
    for name, word in (("dora", WORD + " "), ("dora", ""), ("Dora", WORD), ("nobody", WORD), ("dora\x00", WORD)):
        assert sign_in(store, name, word) is None


def test_a_new_password_replaces_the_old_one(store):
    add(store)
    set_password(store, OPERATOR, "dora", "another long one", key="p")
    assert sign_in(store, "dora", WORD) is None
    assert sign_in(store, "dora", "another long one") is not None


def test_who_is_disabled_stays_out(store):
    add(store)
    set_disabled(store, OPERATOR, "dora", disabled=True, key="d")
    assert sign_in(store, "dora", WORD) is None
    assert find_account(store, "dora") is None
    set_disabled(store, OPERATOR, "dora", disabled=False, key="e")
    assert find_account(store, "dora").name == "dora"


def test_the_operator_cannot_sign_in_or_be_changed(store):
    assert find_account(store, OPERATOR) is None
    assert sign_in(store, OPERATOR, "") is None
    assert Role.ANNOTATOR not in next(a for a in list_accounts(store, OPERATOR) if a.name == OPERATOR).roles
    with pytest.raises(StoreError, match="command line"):
        set_password(store, OPERATOR, OPERATOR, WORD, key="p")
    with pytest.raises(StoreError, match="command line"):
        set_roles(store, OPERATOR, OPERATOR, list(Role), key="r")


@pytest.mark.parametrize("name", ["", "a" * 101, " a", "a\n", "\x00"])
def test_names_that_would_mislead_are_refused(store, name):
    with pytest.raises(StoreError, match="printable"):
        add(store, name, key="k")


def test_short_passwords_and_taken_names_are_refused(store):
    with pytest.raises(StoreError, match="10 to"):
        add(store, password="short")
    add(store)
    with pytest.raises(StoreError, match="already"):
        add(store, key="second")


def test_no_password_and_no_hash_reaches_the_audit_log(store):
    add(store)
    set_password(store, OPERATOR, "dora", WORD * 2, key="p")
    with store.reading() as session:
        log = "".join(str(event) for event in history(session))
    assert WORD not in log
    assert "argon2" not in log
