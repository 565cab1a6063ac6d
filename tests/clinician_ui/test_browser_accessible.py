"""Every page, light and dark, at 1280 x 800: contrast and names by axe-core, nothing cut off, nothing that jumps."""

from urllib.parse import urlsplit

import pytest

from clinician_ui.router import SCREENS
from concepts import curation
from concepts.accounts import OPERATOR, set_roles
from concepts.judgement import Judgement, Verdict
from concepts.roles import Role

pytestmark = pytest.mark.browser
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
def filled(place, dispute):
    """Verdicts of two readers, a contested case, a release, and someone who may open every page."""
    store = place[0]
    set_roles(store, OPERATOR, "adm", list(Role), key="all")
    for reader in ("ann", "ben"):
        for number in range(1, 7):
            said = Verdict.PRESENT if number % 2 else Verdict.ABSENT
            one = Judgement(reader=reader, image_id=f"lesion{number:02}", concept="streaks", verdict=said)
            curation.judge(store, reader, "derm", one, key=f"{reader} {number}")
    curation.freeze(store, OPERATOR, "derm", key="release")
    return store


def settle(tab) -> None:
    tab.locator("[data-testid=stMain] [data-testid=stVerticalBlock]").first.wait_for()
    tab.locator("[data-testid=stStatusWidget]").wait_for(state="detached")
    tab.wait_for_timeout(1200)


def address_of(tab) -> str:
    parts = urlsplit(tab.url)
    return f"{parts.scheme}://{parts.netloc}"


def faults(tab) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe absent: pages are NOT checked").Axe()
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    found = axe.run(tab, options=options).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for one in found
        if one["id"] not in OF_STREAMLIT
        for node in one["nodes"]
    ]


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
        wrong += [f"{screen.address}: {fault}" for fault in faults(tab)]
        width = tab.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth")
        wrong += [f"{screen.address}: {width} pixels wide"] if width > 1280 else []
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
    return [tab.locator(one).bounding_box() for one in (".view", ".bar.verdicts", ".bar.top", ".dx-definition")]
