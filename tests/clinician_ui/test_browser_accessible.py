"""Every page, light and dark, at 1280 x 800: contrast and names by axe-core, nothing cut off, nothing that jumps."""

import json
import os
import shutil
from contextlib import closing
from dataclasses import asdict, replace
from urllib.parse import urlsplit

import pytest
from sqlalchemy import update

from clinician_ui import case_phrasing
from clinician_ui.report_files import comparison_file, comparison_name
from clinician_ui.router import SCREENS
from concepts.curation import door
from concepts.curation.accounts import OPERATOR, set_roles
from concepts.curation.case_review import Step
from concepts.judgement import Judgement, Verdict
from concepts.store.roles import Role
from pipeline.comparison.runs import compare_runs
from pipeline.config import parse_overrides
from pipeline.explanation.cases.index import read_index
from pipeline.explanation.discovery.files import read_discovery
from pipeline.jobs.job import JobState
from pipeline.jobs.ledger import LEASE_SECONDS, open_ledger
from pipeline.jobs.tables import JOB, WORKER
from pipeline.report.pages.case import write_case_page
from pipeline.report.pages.comparison import write_comparison
from pipeline.run.folder import RunFolder
from pipeline.run.progress_file import RunProgress

pytestmark = pytest.mark.browser
PATIENCE = 120
"""Seconds that axe may take on a long page on a busy machine."""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
OF_STREAMLIT = {
    # The frame around all pages, which is not ours to change.
    "document-title",
    "html-has-lang",
    "scrollable-region-focusable",
}
JUMPS = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const one of list.getEntries()) if (!one.hadRecentInput) sum += one.value;
  }).observe({ type: "layout-shift", buffered: false });
  setTimeout(() => done(sum), 1500);
})"""


@pytest.fixture
def filled(store_and_images, dispute):
    """Verdicts of two readers, a contested case, a release, and someone who may open every page."""
    store = store_and_images[0]
    set_roles(store, OPERATOR, "adm", list(Role), key="all")
    for reader in ("ann", "ben"):
        for number in range(1, 7):
            verdict = Verdict.PRESENT if number % 2 else Verdict.ABSENT
            judgement = Judgement(reader=reader, image_id=f"lesion{number:02}", concept="streaks", verdict=verdict)
            door.judge(store, reader, "derm", judgement, key=f"{reader} {number}")
    door.freeze(store, OPERATOR, "derm", key="release")
    return store


@pytest.fixture
def runs(tmp_path, small_run):
    """A folder with a whole run, the same as of another seed, their comparison, and jobs in every state."""
    folder = tmp_path / "runs"
    shutil.copytree(small_run.path, folder / small_run.id)
    other = shutil.copytree(small_run.path, folder / "small-other")
    settings = (other / "settings.yaml").read_text()
    (other / "settings.yaml").write_text(settings.replace("\nseed: 0\n", "\nseed: 1\n"))
    both = [small_run.id, other.name]
    write_comparison(compare_runs([folder / run_id for run_id in both]), comparison_file(folder, comparison_name(both)))
    order_jobs(folder)
    return folder


def order_jobs(runs) -> None:
    """Submit a job that waits, one that runs, one whose worker is gone, and one of each end."""
    begun = [(state, "alive") for state in JobState if state is not JobState.QUEUED] + [(JobState.RUNNING, "gone")]
    progress = RunProgress(stages=("plain", "whitened"), stage="plain", title="training, plain", steps=2, total=6)
    output = "reading images (240)\ndermaxis: 2 rows cannot be used\n"
    with closing(open_ledger(runs)) as ledger:
        for seed, (state, worker) in enumerate(begun):
            job = ledger.submit(parse_overrides(["name=small", f"seed={seed}"]), by="adm", key=str(seed)).id
            ledger.claim(worker)
            ledger.report(worker, job, progress=json.dumps(asdict(progress)), output=output)
            reason = "2 rows cannot be used" if state is JobState.FAILED else None
            ledger.change(job, lambda before, state=state, reason=reason: replace(before, state=state, reason=reason))
        ledger.submit(parse_overrides(["name=small", "seed=99"]), by="adm", key="waits")
        with ledger.engine.begin() as connection:
            alive, gone = 3600, -2 * LEASE_SECONDS
            connection.execute(update(JOB).values(beaten=JOB.c.beaten + alive))
            connection.execute(update(JOB).where(JOB.c.worker == "gone").values(beaten=JOB.c.beaten - alive + gone))
            connection.execute(update(WORKER).values(beaten=WORKER.c.beaten + alive))


def settle(tab) -> None:
    tab.locator("[data-testid=stMain] [data-testid=stVerticalBlock]").first.wait_for()
    tab.locator("[data-testid=stStatusWidget]").wait_for(state="detached")
    tab.wait_for_timeout(1200)


def address_of(tab) -> str:
    parts = urlsplit(tab.url)
    return f"{parts.scheme}://{parts.netloc}"


def faults(tab, *, ours: bool = False) -> list[str]:
    """What axe finds; on a page that is ours as a whole nothing is forgiven."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe absent: pages are NOT checked").Axe()
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    violations = axe.run(tab, options=options).response["violations"]
    return [
        f"{violation['id']}: {node['target']} {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for violation in violations
        if ours or violation["id"] not in OF_STREAMLIT
        for node in violation["nodes"]
    ]


def faults_and_overflow(tab, name: str) -> list[str]:
    picture(tab, name)
    width = tab.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
    wide = [f"{name}: {width} pixels wide"] if width > tab.viewport_size["width"] else []
    return [*(f"{name}: {fault}" for fault in faults(tab)), *wide]


def picture(tab, name: str) -> None:
    """Keep what was seen where somebody wants to look at it."""
    if folder := os.environ.get("DERMAXIS_TEST_PICTURES"):
        theme = "dark" if tab.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "light"
        tab.screenshot(path=f"{folder}/{name}_{theme}.png", full_page=True)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_can_be_read_and_fits(sign_in, filled, theme):
    wrong = []
    tab = sign_in("adm", "curate?set=derm", color_scheme=theme)
    for screen in SCREENS:
        settle(tab)
        tab.goto(f"{address_of(tab)}/{screen.address}?set=derm")
        settle(tab)
        ground = tab.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
        assert (sum(map(int, ground[4:-1].split(",")[:3])) < 150) == (theme == "dark")
        wrong += faults_and_overflow(tab, screen.address)
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_with_a_run_in_them_can_be_read_and_fit(filled, runs, small_run, sign_in, theme):
    run = RunFolder(runs / small_run.id)
    tab = sign_in("adm", f"cases?run={run.id}", color_scheme=theme)
    tab.get_by_text("Differential", exact=True).wait_for()
    settle(tab)
    wrong = faults_and_overflow(tab, "cases")
    tab.get_by_text("Filter", exact=True).click()
    tab.get_by_text("Switch concepts off", exact=True).click()
    tab.locator("table", has=tab.get_by_text("as it is", exact=True)).wait_for()
    tab.locator('[data-testid="stButtonGroup"]', has_text="Switched off").get_by_role("button").first.click()
    settle(tab)
    wrong += faults_and_overflow(tab, "cases_what_if")
    tab.goto(f"{address_of(tab)}/cases?run={run.id}&blinded=true")
    tab.get_by_role("button", name=case_phrasing.REVIEW_BUTTONS[Step.FIRST_READ]).wait_for()
    settle(tab)
    wrong += faults_and_overflow(tab, "cases_blinded")
    tab.goto(f"{address_of(tab)}/unnamed?run={run.id}")
    tab.get_by_text("Name it").nth(len(read_discovery(run).directions) - 1).wait_for()
    tab.get_by_text("Name it").first.click()
    settle(tab)
    wrong += faults_and_overflow(tab, "unnamed")
    tab.goto(f"{address_of(tab)}/runs")
    tab.get_by_text("its worker is gone").wait_for()
    for title in ("Start a run", "Compare runs", "Output"):
        tab.get_by_text(title, exact=True).click()
    settle(tab)
    wrong += faults_and_overflow(tab, "runs")
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_that_a_run_writes_can_be_read(chromium, runs, small_run, theme):
    run = RunFolder(runs / small_run.id)
    pages = {
        "report": run.file("report.html"),
        "model_facts": run.file("model_facts.html"),
        "case": write_case_page(run, read_index(run)[0].image_id),
        "comparison": comparison_file(runs, comparison_name([run.id, "small-other"])),
    }
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme=theme)
    context.set_default_timeout(PATIENCE * 1000)
    wrong = []
    for name, file in pages.items():
        tab = context.new_page()
        tab.goto(file.as_uri())
        tab.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
        picture(tab, f"page_{name}")
        wrong += [f"{name}: {fault}" for fault in faults(tab, ours=True)]
        width = tab.evaluate("document.documentElement.scrollWidth")
        wrong += [f"{name}: {width} pixels wide"] if width > 1280 else []
    assert wrong == []


def test_the_sign_in_can_be_read(sign_in, filled, chromium):
    tab = sign_in("ann", "curate")
    address = address_of(tab)
    for theme in ("light", "dark"):
        page = chromium.new_context(viewport={"width": 1280, "height": 800}, color_scheme=theme).new_page()
        page.goto(f"{address}/curate?sign_in=failed")
        page.get_by_label("Password").wait_for()
        settle(page)
        assert faults(page) == []


def test_nothing_jumps_from_one_case_to_the_next(sign_in, filled):
    tab = sign_in("ann", "curate?set=derm&concept=pigment_network")
    tab.locator(".stage img:not(.waits)").wait_for()
    settle(tab)
    before = positions(tab)
    for _ in range(3):
        shown = tab.locator(".stage img:not(.waits)").get_attribute("alt")
        tab.keyboard.press("p")
        jumped = tab.evaluate(JUMPS)
        tab.locator(f'.stage img:not(.waits):not([alt="{shown}"])').wait_for()
        assert jumped < 0.02
    assert positions(tab) == before


def positions(tab) -> list[dict[str, float]]:
    return [
        tab.locator(selector).bounding_box() for selector in (".view", ".bar.verdicts", ".bar.top", ".dx-definition")
    ]
