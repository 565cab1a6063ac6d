"""A store with readers, a set and small images, and screens without a browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from argon2 import PasswordHasher
from PIL import Image
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from clinician_ui import workplace
from clinician_ui.sessions import SESSIONS
from concepts.curation import accounts
from concepts.curation.accounts import OPERATOR, add_account, set_password
from concepts.curation.judging import judge
from concepts.curation.sets import add_concept, add_images, add_to_set, create_set
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict
from concepts.store.roles import Role
from concepts.store.store import Store, open_store
from pipeline.config import parse_overrides
from pipeline.run.folder import RunFolder
from pipeline.run.progress import Silent

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
PASSWORD = "a password of length"
PATIENCE = 90
"""Seconds that a browser or a server may take on a busy machine."""
CANARY = "<script>document.title='broken'</script>"
ACCOUNTS = {
    "ann": Role.ANNOTATOR,
    "ben": Role.ANNOTATOR,
    "eve": Role.ADJUDICATOR,
    "cur": Role.CURATOR,
    "rev": Role.REVIEWER,
    "res": Role.RESEARCHER,
    "adm": Role.ADMIN,
}
SMALL_RUN = [
    "name=small",
    "data.phantom.images=240",
    "data.phantom.size=64",
    "transforms.size=64",
    "transforms.margin=4",
    "model.architecture=mobilenet_v1",
    "model.width=0.25",
    "training.plain_epochs=1",
    "training.whitened_epochs=1",
    "training.batch_size=16",
    "evaluation.resamples=100",
    "explanation.cases=6",
]


@pytest.fixture(autouse=True, scope="session")
def cheap_passwords() -> Iterator[None]:
    """Hash passwords cheaply; what makes Argon2 safe is that it is slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(accounts, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(autouse=True, scope="session")
def components_scanned_once() -> Iterator[None]:
    """Read the installed packages for components once: AppTest does for every page, and takes most of its time so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


def png(seed: int, side: int = 24) -> bytes:
    buffer = BytesIO()
    pixels = np.random.default_rng(seed).integers(90, 220, (side, side, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((side * 8, side * 8)).save(buffer, format="PNG")
    return buffer.getvalue()


def fill(store: Store, folder: Path, *, images: int = 24) -> None:
    records = []
    for number in range(images):
        content = png(number)
        (folder / f"lesion{number:02}.png").write_bytes(content)
        digest, name = sha256(content).hexdigest(), f"lesion{number:02}"
        records.append(ImageRecord(id=name, digest=digest, path=f"{name}.png", width=192, height=192, site="back"))
    for name, role in ACCOUNTS.items():
        add_account(store, OPERATOR, name, [role], key=f"account {name}")
    create_set(store, OPERATOR, "empty", key="empty")
    create_set(store, OPERATOR, "derm", description=CANARY, key="derm")
    add_images(store, OPERATOR, records, key="images")
    add_to_set(store, OPERATOR, "derm", [record.id for record in records], key="row")
    for concept in ("streaks", "pigment_network"):
        add_concept(store, OPERATOR, "derm", concept, key=concept)


def disagree(store: Store, image: str = "lesion00") -> None:
    for reader, verdict in (("ann", Verdict.PRESENT), ("ben", Verdict.ABSENT)):
        judgement = Judgement(reader=reader, image_id=image, concept="streaks", verdict=verdict, note=CANARY)
        judge(store, reader, "derm", judgement, key=f"{reader} {image}")


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A folder with a filled store and its images; making it takes longer than most tests."""
    root = tmp_path_factory.mktemp("template")
    (root / "images").mkdir()
    with closing(open_store(str(root / "store.sqlite"))) as store:
        fill(store, root / "images")
    return root


@pytest.fixture(scope="session")
def small_run(tmp_path_factory) -> RunFolder:
    """A whole run on small lesions, alone in its folder of runs; training it takes longer than most tests."""
    from pipeline.retrain import retrain

    folder = tmp_path_factory.mktemp("small")
    places = [f"runs={folder / 'runs'}", f"data.cache={folder / 'cache'}"]
    return retrain(parse_overrides([*SMALL_RUN, *places]), tracker=Silent())


@pytest.fixture
def store_and_images(tmp_path, template, monkeypatch) -> Iterator[tuple[Store, Path]]:
    """A filled store and its image folder, as the tool finds them."""
    url, folder = str(tmp_path / "store.sqlite"), template / "images"
    shutil.copyfile(template / "store.sqlite", url)
    monkeypatch.setenv(workplace.STORE_VARIABLE, url)
    monkeypatch.setenv(workplace.IMAGES_VARIABLE, str(folder))
    with closing(open_store(url)) as store:
        monkeypatch.setattr(workplace, "opened_store", lambda _url: store)
        yield store, folder


def _page(address: str) -> None:
    from clinician_ui import router, workplace

    screen = next(screen for screen in router.SCREENS if screen.address == address)
    router.open_screen(screen, workplace.current_reader())


@pytest.fixture
def open_page(store_and_images, monkeypatch) -> Callable[..., AppTest]:
    """Opens a page as someone, or (None) as nobody."""

    def open_it(address: str, name: str | None, **query: str) -> AppTest:
        token = SESSIONS.open(name) if name else None
        monkeypatch.setattr(workplace, "session_token", lambda: token)
        app = AppTest.from_function(_page, args=(address,), default_timeout=60)
        app.query_params |= query
        return app.run()

    return open_it


@pytest.fixture
def dispute(store_and_images) -> str:
    """A case on which ann and ben disagree."""
    disagree(store_and_images[0])
    return "lesion00"


@pytest.fixture(autouse=True)
def main_module():
    """Give back the main module, which Streamlit replaces by the page: processes that tests spawn start from it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="Playwright absent: the browser tests are SKIPPED")
    if not CHROMIUM.is_file():
        pytest.skip("Chromium absent (/usr/bin/chromium): the browser tests are SKIPPED; apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def start_tool(tmp_path) -> Iterator[Callable[..., str]]:
    """Starts the tool on the store of the test, as people start it, in a folder of its own; gives its address."""
    servers = []

    def start(images: Path, *, runs: Path = tmp_path / "runs", port: int | None = None) -> str:
        port = port or find_port()
        command = [sys.executable, "-m", "clinician_ui", "--store", str(tmp_path / "store.sqlite")]
        command += ["--images", str(images), "--runs", str(runs), "--port", str(port)]
        command += ["--data-roots", str(tmp_path.parent)]  # where the images of `small_run` lie
        environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        servers.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, env=environment))
        wait_for(port)
        return f"http://localhost:{port}"

    yield start
    for server in servers:
        server.kill()
        server.wait()


@pytest.fixture
def serve(store_and_images, start_tool) -> Callable[..., str]:
    """Starts the tool on the store_and_images's images, where everybody has a password; gives its address."""
    store, folder = store_and_images

    def start(port: int | None = None) -> str:
        for name in ACCOUNTS:
            set_password(store, OPERATOR, name, PASSWORD, key=f"password {name}")
        return start_tool(folder, port=port)

    return start


@pytest.fixture
def sign_in(chromium, serve) -> Callable[..., object]:
    """Opens a page of the tool as someone; gives the tab."""
    address = serve()

    def enter(name: str, page: str, **context: object):
        tab = chromium.new_context(viewport={"width": 1280, "height": 800}, **context).new_page()
        tab.set_default_timeout(PATIENCE * 1000)
        tab.goto(f"{address}/{page}")
        tab.get_by_label("Name").fill(name)
        tab.get_by_label("Password").fill(PASSWORD)
        tab.get_by_role("button", name="Sign in").click()
        return tab

    return enter


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return find_port()


def find_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(port)
