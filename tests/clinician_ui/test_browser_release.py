"""From a curator's click to a report, in a real Chromium: freeze, train on that release, find its digest."""

import csv
import re
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from concepts.curation import door
from concepts.curation.accounts import OPERATOR, add_account
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict
from concepts.store.roles import Role
from concepts.store.store import Store, open_store

ROOT = Path(__file__).parents[2]
PASSWORD = "a password of length"
TIMEOUT = 180_000
SIDE = 64
COHORT = ("images=240", f"size={SIDE}")
CONCEPTS = ("pigment_network", "streaks", "globules")
SMALL = """# The smallest run that does every stage.
name: curated
threads: 1
data: {{cache: {cache}, phantom: {{images: 240, size: 64}}}}
transforms: {{size: 64, margin: 4}}
model: {{architecture: mobilenet_v1, width: 0.25}}
training: {{plain_epochs: 1, whitened_epochs: 1, batch_size: 16}}
evaluation: {{resamples: 100}}
explanation: {{permutations: 20, cases: 2}}
runs: {runs}
"""
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def cohort(tmp_path) -> Path:
    """A small phantom cohort, the same that the run draws for itself."""
    folder = tmp_path / "cohort"
    pipeline("phantom", str(folder), *COHORT)
    return folder


@pytest.fixture
def store(tmp_path, cohort):
    """A set on the cohort that one reader judged as it was planted, but for one lesion; nothing is frozen."""
    with closing(open_store(str(tmp_path / "store.sqlite"))) as opened:
        fill(opened, cohort)
        yield opened


def fill(store: Store, cohort: Path) -> None:
    with (cohort / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    door.create_set(store, OPERATOR, "derm", consensus={"minimum_readers": 1}, key="set")
    records = [record(cohort, row["image_id"]) for row in rows]
    door.add_images(store, OPERATOR, records, key="images")
    door.add_to_set(store, OPERATOR, "derm", [image.id for image in records], key="row")
    for concept in CONCEPTS:
        door.add_concept(store, OPERATOR, "derm", concept, key=concept)
    judgements = [
        Judgement(
            reader="Ada",
            image_id=row["image_id"],
            concept=concept,
            # Read otherwise than planted in one lesion, so that the release is no copy of the source's own.
            verdict=Verdict.PRESENT if (row[concept] == "1") != (number == 0) else Verdict.ABSENT,
        )
        for number, row in enumerate(rows)
        for concept in CONCEPTS
    ]
    door.import_judgements(store, OPERATOR, "derm", judgements, key="said")
    add_account(store, OPERATOR, "cur", [Role.CURATOR], password=PASSWORD, key="cur")


def record(cohort: Path, image_id: str) -> ImageRecord:
    path = f"images/{image_id}.png"
    digest = sha256((cohort / path).read_bytes()).hexdigest()
    return ImageRecord(id=image_id, digest=digest, path=path, width=SIDE, height=SIDE)


def pipeline(*words: str) -> None:
    command = [sys.executable, "-m", "pipeline", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def served(store, cohort, start_tool) -> str:
    """The address of the tool on the store and the cohort."""
    return start_tool(cohort)


def test_what_a_curator_froze_is_what_a_report_was_trained_on(chromium, served, store, tmp_path, monkeypatch):
    tab = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    tab.set_default_timeout(TIMEOUT)
    tab.goto(f"{served}/sets?set=derm")
    tab.get_by_label("Name").fill("cur")
    tab.get_by_label("Password").fill(PASSWORD)
    tab.get_by_role("button", name="Sign in").click()
    tab.get_by_role("button", name=re.compile("^Freeze a release")).click()
    tab.get_by_role("button", name="Freeze it for good").click()
    tab.get_by_text("Frozen: derm@1").wait_for()
    release = door.read_release(store, OPERATOR, "derm@1")
    assert release.concept_ids == CONCEPTS
    config = tmp_path / "small.yaml"
    config.write_text(SMALL.format(cache=tmp_path / "cache", runs=tmp_path / "runs"))
    monkeypatch.setenv("DERMAXIS_STORE", str(tmp_path / "store.sqlite"))
    pipeline("run", str(config), "concepts=derm@1")
    (report,) = (tmp_path / "runs").glob("curated-*/report.html")
    tab.goto(report.as_uri())
    text = tab.locator("body").inner_text()
    assert release.digest in text
    assert re.search(r"release derm, version 1\b", text)
