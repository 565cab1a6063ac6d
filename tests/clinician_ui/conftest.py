"""A store with readers, a set and small images, and screens without a browser."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from clinician_ui import workplace
from clinician_ui.sessions import SESSIONS
from concepts.accounts import OPERATOR, add_account
from concepts.judgement import Judgement, Verdict
from concepts.judging import judge
from concepts.roles import Role
from concepts.sets import ImageRecord, add_concept, add_images, add_to_set, create_set
from concepts.store import Store, open_store

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
        said = Judgement(reader=reader, image_id=image, concept="streaks", verdict=verdict, note=CANARY)
        judge(store, reader, "derm", said, key=f"{reader} {image}")


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """A folder with a filled store and its images; making it takes longer than most tests."""
    root = tmp_path_factory.mktemp("template")
    (root / "images").mkdir()
    with closing(open_store(str(root / "store.sqlite"))) as store:
        fill(store, root / "images")
    return root


@pytest.fixture
def place(tmp_path, template, monkeypatch) -> Iterator[tuple[Store, Path]]:
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

    screen = next(one for one in router.SCREENS if one.address == address)
    router.open_screen(screen, workplace.current_reader())


@pytest.fixture
def open_page(place, monkeypatch) -> Callable[..., AppTest]:
    """Opens a page as someone, or (None) as nobody."""

    def open_it(address: str, name: str | None, **query: str) -> AppTest:
        token = SESSIONS.open(name) if name else None
        monkeypatch.setattr(workplace, "session_token", lambda: token)
        app = AppTest.from_function(_page, args=(address,), default_timeout=60)
        app.query_params |= query
        return app.run()

    return open_it


@pytest.fixture
def dispute(place) -> str:
    """A case on which ann and ben disagree."""
    disagree(place[0])
    return "lesion00"


@pytest.fixture(autouse=True)
def main_module():
    """Give back the main module, which Streamlit replaces by the page: processes that tests spawn start from it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main
