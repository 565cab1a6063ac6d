"""Signing in, its end, and images that only a signed address opens."""

import asyncio
from urllib.parse import urlencode, urlsplit

import pytest
from PIL import Image
from starlette.applications import Starlette

from clinician_ui.image_files import image_content, image_url
from clinician_ui.routes import SIGN_IN, SIGN_OUT, routes
from clinician_ui.sessions import FREE_FAILURES, IDLE_SECONDS, LONGEST_SECONDS, PAUSE_SECONDS, Sessions
from concepts.curation.accounts import OPERATOR, set_password
from concepts.errors import ImageError

PASSWORD = "correct horse"
OURS = {"host": "tool:1", "origin": "http://tool:1"}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sessions(clock):
    return Sessions(clock)


def ask(app, method: str, address: str, *, headers=None, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """One request to an ASGI application."""
    parts, sent = urlsplit(address), []
    scope = {
        "type": "http",
        "method": method,
        "path": parts.path,
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
    }

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    received = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], received, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.fixture
def app(store_and_images, sessions):
    store, folder = store_and_images
    set_password(store, OPERATOR, "ann", PASSWORD, key="password")
    return Starlette(routes=routes(lambda: store, folder, runs=folder, sessions=sessions))


def enter(app, name="ann", password=PASSWORD, headers=OURS, page="/curate", query=""):
    fields = {"name": name, "password": password, "page": page, **({"query": query} if query else {})}
    body = urlencode(fields).encode()
    return ask(app, "POST", SIGN_IN, headers=headers, body=body)


def test_the_right_password_opens_a_session_that_scripts_cannot_read(app, sessions):
    status, headers, _ = enter(app)
    cookie = headers["set-cookie"]
    assert (status, headers["location"]) == (303, "/curate")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    token = cookie.split("=", 1)[1].split(";")[0]
    assert sessions.account_of(token) == "ann"
    ask(app, "POST", SIGN_OUT, headers={**OURS, "cookie": f"dermaxis_session={token}"})
    assert sessions.account_of(token) is None


@pytest.mark.parametrize(("name", "password"), [("ann", "wrong password"), ("nobody", PASSWORD), ("ben", ""), ("", "")])
def test_a_wrong_password_opens_nothing(app, name, password):
    status, headers, _ = enter(app, name, password)
    assert (status, headers["location"]) == (303, "/curate?sign_in=failed")
    assert "set-cookie" not in headers


@pytest.mark.parametrize("headers", [{"host": "tool:1"}, {"host": "tool:1", "origin": "http://evil"}])
def test_a_form_from_elsewhere_is_refused(app, headers):
    assert enter(app, headers=headers)[0] == 403


@pytest.mark.parametrize("page", ["//evil.example", "https://evil.example", "/a/../b", "\\evil"])
def test_signing_in_leads_nowhere_else(app, page):
    assert enter(app, page=page)[1]["location"] == "/"


def test_what_was_asked_for_is_opened_after_signing_in_and_kept_after_a_wrong_password(app):
    asked = "?set=a+b&concept=x%26y&sign_in=failed"
    assert enter(app, query=asked)[1]["location"] == "/curate?set=a+b&concept=x%26y"
    again = enter(app, query=asked, password="wrong password")[1]["location"]
    assert again == "/curate?set=a+b&concept=x%26y&sign_in=failed"
    headers = enter(app, query="?a=b%0d%0aset-cookie: evil=1&//evil.example")[1]
    assert headers["location"].startswith("/curate?a=b%0D%0A")
    assert "evil" not in headers["set-cookie"]


def test_too_many_wrong_passwords_make_a_pause(app, clock):
    for _ in range(FREE_FAILURES):
        enter(app, password="wrong password")
    assert "paused" in enter(app)[1]["location"]
    clock.now += PAUSE_SECONDS + 1
    assert "set-cookie" in enter(app)[1]


def test_sessions_go_idle_and_come_to_an_end(sessions, clock):
    token = sessions.open("ann")
    for _ in range(LONGEST_SECONDS // (IDLE_SECONDS - 1)):
        clock.now += IDLE_SECONDS - 1
        assert sessions.account_of(token) == "ann"
    clock.now += IDLE_SECONDS - 1
    assert sessions.account_of(token) is None
    idle = sessions.open("ann")
    clock.now += IDLE_SECONDS + 1
    assert sessions.account_of(idle) is None


def test_an_image_needs_a_signed_address(app, store_and_images):
    status, headers, content = ask(app, "GET", image_url("lesion00.png"))
    assert (status, headers["content-type"]) == (200, "image/png")
    assert content == (store_and_images[1] / "lesion00.png").read_bytes()
    assert ask(app, "GET", image_url("lesion00.png").replace("lesion00", "lesion01"))[0] == 403
    assert ask(app, "GET", image_url("lesion00.png").replace("full", "thumbnail"))[0] == 403


@pytest.mark.parametrize("path", ["../store.sqlite", "/etc/passwd", "", "lesion99.png"])
def test_no_address_leaves_the_folder(app, path):
    assert ask(app, "GET", image_url(path))[0] == 404


def test_what_browsers_cannot_show_is_converted(tmp_path):
    Image.new("RGB", (800, 400), "red").save(tmp_path / "a.tif")
    assert image_content(tmp_path, "a.tif", thumbnail=False)[1] == "image/png"
    assert image_content(tmp_path, "a.tif", thumbnail=True)[1] == "image/jpeg"
    (tmp_path / "broken.tif").write_bytes(b"no image")
    with pytest.raises(ImageError, match=r"broken\.tif"):
        image_content(tmp_path, "broken.tif", thumbnail=False)
