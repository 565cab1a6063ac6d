"""The screen on which admins keep accounts: what it does, and that nobody else can."""

import pytest

from clinician_ui import phrasing
from clinician_ui.screens import accounts
from clinician_ui.workplace import Reader
from concepts.curation.accounts import OPERATOR, find_account, list_accounts, sign_in
from concepts.errors import PermissionDeniedError
from concepts.store.audit import history
from concepts.store.roles import Role


def press(app, label: str):
    next(button for button in app.button if button.label == label).click()
    return app.run()


def roles_of(store, name: str) -> set[Role]:
    return set(next(account for account in list_accounts(store, OPERATOR) if account.name == name).roles)


def test_an_account_is_added_with_a_password_that_is_shown_once_and_kept_nowhere(open_page, store_and_images):
    app = open_page("accounts", "adm")
    app.text_input(key=accounts.NEW_NAME).input("zoe")
    app.multiselect(key=accounts.NEW_ROLES).set_value([Role.ANNOTATOR, Role.CURATOR])
    app = press(app, "Add it")
    assert not app.exception
    (password,) = [code.value for code in app.code]
    assert sign_in(store_and_images[0], "zoe", password).roles == {Role.ANNOTATOR, Role.CURATOR}
    assert not app.run().code
    assert password not in repr(app.session_state)
    with store_and_images[0].reading() as session:
        assert not any(password in str(event) for event in history(session))


def test_roles_password_and_being_shut_out(open_page, store_and_images):
    store, app = store_and_images[0], open_page("accounts", "adm")
    app = app.selectbox(key=accounts.ACCOUNT).set_value("ben").run()
    app.multiselect(key=f"{accounts.ROLES} ben").set_value([Role.REVIEWER])
    app = press(app, "Set these roles")
    assert roles_of(store, "ben") == {Role.REVIEWER}
    app = press(app, "New password")
    first = app.code[0].value
    app = press(app, "New password")
    assert sign_in(store, "ben", first) is None
    assert sign_in(store, "ben", app.code[0].value) is not None
    app = press(app, "Disable it")
    assert find_account(store, "ben") is None
    press(app, "Enable it")
    assert find_account(store, "ben") is not None


def test_what_the_store_refuses_is_said_and_nothing_changes(open_page, store_and_images):
    app = open_page("accounts", "adm")
    app.text_input(key=accounts.NEW_NAME).input("ann")
    app = press(app, "Add it")
    assert "already" in app.error[0].value
    assert not app.code
    app = app.selectbox(key=accounts.ACCOUNT).set_value("adm").run()
    app = press(app, "Disable it")
    assert "ask another admin" in app.error[0].value
    app.multiselect(key=f"{accounts.ROLES} adm").set_value([Role.ANNOTATOR])
    app = press(app, "Set these roles")
    assert "another admin" in app.error[0].value
    assert roles_of(store_and_images[0], "adm") == {Role.ADMIN}


@pytest.mark.parametrize("name", ["ann", "eve", "cur", "rev", "res"])
def test_who_is_no_admin_can_do_none_of_it(name, open_page, store_and_images):
    app = open_page("accounts", name)
    assert not app.button
    assert "needs a role that you do not have" in app.error[0].value
    intruder = Reader(find_account(store_and_images[0], name), store_and_images[0])
    for act in (accounts._new_password, lambda reader, name: accounts._set_disabled(reader, name, True)):
        with pytest.raises(PermissionDeniedError):
            act(intruder, "ben")
    assert find_account(store_and_images[0], "ben") is not None


def test_names_of_accounts_stay_text(open_page, store_and_images):
    accounts.door.add_account(store_and_images[0], "adm", "<b>bold</b>", [Role.ANNOTATOR], key="bold")
    text = " ".join(html.proto.body for html in open_page("accounts", "adm").get("html"))
    assert phrasing.html("<b>bold</b>") in text
    assert "<b>bold" not in text
