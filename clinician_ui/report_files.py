"""Reports and comparisons for the browser: self-contained pages in a sandbox, for those who may read runs."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from clinician_ui.sessions import COOKIE, Sessions
from concepts.curation.accounts import find_account
from concepts.errors import DataError, RunError
from concepts.files import read_regular
from concepts.store.roles import Action, is_permitted
from concepts.store.store import Store
from pipeline.jobs.job import checked_id

ROUTE = "/run-report"
COMPARISONS = ".comparisons"
HEADERS = {
    # The page needs no script: whatever got into it is shown, not run, and reaches nothing of ours.
    "Content-Security-Policy": "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
    "Cache-Control": "private, no-store",
}


def report_url(run: str) -> str:
    """Return the address of a run's report."""
    return f"{ROUTE}?{urlencode({'run': run})}"


def comparison_url(name: str) -> str:
    """Return the address of a comparison."""
    return f"{ROUTE}?{urlencode({'comparison': name})}"


def comparison_name(runs: Sequence[str]) -> str:
    """Return the name of the comparison of these runs in this order."""
    return sha256("\n".join(runs).encode()).hexdigest()[:24]


def comparison_file(runs: Path, name: str) -> Path:
    """Return the file of a comparison; it lies beside the runs."""
    return runs / COMPARISONS / f"{checked_id(name)}.html"


def report_route(store: Callable[[], Store], runs: Path, *, sessions: Sessions) -> Route:
    """Make the route that answers with a report or comparison.

    Args:
        store: Gives the open store.
        runs: The folder of runs.
        sessions: The sign-ins.
    """

    async def answer(request: Request) -> Response:
        name = sessions.account_of(request.cookies.get(COOKIE))
        if name is None:
            return PlainTextResponse("sign in first, then open the report from the page Runs", 403)
        if not await run_in_threadpool(_may_read, store(), name):
            return PlainTextResponse("your roles do not let you read runs; ask an admin", 403)
        return await run_in_threadpool(page_of, runs, dict(request.query_params))

    return Route(ROUTE, answer, methods=["GET"])


def page_of(runs: Path, query: dict[str, str]) -> Response:
    """Answer with the page that an address names; 404 where there is none."""
    try:
        comparison = query.get("comparison")
        report = runs / checked_id(query.get("run", "")) / "report.html" if comparison is None else None
        file = report or comparison_file(runs, comparison or "")
    except RunError as error:
        return PlainTextResponse(str(error), 404)
    try:
        content = read_regular(file).decode("utf-8") if file.parent.resolve().is_relative_to(runs.resolve()) else None
    except (DataError, OSError, UnicodeDecodeError):
        content = None
    if content is None:
        return PlainTextResponse("there is no such report; the run may not be finished yet", 404)
    return HTMLResponse(content, headers=HEADERS)


def _may_read(store: Store, name: str) -> bool:
    account = find_account(store, name)
    return account is not None and is_permitted(account.roles, Action.READ_RUNS)
