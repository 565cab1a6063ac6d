"""Signing in with an organisation: a real OIDC flow with a provider on this machine, in a real Chromium."""

import pytest

from clinician_ui import account_phrasing
from concepts.curation import door
from concepts.curation.accounts import OPERATOR, add_account, set_disabled
from concepts.store.roles import Role

# The provider is written for an older Authlib, and says so.
pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
MEMBER, FALSE, STRANGER = "ann@clinic.example", "not verified", "stranger@clinic.example"


@pytest.fixture
def provider():
    """An OIDC provider that vouches for the address of one person, and lets another claim it."""
    mock = pytest.importorskip("oidc_provider_mock", reason="oidc-provider-mock absent: OIDC is NOT tested")
    users = [
        mock.User(sub=MEMBER, claims={"email": MEMBER, "email_verified": True}),
        mock.User(sub=FALSE, claims={"email": MEMBER, "email_verified": False}),
        mock.User(sub=STRANGER, claims={"email": STRANGER, "email_verified": True}),
    ]
    with mock.run_server_in_thread(user_claims=users) as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def tool(provider, store_and_images, serve, free_port, tmp_path) -> str:
    """The address of the tool, set up for the provider as docs/how-to/set-up.md says."""
    add_account(store_and_images[0], OPERATOR, MEMBER, [Role.ANNOTATOR], key="of the organisation")
    (tmp_path / ".streamlit").mkdir()
    (tmp_path / ".streamlit" / "secrets.toml").write_text(
        "[auth]\n"
        f'redirect_uri = "http://localhost:{free_port}/oauth2callback"\n'
        f'cookie_secret = "{"secret of the tests" * 3}"\n'
        'client_id = "dermaxis"\n'
        'client_secret = "secret"\n'
        f'server_metadata_url = "{provider}/.well-known/openid-configuration"\n'
    )
    return serve(free_port)


def enter(chromium, tool: str, who: str, page: str):
    tab = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    tab.set_default_timeout(90_000)
    tab.goto(f"{tool}/{page}")
    tab.get_by_role("button", name="Sign in with your organisation").click()
    tab.get_by_role("button", name=who, exact=True).click()
    tab.wait_for_url(f"{tool}/**")
    return tab


def test_whom_the_organisation_vouches_for_judges_as_their_account_and_signs_out(chromium, tool, store_and_images):
    tab = enter(chromium, tool, MEMBER, "curate?set=derm")
    tab.goto(f"{tool}/curate?set=derm")
    tab.locator(".stage img:not(.waits)").wait_for()
    tab.wait_for_timeout(300)
    tab.keyboard.press("p")
    tab.locator('.stage img:not(.waits)[alt$="lesion01"]').wait_for()
    (kept,) = door.read_judgements(store_and_images[0], OPERATOR, "derm")
    assert (kept.reader, kept.image_id) == (MEMBER, "lesion00")
    set_disabled(store_and_images[0], OPERATOR, MEMBER, disabled=True, key="out")
    tab.reload()
    tab.get_by_role("button", name="Sign out of the organisation").click()
    # The provider asks before it ends its own session, too.
    tab.wait_for_url("**/oauth2/end_session**")
    tab.goto(f"{tool}/curate?set=derm")
    tab.get_by_role("button", name="Sign in with your organisation").wait_for()
    assert len(door.read_judgements(store_and_images[0], OPERATOR, "derm")) == 1


@pytest.mark.parametrize("who", [FALSE, STRANGER])
def test_an_address_that_nobody_vouches_for_or_that_has_no_account_opens_nothing(chromium, tool, who):
    tab = enter(chromium, tool, who, "curate?set=derm")
    tab.get_by_text(account_phrasing.UNKNOWN_HERE[:60]).wait_for()
    assert tab.locator(".stage img").count() == 0
