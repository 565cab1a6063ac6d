"""In a real Chromium, on a real small run: a blinded first read, the case, what if, and a review."""

import pytest

from clinician_ui import case_phrasing
from concepts.curation.accounts import OPERATOR, set_password
from concepts.curation.case_review import Opinion, Step, read_reviews
from pipeline.explanation.cases.files import read_case
from pipeline.explanation.cases.index import read_index

PASSWORD = "a password of length"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def tab(chromium, store_and_images, small_run, start_tool):
    """A page on which a reviewer has signed in, on the cases of the run."""
    set_password(store_and_images[0], OPERATOR, "rev", PASSWORD, key="password")
    address = start_tool(store_and_images[1], runs=small_run.path.parent)
    page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.goto(f"{address}/cases")
    page.get_by_label("Name").fill("rev")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("Differential", exact=True).wait_for()
    page.get_by_text("Read blinded first", exact=True).click()
    page.get_by_role("button", name=case_phrasing.REVIEW_BUTTONS[Step.FIRST_READ]).wait_for()
    return page


def choose(tab, label: str, option: str) -> None:
    tab.get_by_label(label).click()
    tab.get_by_role("option", name=option, exact=True).click()


def test_a_blinded_read_a_case_what_if_and_a_review(tab, store_and_images, small_run):
    first = read_case(small_run, read_index(small_run)[0].image_id)
    picture = tab.locator(f'img[alt="Image {first.image_id}"]')
    picture.wait_for()
    # The picture has come, not only its frame.
    width = picture.evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert width == small_run.settings().transforms.size
    assert tab.get_by_text("Differential", exact=True).count() == 0
    choose(tab, "Own diagnosis", "melanoma")
    tab.get_by_role("button", name=case_phrasing.REVIEW_BUTTONS[Step.FIRST_READ]).click()
    tab.get_by_text("Differential", exact=True).wait_for()
    name = first.concepts[0].name
    tab.get_by_text(name, exact=True).first.click()
    tab.locator(f'.dx-stack img[alt="Where the axis of {name} is active"]').wait_for()
    for image in tab.locator(".case-maps img").all():
        image.wait_for()
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    tab.get_by_text("Switch concepts off", exact=True).click()
    table = tab.locator("table", has=tab.get_by_text("as it is", exact=True))
    table.wait_for()
    assert table.get_by_text("0.0 points").count() == len(first.differential)
    tab.locator('[data-testid="stButtonGroup"]', has_text="Switched off").get_by_text(name, exact=True).click()
    tab.wait_for_function("text => !document.body.innerText.includes(text)", arg="0.0 points\n0.0 points")

    tab.get_by_text("I disagree", exact=True).click()
    tab.get_by_label("Comment").fill("the network, not the veil")
    tab.get_by_role("button", name=case_phrasing.REVIEW_BUTTONS[Step.REVIEW]).click()
    tab.get_by_text(case_phrasing.REVIEW_SAVED[Step.REVIEW]).wait_for()
    reviews = read_reviews(store_and_images[0], "rev", small_run.id)
    assert [(review.step, review.diagnosis, review.opinion) for review in reviews] == [
        (Step.FIRST_READ, "melanoma", None),
        (Step.REVIEW, None, Opinion.DISAGREES),
    ]
    assert reviews[1].comment == "the network, not the veil"
    assert reviews[0].seconds > 0

    tab.get_by_role("button", name="Next").click()
    second = read_index(small_run)[1].image_id
    tab.locator(f'img[alt="Image {second}"]').wait_for()
    assert tab.get_by_text("Differential", exact=True).count() == 0
    tab.reload()
    tab.locator(f'img[alt="Image {second}"]').wait_for()
