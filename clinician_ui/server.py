"""The server: Streamlit with our routes beside it, closed to the network unless told otherwise."""

import os
from dataclasses import dataclass
from pathlib import Path

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from clinician_ui.routes import SafeHeaders, routes
from clinician_ui.theme import streamlit_options
from clinician_ui.workplace import IMAGES_VARIABLE, ROOTS_VARIABLE, RUNS_VARIABLE, STORE_VARIABLE, opened_store
from concepts.errors import SettingsError
from concepts.store.store import closed_at_the_end

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How the tool is served.

    Attributes:
        store: Address of the concept store.
        images: The folder to which the images' paths are relative.
        runs: The folder with the runs whose cases and reports are read here.
        data_roots: Folders that are open to the jobs that people ask for on the page Runs.
        address: Network address to listen on.
        port: Port to listen on.
        hosts: Names under which people reach the tool.
        behind_https: Whether a proxy in front speaks HTTPS; cookies then travel by HTTPS only.
    """

    store: str
    images: Path
    runs: Path = Path("runs")
    data_roots: tuple[Path, ...] = ()
    address: str = "127.0.0.1"
    port: int = 8501
    hosts: tuple[str, ...] = ()
    behind_https: bool = False


def serve(serving: Serving) -> None:
    """Serve until stopped.

    Raises:
        SettingsError: If there is no such image folder.
        StoreError: If the store cannot be opened.
    """
    if not serving.images.is_dir():
        raise SettingsError(f"--images {serving.images}: no such folder; give the folder with the images")
    os.environ |= {
        STORE_VARIABLE: serving.store,
        IMAGES_VARIABLE: str(serving.images.resolve()),
        RUNS_VARIABLE: str(serving.runs.resolve()),
        ROOTS_VARIABLE: os.pathsep.join(str(root.expanduser().resolve()) for root in serving.data_roots),
    }
    store = opened_store(serving.store)
    app = st.App(
        Path(__file__).with_name("app.py"),
        routes=routes(
            lambda: store, serving.images.resolve(), runs=serving.runs.resolve(), secure=serving.behind_https
        ),
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=_hosts(serving)),
            Middleware(SafeHeaders),
        ],
    )
    with closed_at_the_end(store):
        app.run(config=options(serving))


def options(serving: Serving) -> dict[str, object]:
    """Return Streamlit's settings: local, protected, silent to the outside, and in our colours."""
    scheme = "https" if serving.behind_https else "http"
    return {
        "server.address": serving.address,
        "server.port": serving.port,
        "server.headless": True,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.allowedHosts": _hosts(serving),
        "server.corsAllowedOrigins": [f"{scheme}://{host}" for host in serving.hosts],
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        **streamlit_options(),
    }


def _hosts(serving: Serving) -> list[str]:
    return [*LOCAL_HOSTS, *serving.hosts]
