"""The flows that matter, in a real Chromium: judging by keyboard alone, disagreement and its end, freezing."""

import re
from hashlib import sha256

import pytest

from concepts.curation import door
from concepts.curation.accounts import OPERATOR, set_roles
from concepts.curation.sets import ImageRecord, SetConcept
from concepts.judgement import Judgement, Kind, RegionKind, Verdict
from concepts.mask import rasterise
from concepts.store.roles import Role

pytestmark = pytest.mark.browser


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
    return sorted(judgement.image_id for judgement in door.own_latest(store, reader, "derm", limit=99))


def test_judging_by_keyboard_alone_undoing_drawing_and_reloading(sign_in, store_and_images):
    store = store_and_images[0]
    tab = sign_in("ann", "curate?set=derm")
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
    kept = door.own_judgement(store, "ann", "derm", "lesion17", "streaks")
    assert [region.kind for region in kept.regions] == [RegionKind.POLYGON]
    assert len(kept.regions[0].vertices) == 4
    tab.reload()
    assert shown(tab) == "lesion18"
    assert "18 of 24" in tab.locator(".dx-progress").inner_text()
    assert tab.title() != "broken"


def test_the_last_verdict_of_a_concept_is_undone_by_its_key_too(sign_in, store_and_images):
    for number in range(24):
        judgement = Judgement(reader="ann", image_id=f"lesion{number:02}", concept="streaks", verdict=Verdict.ABSENT)
        door.judge(store_and_images[0], "ann", "derm", judgement, key=str(number))
    tab = sign_in("ann", "curate?set=derm&concept=streaks")
    tab.get_by_text("You have judged every image").wait_for()
    tab.get_by_role("button", name="Undo the latest verdict").wait_for()
    tab.wait_for_timeout(500)
    tab.keyboard.press("Control+z")
    assert shown(tab) == "lesion23"


def draw_polygon(tab) -> None:
    tab.keyboard.press("g")
    box = tab.locator(".view").bounding_box()
    for x, y in ((0.4, 0.4), (0.6, 0.4), (0.6, 0.6), (0.5, 0.7), (0.4, 0.6)):
        tab.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    tab.keyboard.press("Control+z")
    tab.keyboard.press("Enter")
    tab.get_by_role("button", name="Remove polygon 1").wait_for()


def test_a_double_press_is_one_record(sign_in, store_and_images):
    tab = sign_in("ben", "curate?set=derm")
    assert shown(tab) == "lesion00"
    tab.wait_for_timeout(300)
    tab.get_by_role("button", name=re.compile("^Present")).dblclick()
    tab.locator('.stage img:not(.waits)[alt$="lesion01"]').wait_for()
    tab.wait_for_timeout(500)
    assert judged(store_and_images[0], "ben") == ["lesion00"]


def test_two_disagree_a_third_settles_it_blinded_and_a_curator_freezes(sign_in, store_and_images, dispute):
    store = store_and_images[0]
    tab = sign_in("eve", "adjudicate?set=derm")
    assert shown(tab) == dispute
    assert "ann" not in tab.locator("[data-testid=stMain]").inner_text().split()
    tab.wait_for_timeout(300)
    tab.keyboard.press("p")
    tab.get_by_text("Verdicts of the others").wait_for()
    # The viewer takes no key until it has heard that the first look is kept.
    tab.locator(".viewer:not([aria-busy])").wait_for()
    shown(tab)
    tab.wait_for_timeout(500)
    tab.keyboard.press("p")
    tab.get_by_text("No case is contested").wait_for()
    kinds = [judgement.kind for judgement in door.read_judgements(store, OPERATOR, "derm") if judgement.reader == "eve"]
    assert kinds == [Kind.FIRST_LOOK, Kind.ADJUDICATION]
    tab = sign_in("cur", "sets?set=derm")
    tab.get_by_role("button", name=re.compile("^Freeze a release")).click()
    tab.get_by_role("button", name="Freeze it for good").click()
    tab.get_by_text("Frozen: derm@1").wait_for()
    release = door.read_release(store, OPERATOR, "derm@1")
    assert [(e.image_id, e.polarity) for e in release.examples] == [(dispute, Verdict.PRESENT)]
    path = door.export_release(store, OPERATOR, "derm@1", store_and_images[1].parent / "exported")
    assert release.digest in path.read_text(encoding="utf-8")


def test_the_grid_by_keyboard(sign_in, store_and_images):
    tab = sign_in("ann", "grid?set=derm")
    tab.locator(".cell").nth(23).wait_for()
    for key in ("Space", "ArrowRight", "ArrowRight", "Space"):
        tab.keyboard.press(key)
    tab.get_by_text("2 selected").wait_for()
    tab.keyboard.press("a")
    tab.get_by_text("Saved: absent for 2 images.").wait_for()
    assert judged(store_and_images[0], "ann") == ["lesion00", "lesion02"]


def test_the_grid_sorts_by_what_is_like_the_selected_image(sign_in, store_and_images):
    vectors = [[1, abs(number - 9)] for number in range(24)]
    names = [f"lesion{number:02}" for number in range(24)]
    door.record_embeddings(store_and_images[0], OPERATOR, "run", names, vectors, key="embeddings")
    tab = sign_in("ann", "grid?set=derm")
    expect = pytest.importorskip("playwright.sync_api").expect
    like = tab.get_by_role("button", name=re.compile("^Like this"))
    for number in (8, 9):
        tab.locator(".cell").nth(number).click()
    tab.get_by_text("2 selected").wait_for()
    expect(like).to_be_disabled()
    tab.locator(".cell").nth(8).click()
    tab.get_by_text("1 selected").wait_for()
    expect(like).to_be_enabled()
    tab.keyboard.press("s")
    tab.get_by_text("Sorted by similarity to lesion09").wait_for()
    expect(tab.get_by_label("Like the image")).to_have_value("lesion09")
    expect(tab.locator(".cell").first).to_have_attribute("aria-label", "lesion09")
    order = [cell.get_attribute("aria-label") for cell in tab.locator(".cell").all()]
    assert set(order[1:3]) == {"lesion08", "lesion10"}
    assert order[-1] == "lesion23"
    tab.locator(".cell").nth(23).click()
    like.click()
    tab.get_by_text("Sorted by similarity to lesion23").wait_for()
    assert judged(store_and_images[0], "ann") == []


def test_a_key_that_was_changed_judges_and_stays_after_a_reload(sign_in, store_and_images):
    tab = sign_in("ann", "curate?set=derm")
    assert shown(tab) == "lesion00"
    tab.get_by_role("button", name="Keys").click()
    give_key(tab, "Present", "x")
    assert shown_key(tab, "Present") == "X"
    give_key(tab, "Absent", "u")
    assert (shown_key(tab, "Absent"), shown_key(tab, "Uncertain")) == ("U", "A")
    tab.get_by_role("button", name="Keys").click()
    tab.keyboard.press("p")
    tab.wait_for_timeout(500)
    assert (shown(tab), judged(store_and_images[0], "ann")) == ("lesion00", [])
    for key in "xua":
        press_and_wait(tab, key)
    tab.reload()
    assert shown(tab) == "lesion03"
    assert [shown_key(tab, label) for label in ("Present", "Absent", "Uncertain")] == ["X", "U", "A"]
    press_and_wait(tab, "x")
    kept = [
        door.own_judgement(store_and_images[0], "ann", "derm", f"lesion{number:02}", "streaks") for number in range(4)
    ]
    assert [judgement.verdict for judgement in kept] == [
        Verdict.PRESENT,
        Verdict.ABSENT,
        Verdict.UNCERTAIN,
        Verdict.PRESENT,
    ]


def give_key(tab, label: str, key: str) -> None:
    row = tab.locator("section.keys .row").filter(has=tab.get_by_text(label, exact=True))
    row.get_by_role("button").click()
    row.get_by_text("press a key").wait_for()
    tab.keyboard.press(key)
    row.get_by_text(key.upper(), exact=True).wait_for()


def shown_key(tab, label: str) -> str:
    """The key on the button of a verdict."""
    return tab.locator(".verdicts button").filter(has_text=label).locator("kbd").inner_text()


CANARIES = (
    "<img src=x onerror=document.title='broken'>",
    "=1+1 ![x](x) [a](javascript:b) $x$ :red[y]",
    "%2e%2e%2fa&b#c?d",
)


def test_names_notes_and_file_names_stay_text_on_every_page(sign_in, store_and_images):
    store, folder = store_and_images
    content = (folder / "lesion00.png").read_bytes()
    records = [
        ImageRecord(id=name, digest=sha256(content).hexdigest(), path=f"{name}.png", width=192, height=192, source=name)
        for name in CANARIES
    ]
    for record in records:
        (folder / record.path).write_bytes(content)
    door.create_set(store, OPERATOR, "odd", description=CANARIES[0], licence=CANARIES[1], key="odd")
    odd = SetConcept(id="odd", name=CANARIES[0], definition=CANARIES[0], is_own=True)
    door.add_concept(store, OPERATOR, "odd", odd, key="concept")
    door.add_images(store, OPERATOR, records, key="odd images")
    door.add_to_set(store, OPERATOR, "odd", list(CANARIES), key="odd row")
    for reader, verdict in (("ann", Verdict.PRESENT), ("ben", Verdict.ABSENT)):
        for name in CANARIES[:2]:
            judgement = Judgement(reader=reader, image_id=name, concept="odd", verdict=verdict, note=CANARIES[0])
            door.judge(store, reader, "odd", judgement, key=f"{reader} {name}")
    set_roles(store, OPERATOR, "adm", list(Role), key="all")
    tab = sign_in("adm", "curate?set=odd")
    # Its file is read by its name, whatever the name looks like.
    assert shown(tab) == CANARIES[0]
    press_and_wait(tab, "p")
    assert shown(tab) == CANARIES[1]
    address = tab.url.split("/curate")[0]
    for page, text in (
        ("grid", "3 images"),
        ("adjudicate", "contested case"),
        ("sets", "Releases"),
        ("history", "Export"),
    ):
        tab.goto(f"{address}/{page}?set=odd")
        tab.get_by_text(text).first.wait_for()
        tab.wait_for_timeout(1000)
        assert tab.title() != "broken"
        assert tab.locator("img[src=x]").count() == 0
    assert tab.locator("a[href^=javascript]").count() == 0


def placed(tab) -> tuple[float, float, float, float]:
    """Left, top, width and height of the image on the screen."""
    box = tab.locator(".stage img:not(.waits)").bounding_box()
    return box["x"], box["y"], box["width"], box["height"]


def at(tab, x: float, y: float) -> tuple[float, float]:
    """A point of the image, in fractions of it, on the screen."""
    left, top, width, height = placed(tab)
    return left + x * width, top + y * height


def test_what_is_painted_with_the_brush_is_stored_where_it_was_painted(sign_in, store_and_images):
    tab = sign_in("ann", "curate?set=derm")
    assert shown(tab) == "lesion00"
    tab.keyboard.press("d")
    stroke(tab, 0.3, 0.7)
    tab.get_by_role("button", name="Remove brush stroke 1").wait_for()
    stroke(tab, 0.9, 0.95)
    tab.get_by_role("button", name="Remove brush stroke 2").wait_for()
    tab.keyboard.press("Control+z")
    tab.get_by_role("button", name="Remove brush stroke 2").wait_for(state="detached")
    press_and_wait(tab, "p")
    kept = door.own_judgement(store_and_images[0], "ann", "derm", "lesion00", "streaks")
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
        # Fingers that rest before they leave do not fling; a tap soon after a fling would only end it.
        self.tab.wait_for_timeout(200)
        self.send("touchMove", *ends)
        self.send("touchEnd")
        self.tab.wait_for_timeout(400)


def test_two_fingers_zoom_where_they_are_and_one_moves_or_draws(sign_in, store_and_images):
    tab = sign_in("ann", "curate?set=derm", has_touch=True)
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
    kept = door.own_judgement(store_and_images[0], "ann", "derm", "lesion00", "streaks")
    ((corner, other),) = [region.vertices for region in kept.regions]
    assert (*corner, *other) == pytest.approx((0.2, 0.3, 0.6, 0.8), abs=0.01)
