"""In a real Chromium: a researcher starts a tiny run, sees it finish, opens its report, and compares it."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from clinician_ui import run_phrasing
from clinician_ui.screens.run_making import CONFIGS_VARIABLE
from concepts.curation.accounts import OPERATOR, set_password
from pipeline.jobs.job import JobState
from pipeline.jobs.ledger import open_ledger

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
PASSWORD = "a password of length"
RUN_SECONDS = 900
TINY = """# A tiny phantom, to see every part work.
name: tiny
threads: 1
data: {{cache: {cache}, phantom: {{images: 240, size: 64}}}}
transforms: {{size: 64, margin: 4}}
model: {{width: 0.25}}
training: {{plain_epochs: 1, whitened_epochs: 1, batch_size: 16}}
evaluation: {{resamples: 100}}
explanation: {{cases: 4}}
"""
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def served(store_and_images, tmp_path):
    """The address of a server with a worker of its own, as people start it on one machine."""
    set_password(store_and_images[0], OPERATOR, "res", PASSWORD, key="password")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tiny.yaml").write_text(TINY.format(cache=tmp_path / "cache"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "clinician_ui", "--store", str(tmp_path / "store.sqlite"), "--worker"]
    command += ["--images", str(store_and_images[1]), "--runs", str(tmp_path / "runs"), "--port", str(port)]
    variables = {"HOME": str(tmp_path), CONFIGS_VARIABLE: str(tmp_path / "configs")}
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env={**os.environ, **variables})
    try:
        wait_until(lambda: is_open(port), 90)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=60)
    with closing(open_ledger(tmp_path / "runs")) as ledger:
        wait_until(lambda: not ledger.workers(), 60)


@pytest.fixture
def tab(served):
    api = pytest.importorskip("playwright.sync_api", reason="Playwright absent: the browser tests are SKIPPED")
    if not CHROMIUM.is_file():
        pytest.skip("Chromium absent (/usr/bin/chromium): the browser tests are SKIPPED; apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
        page.set_default_timeout(90_000)
        page.goto(f"{served}/runs")
        page.get_by_label("Name").fill("res")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        yield page
        browser.close()


def is_open(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until(condition, seconds: float):
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return answer


def picture(tab, name: str) -> None:
    """Keep what was seen where somebody wants to look at it."""
    if folder := os.environ.get("DERMAXIS_TEST_PICTURES"):
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            tab.reload()
            tab.get_by_text("1 worker running").wait_for()
            tab.wait_for_timeout(1500)
            tab.screenshot(path=str(Path(folder) / f"{name}_{scheme}.png"), full_page=True)
        tab.emulate_media(color_scheme="light")
        tab.reload()


def start(tab, changes: str) -> None:
    """Double clicks on Start, as people do."""
    tab.get_by_role("textbox", name="Changes").fill(changes)
    tab.get_by_role("textbox", name="Changes").press("Tab")
    tab.wait_for_timeout(800)
    tab.get_by_role("button", name="Start", exact=True).dblclick()
    tab.get_by_text("Submitted: tiny").wait_for()


def test_a_run_from_its_order_to_its_report_and_comparison(tab, tmp_path):
    ledger = open_ledger(tmp_path / "runs")
    tab.get_by_text("1 worker running").wait_for()
    start(tab, "seed=1")
    tab.get_by_text("Stage ").first.wait_for(timeout=RUN_SECONDS * 1000)
    picture(tab, "runs_running")
    (job,) = ledger.jobs()
    link = tab.get_by_role("link", name="tiny-").first
    link.wait_for(timeout=RUN_SECONDS * 1000)
    assert ledger.read(job.id).state is JobState.FINISHED
    with tab.expect_popup() as opened:
        link.click()
    report = opened.value
    report.get_by_role("heading", name="Which concepts the network used").wait_for()
    policy = report.request.get(report.url).headers["content-security-policy"]
    assert policy.startswith("sandbox;")
    report.close()
    whole = next(ledger.runs.glob("tiny-*"))
    other = shutil.copytree(whole, whole.with_name("tiny-other"))
    settings = (other / "settings.yaml").read_text()
    (other / "settings.yaml").write_text(settings.replace("\nseed: 1\n", "\nseed: 2\n"))
    tab.reload()
    tab.get_by_role("link", name="tiny-other").wait_for()
    tab.wait_for_timeout(1000)
    tab.get_by_text("Compare runs", exact=True).click()
    tab.wait_for_timeout(1000)
    chooser = tab.get_by_role("combobox", name="Runs; the others").last
    for name in sorted(path.name for path in ledger.runs.glob("tiny-*")):
        chooser.fill(name)
        tab.get_by_role("option", name=name).click()
    tab.keyboard.press("Escape")
    tab.get_by_role("button", name="Compare", exact=True).click()
    with tab.expect_popup() as opened:
        tab.get_by_role("link", name=run_phrasing.OPEN_COMPARISON).click()
    opened.value.get_by_role("heading", name="2 runs compared").wait_for()
    assert "seed alone" in opened.value.inner_text("section.summary")
    opened.value.close()
    picture(tab, "runs_done")
