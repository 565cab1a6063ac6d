"""A cohort to try the tool on: phantom lesions, a sample set, two simulated readers and an account."""

import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from concepts.csv_cells import csv_rows
from concepts.curation.accounts import OPERATOR, add_account, set_password
from concepts.curation.judging import import_judgements
from concepts.curation.releasing import import_release
from concepts.curation.sets import add_concept, add_images, add_to_set, create_set
from concepts.curation.suspicion import record_embeddings, record_suspicion
from concepts.errors import DataError
from concepts.example import ConceptEntry, Example, Origin, Polarity
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict
from concepts.release import freeze, write_release
from concepts.store.roles import Role
from concepts.store.store import Store, open_store

FOLDER = Path("~/.cache/dermaxis/labelling-demo-2")
NAME = "demo"
ROLES = (Role.ANNOTATOR, Role.ADJUDICATOR, Role.CURATOR, Role.REVIEWER, Role.RESEARCHER)
SET = "phantom"
IMAGES, SETTLED, SIDE = 72, 20, 256
"""Images drawn; those of them that are settled examples and not judged; their side in pixels."""
CONCEPTS = ("pigment_network", "streaks", "globules", "milia_like_cysts")
SIMULATED = {"simulated reader 1": 0.08, "simulated reader 2": 0.3}
"""Simulated readers, with the share of their verdicts that is drawn at random."""
READ_BY_SIMULATED = 30
RUN = "simulated run"

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Demo:
    """The cohort and the account to try the tool with.

    Attributes:
        store: Address of the store.
        images: Folder of the images.
        name: Name of the account.
        password: Password of the account; every start sets a new one.
    """

    store: str
    images: Path
    name: str
    password: str


def open_demo(folder: Path = FOLDER) -> Demo:
    """Open the demo; the first call makes it, and judgements in it stay.

    Raises:
        DataError: If the cohort cannot be drawn.
    """
    folder = folder.expanduser()
    cohort, database = folder / "cohort", folder / "concepts.sqlite"
    if not (cohort / "metadata.csv").is_file():
        _draw(cohort)
    with closing(open_store(str(database))) as store:
        # Every act has a key of its own, so that a start that was cut short is completed by the next.
        _fill(store, cohort)
        password = secrets.token_urlsafe(9)
        set_password(store, OPERATOR, NAME, password, key=secrets.token_hex())
    return Demo(str(database), cohort, NAME, password)


def _draw(cohort: Path) -> None:
    cohort.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pipeline", "phantom", str(cohort), f"images={IMAGES}", f"size={SIDE}"]
    drawn = subprocess.run(command, capture_output=True, text=True, check=False)
    if drawn.returncode:
        raise DataError(f"{cohort}: the phantom cohort could not be drawn: {' '.join(drawn.stderr.split())[-200:]}")


def _fill(store: Store, cohort: Path) -> None:
    rows = csv_rows((cohort / "metadata.csv").read_text(encoding="utf-8"))
    digests = {row["image_id"]: sha256((cohort / _path(row)).read_bytes()).hexdigest() for row in rows}
    add_account(store, OPERATOR, NAME, ROLES, key="demo account")
    create_set(
        store, OPERATOR, SET, description="Generated lesions with planted concepts", licence="CC0-1.0", key="set"
    )
    add_images(store, OPERATOR, [_record(row, digests) for row in rows], key="images")
    add_to_set(store, OPERATOR, SET, [row["image_id"] for row in rows[SETTLED:]], key="row")
    for concept in CONCEPTS:
        add_concept(store, OPERATOR, SET, concept, key=concept)
    _settle(store, cohort.parent, rows[:SETTLED], digests)
    simulated = list(_simulated(rows[SETTLED : SETTLED + READ_BY_SIMULATED]))
    import_judgements(store, OPERATOR, SET, simulated, key="simulated readers")
    _suspect(store, rows)


def _record(row: Row, digests: Mapping[str, str]) -> ImageRecord:
    image = row["image_id"]
    texts = {name: row[name] for name in ("diagnosis", "site", "sex")}
    return ImageRecord(
        id=image,
        digest=digests[image],
        path=_path(row),
        width=SIDE,
        height=SIDE,
        age=float(row["age"]),
        source="phantom",
        lesion=row["lesion_id"],
        patient=row["patient_id"],
        **texts,
    )


def _settle(store: Store, folder: Path, rows: Sequence[Row], digests: Mapping[str, str]) -> None:
    """Import a first release, so that there are examples to look at."""
    examples = [
        Example(
            image_id=row["image_id"],
            image_digest=digests[row["image_id"]],
            concept=concept,
            polarity=Polarity.PRESENT if row[concept] == "1" else Polarity.ABSENT,
            provenance="planted",
        )
        for row in rows
        for concept in CONCEPTS
    ]
    entries = [ConceptEntry.from_vocabulary(concept, origin=Origin.PLANTED) for concept in CONCEPTS]
    release = freeze(SET, 1, concepts=entries, examples=examples, description="Planted", licence="CC0-1.0")
    path = folder / "settled.json"
    if not path.exists():
        write_release(release, path)
    import_release(store, OPERATOR, path, key="settled")


def _simulated(rows: Sequence[Row]) -> Iterator[Judgement]:
    generator = np.random.default_rng(0)
    for reader, slips in SIMULATED.items():
        for row in rows:
            for concept in CONCEPTS:
                planted = Verdict.PRESENT if row[concept] == "1" else Verdict.ABSENT
                verdict = generator.choice(list(Verdict)[:3]) if generator.random() < slips else planted
                yield Judgement(reader=reader, image_id=row["image_id"], concept=concept, verdict=Verdict(verdict))


def _suspect(store: Store, rows: Sequence[Row]) -> None:
    """Record suspicions and embeddings as a run would, drawn at random around the planted concepts."""
    generator = np.random.default_rng(1)
    names = [row["image_id"] for row in rows]
    planted = np.array([[float(row[concept]) for concept in CONCEPTS] for row in rows])
    figures = np.clip(0.25 + 0.5 * planted + generator.normal(0, 0.2, planted.shape), 0, 1)
    for column, concept in enumerate(CONCEPTS):
        values = dict(zip(names, map(float, figures[:, column]), strict=True))
        record_suspicion(store, OPERATOR, RUN, concept, values, key=f"suspicion {concept}")
    record_embeddings(store, OPERATOR, RUN, names, figures - 0.5, key="embeddings")


def _path(row: Row) -> str:
    return f"images/{row['image_id']}.png"
