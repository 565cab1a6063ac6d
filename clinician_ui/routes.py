"""The server's routes beside the screens: sign-in, sign-out, images."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from anyio import to_thread
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from clinician_ui.image_files import ROUTE, ImageRoot, image_content, is_signed
from clinician_ui.report_files import report_route
from clinician_ui.sessions import COOKIE, LONGEST_SECONDS, SESSIONS, Sessions
from concepts.curation.accounts import sign_in
from concepts.errors import ImageError
from concepts.store.store import Store

FORM_LIMIT = 8192
FAULT = "sign_in"
SIGN_IN, SIGN_OUT = "/account/sign-in", "/account/sign-out"
HEADERS = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}


def routes(
    store: Callable[[], Store], images: Path, *, runs: Path, sessions: Sessions = SESSIONS, secure: bool = False
) -> list[Route]:
    """Make the routes of a server.

    Args:
        store: Gives the open store.
        images: The folder of images.
        runs: The folder of runs.
        sessions: The sign-ins.
        secure: Whether people reach the server by HTTPS only; the cookie then travels by HTTPS only.
    """

    async def enter(request: Request) -> Response:
        return await _enter(request, store, sessions, secure=secure)

    async def leave(request: Request) -> Response:
        return await _leave(request, sessions)

    async def image(request: Request) -> Response:
        return await _image(request, {ImageRoot.IMAGES: images, ImageRoot.RUNS: runs})

    return [
        Route(SIGN_IN, enter, methods=["POST"]),
        Route(SIGN_OUT, leave, methods=["POST"]),
        Route(ROUTE, image, methods=["GET"]),
        report_route(store, runs, sessions=sessions),
    ]


class SafeHeaders:
    """Middleware that adds headers to every answer: it must stay out of frames, and its type is not guessed."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the headers."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


async def _enter(request: Request, store: Callable[[], Store], sessions: Sessions, *, secure: bool) -> Response:
    form = await _form(request)
    if form is None:
        return PlainTextResponse("the form came from another site or is too long; open the sign-in page again", 403)
    name, password = form.get("name", ""), form.get("password", "")
    page = _own_page(form.get("page", "/"))
    query = form.get("query", "")
    if sessions.pause(name):
        return RedirectResponse(_with_query(page, query, fault="paused"), 303)
    account = await run_in_threadpool(sign_in, store(), name, password)
    if account is None:
        sessions.failed(name)
        return RedirectResponse(_with_query(page, query, fault="failed"), 303)
    answer = RedirectResponse(_with_query(page, query), 303)
    cookie: dict[str, Any] = {"httponly": True, "samesite": "strict", "secure": secure, "max_age": LONGEST_SECONDS}
    answer.set_cookie(COOKIE, sessions.open(account.name), **cookie)
    return answer


async def _leave(request: Request, sessions: Sessions) -> Response:
    if await _form(request) is None:
        return PlainTextResponse("sign out from one of the tool's own pages", 403)
    sessions.close(request.cookies.get(COOKIE))
    answer = RedirectResponse("/", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


async def _image(request: Request, folders: Mapping[ImageRoot, Path]) -> Response:
    asked = ("root", "path", "size", "signature")
    root, path, size, signature = (request.query_params.get(name, "") for name in asked)
    if not is_signed(path, size, signature, root=root):
        return PlainTextResponse("this server did not make this address of an image; reload the page", 403)
    folder = folders[ImageRoot(root)]
    try:
        content, kind = await to_thread.run_sync(lambda: image_content(folder, path, thumbnail=size == "thumbnail"))
    except ImageError as error:
        return PlainTextResponse(str(error), 404)
    return Response(content, media_type=kind, headers={"Cache-Control": "private, max-age=86400, immutable"})


async def _form(request: Request) -> dict[str, str] | None:
    """Return the fields of a form that one of our own pages posted; None for any other form."""
    origin = urlsplit(request.headers.get("origin", ""))
    if not origin.netloc or origin.netloc != request.headers.get("host"):
        return None
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_LIMIT:
            return None
    fields = parse_qs(body.decode("utf-8", errors="replace"), keep_blank_values=True)
    return {name: values[0] for name, values in fields.items()}


def _own_page(page: str) -> str:
    """Return the page to go back to; anything but a plain path of ours becomes the first page."""
    word = page.removeprefix("/")
    return f"/{word}" if word.replace("_", "").isalnum() else "/"


def _with_query(page: str, query: str, *, fault: str | None = None) -> str:
    """Return the address of a page with the query that it had before the sign-in, e.g. set and concept."""
    asked = [(name, value) for name, value in parse_qsl(query.removeprefix("?")) if name != FAULT]
    pairs = [*asked, *([(FAULT, fault)] if fault else [])]
    return f"{page}?{urlencode(pairs)}" if pairs else page
