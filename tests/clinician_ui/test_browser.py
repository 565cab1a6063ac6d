"""The flows that matter, in a real Chromium: judging by keyboard alone, disagreement and its end, freezing."""

import os
import re
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from concepts import curation
from concepts.accounts import OPERATOR, set_password
from concepts.judgement import Kind, RegionKind, Verdict

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
PASSWORD = "a password of length"
TIMEOUT = 90_000
pytestmark = pytest.mark.browser


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
def served(place, tmp_path):
    """The address of a server on the store, as people start it."""
    store, folder = place
    for name in ("ann", "ben", "eve", "cur"):
        set_password(store, OPERATOR, name, PASSWORD, key=f"password {name}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "clinician_ui", "--store", str(tmp_path / "store.sqlite")]
    command += ["--images", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, "HOME": str(tmp_path)})
    try:
        wait_for(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise TimeoutError(port)


def sign_in(chromium, address: str, name: str, page: str):
    tab = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    tab.set_default_timeout(TIMEOUT)
    tab.goto(f"{address}/{page}")
    tab.get_by_label("Name").fill(name)
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    return tab


def shown(tab) -> str:
    """The case in front of the reader, once its image is there."""
    image = tab.locator(".stage img:not(.waits)")
    image.wait_for()
    return image.get_attribute("alt").removeprefix("Lesion image ")


def press_and_wait(tab, key: str) -> None:
    before = shown(tab)
    tab.wait_for_timeout(250)
    tab.keyboard.press(key)
    tab.locator(f'.stage img:not(.waits):not([alt$="{before}"])').wait_for()


def judged(store, reader: str) -> list[str]:
    return sorted(one.image_id for one in curation.own_latest(store, reader, "derm", limit=99))


def test_judging_by_keyboard_alone_undoing_drawing_and_reloading(chromium, served, place):
    store = place[0]
    tab = sign_in(chromium, served, "ann", "curate?set=derm")
    for number in range(20):
        assert shown(tab) == f"lesion{number:02}"
        press_and_wait(tab, "paun"[number % 4])
    assert len(judged(store, "ann")) == 20
    for number in (19, 18, 17):
        press_and_wait(tab, "Control+z")
        assert shown(tab) == f"lesion{number:02}"
    assert judged(store, "ann") == [f"lesion{number:02}" for number in range(17)]
    draw_polygon(tab)
    tab.reload()
    assert shown(tab) == "lesion17"
    tab.get_by_role("button", name="Remove polygon 1").wait_for()
    press_and_wait(tab, "p")
    kept = curation.own_judgement(store, "ann", "derm", "lesion17", "streaks")
    assert [region.kind for region in kept.regions] == [RegionKind.POLYGON]
    assert len(kept.regions[0].vertices) == 4
    tab.reload()
    assert shown(tab) == "lesion18"
    assert "18 of 24" in tab.locator(".dx-progress").inner_text()
    assert tab.title() != "broken"


def draw_polygon(tab) -> None:
    tab.keyboard.press("g")
    box = tab.locator(".view").bounding_box()
    for x, y in ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.5, 0.7), (0.4, 0.6)):
        tab.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    tab.keyboard.press("Control+z")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Remove polygon 1").wait_for()


def test_a_double_press_is_one_record(chromium, served, place):
    tab = sign_in(chromium, served, "ben", "curate?set=derm")
    assert shown(tab) == "lesion00"
    tab.wait_for_timeout(300)
    tab.get_by_role("button", name=re.compile("^Present")).dblclick()
    tab.locator('.stage img:not(.waits)[alt$="lesion01"]').wait_for()
    tab.wait_for_timeout(500)
    assert judged(place[0], "ben") == ["lesion00"]


def test_two_disagree_a_third_settles_it_blinded_and_a_curator_freezes(chromium, served, place, dispute):
    store = place[0]
    tab = sign_in(chromium, served, "eve", "adjudicate?set=derm")
    assert shown(tab) == dispute
    assert "ann" not in tab.locator("[data-testid=stMain]").inner_text().split()
    tab.wait_for_timeout(300)
    tab.keyboard.press("p")
    tab.get_by_text("What the others said").wait_for()
    shown(tab)
    tab.wait_for_timeout(300)
    tab.keyboard.press("p")
    tab.get_by_text("No case is contested").wait_for()
    kinds = [one.kind for one in curation.read_judgements(store, OPERATOR, "derm") if one.reader == "eve"]
    assert kinds == [Kind.FIRST_LOOK, Kind.ADJUDICATION]
    tab = sign_in(chromium, served, "cur", "sets?set=derm")
    tab.get_by_role("button", name=re.compile("^Freeze a release")).click()
    tab.get_by_role("button", name="Freeze it for good").click()
    tab.get_by_text("Frozen: derm@1").wait_for()
    release = curation.read_release(store, OPERATOR, "derm@1")
    assert [(e.image_id, e.polarity) for e in release.examples] == [(dispute, Verdict.PRESENT)]
    path = curation.export_release(store, OPERATOR, "derm@1", place[1].parent / "exported")
    assert release.digest in path.read_text(encoding="utf-8")


def test_the_grid_by_keyboard(chromium, served, place):
    tab = sign_in(chromium, served, "ann", "grid?set=derm")
    tab.locator(".cell").nth(23).wait_for()
    for key in ("Space", "ArrowRight", "ArrowRight", "Space"):
        tab.keyboard.press(key)
    tab.get_by_text("2 selected").wait_for()
    tab.keyboard.press("a")
    tab.get_by_text("Saved: absent for 2 images.").wait_for()
    assert judged(place[0], "ann") == ["lesion00", "lesion02"]
