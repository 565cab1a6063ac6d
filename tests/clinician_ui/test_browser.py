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
from concepts.mask import rasterise

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


def sign_in(chromium, address: str, name: str, page: str, **context: bool):
    tab = chromium.new_context(viewport={"width": 1280, "height": 800}, **context).new_page()
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


def placed(tab) -> tuple[float, float, float, float]:
    """Left, top, width and height of the image on the screen."""
    box = tab.locator(".stage img:not(.waits)").bounding_box()
    return box["x"], box["y"], box["width"], box["height"]


def at(tab, x: float, y: float) -> tuple[float, float]:
    """A point of the image, in fractions of it, on the screen."""
    left, top, width, height = placed(tab)
    return left + x * width, top + y * height


def test_what_is_painted_with_the_brush_is_stored_where_it_was_painted(chromium, served, place):
    tab = sign_in(chromium, served, "ann", "curate?set=derm")
    assert shown(tab) == "lesion00"
    tab.keyboard.press("d")
    stroke(tab, 0.3, 0.7)
    tab.get_by_role("button", name="Remove brush stroke 1").wait_for()
    stroke(tab, 0.9, 0.95)
    tab.get_by_role("button", name="Remove brush stroke 2").wait_for()
    tab.keyboard.press("Control+z")
    tab.get_by_role("button", name="Remove brush stroke 2").wait_for(state="detached")
    press_and_wait(tab, "p")
    kept = curation.own_judgement(place[0], "ann", "derm", "lesion00", "streaks")
    assert [region.kind for region in kept.regions] == [RegionKind.BRUSH]
    inside = rasterise(kept.regions, 100, 100)
    assert inside[50, 32:68].all()
    assert not inside[:, :25].any()
    assert not inside[:, 76:].any()
    assert not inside[:44].any()
    assert not inside[57:].any()


def stroke(tab, start: float, end: float) -> None:
    """Across the middle of the image."""
    tab.mouse.move(*at(tab, start, 0.5))
    tab.mouse.down()
    tab.mouse.move(*at(tab, end, 0.5), steps=8)
    tab.mouse.up()


class Fingers:
    """Touches of a screen, as the browser gets them from its machine."""

    def __init__(self, tab) -> None:
        self.tab, self.wire = tab, tab.context.new_cdp_session(tab)

    def send(self, kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        self.wire.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})

    def drag(self, starts, ends, *, steps: int = 10) -> None:
        self.send("touchStart", *starts)
        for step in range(1, steps + 1):
            share = step / steps
            pairs = zip(starts, ends, strict=True)
            self.send("touchMove", *[(x + share * (u - x), y + share * (v - y)) for (x, y), (u, v) in pairs])
        self.send("touchEnd")
        self.tab.wait_for_timeout(200)


def test_two_fingers_zoom_where_they_are_and_one_moves_or_draws(chromium, served, place):
    tab = sign_in(chromium, served, "ann", "curate?set=derm", has_touch=True)
    shown(tab)
    fingers, (left, top, width, height) = Fingers(tab), placed(tab)
    middle = at(tab, 0.5, 0.5)
    apart = [[(middle[0] - reach, middle[1]), (middle[0] + reach, middle[1])] for reach in (50, 100)]
    fingers.drag(*apart)
    wide = placed(tab)
    assert wide[2] == pytest.approx(2 * width, rel=0.05)
    assert wide[3] == pytest.approx(2 * height, rel=0.05)
    # What was between the fingers is there still.
    assert at(tab, 0.5, 0.5) == pytest.approx(middle, abs=10)
    fingers.drag([middle], [(middle[0] + 60, middle[1] - 40)])
    moved = placed(tab)
    assert (moved[0] - wide[0], moved[1] - wide[1]) == pytest.approx((60, -40), abs=3)
    tab.get_by_role("button", name="Fit").click()
    assert placed(tab) == pytest.approx((left, top, width, height), abs=1)
    tab.get_by_role("button", name="Box").click()
    # A second finger means zooming, whatever the tool.
    fingers.drag(*apart)
    tab.get_by_text("No regions drawn.").wait_for()
    tab.get_by_role("button", name="Fit").click()
    fingers.drag([at(tab, 0.2, 0.3)], [at(tab, 0.6, 0.8)])
    tab.get_by_role("button", name="Remove box 1").wait_for()
    tab.wait_for_timeout(300)
    tab.get_by_role("button", name=re.compile("^Present")).tap()
    tab.locator('.stage img:not(.waits)[alt$="lesion01"]').wait_for()
    kept = curation.own_judgement(place[0], "ann", "derm", "lesion00", "streaks")
    ((corner, other),) = [region.vertices for region in kept.regions]
    assert (*corner, *other) == pytest.approx((0.2, 0.3, 0.6, 0.8), abs=0.01)
