"""Stand-ins that several tests use: small, made by hand, with answers known by thought."""

from pathlib import Path

import numpy as np
from argon2 import PasswordHasher

from concepts.curation import door as curation
from concepts.curation.accounts import OPERATOR, add_account
from concepts.curation.judging import judge
from concepts.curation.sets import SetConcept, add_concept, add_images, add_to_set, create_set
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Region, RegionKind, Verdict
from concepts.mask import encode
from concepts.store.roles import Role
from concepts.store.store import Store

IMAGES = 6
BRUSH = Region(RegionKind.BRUSH, mask=encode(np.eye(4, dtype=bool)))
BOX = Region(RegionKind.BOX, ((0.1, 0.2), (0.5, 0.9)))
CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Argon2 is safe because it is slow; tests need not be."""
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
"""Where stores of tests lie: a busy disk makes each commit wait."""


def fill(store: Store) -> None:
    """Add the readers ann and ben, the adjudicator eve, and the set ``derm``: 2 concepts, 6 images."""
    for name in ("ann", "ben"):
        add_account(store, OPERATOR, name, [Role.ANNOTATOR], key=f"account {name}")
    add_account(store, OPERATOR, "eve", [Role.ADJUDICATOR], key="account eve")
    create_set(store, OPERATOR, "derm", key="set")
    images = [
        ImageRecord(id=f"image{number}", digest=f"{number:064x}", path=f"{number}.png", width=20, height=10)
        for number in range(IMAGES)
    ]
    add_images(store, OPERATOR, images, key="images")
    add_to_set(store, OPERATOR, "derm", [image.id for image in images], key="row")
    for concept in ("streaks", "pigment_network"):
        add_concept(store, OPERATOR, "derm", concept, key=concept)


def judge_two_images(store: Store) -> None:
    """Let ann and ben agree that image0 shows streaks, and disagree on image1: judgements 1 to 4."""
    for image, second in (("image0", Verdict.PRESENT), ("image1", Verdict.ABSENT)):
        for reader, verdict in (("ann", Verdict.PRESENT), ("ben", second)):
            judgement = Judgement(reader=reader, image_id=image, concept="streaks", verdict=verdict)
            judge(store, reader, "derm", judgement, key=f"{reader} {image}")


def live(store: Store) -> None:
    """A bit of everything that can be done."""
    case = {"image_id": "image0", "concept": "streaks"}
    curation.create_set(store, OPERATOR, "second", description="d", consensus={"minimum_readers": 1}, key="second")
    curation.update_set(store, OPERATOR, "second", blinded=False, consensus={"majority": 0.75}, key="update")
    dots = SetConcept(id="blue_dots", name="Blue dots", definition="Small, blue.", is_own=True)
    curation.add_concept(store, OPERATOR, "second", dots, key="own")
    image = ImageRecord(id="new", digest="ab" * 32, path="n.png", width=4, height=4, age=41.5)
    curation.add_images(store, OPERATOR, [image], key="new")
    curation.add_to_set(store, OPERATOR, "second", ["new", "image3"], key="into second")
    curation.add_account(store, OPERATOR, "zoe", [Role.REVIEWER], key="zoe")
    curation.set_roles(store, OPERATOR, "zoe", [Role.RESEARCHER, Role.REVIEWER], key="roles")
    curation.set_disabled(store, OPERATOR, "zoe", disabled=True, key="out")
    for image_id in ("image0", "image4"):
        curation.save_for_later(store, "ann", "derm", image_id, "streaks", key=f"later {image_id}")
    for reader, verdict, regions in (("ann", Verdict.PRESENT, (BOX, BRUSH)), ("ben", Verdict.ABSENT, ())):
        judgement = Judgement(reader=reader, verdict=verdict, regions=regions, **case)
        curation.judge(store, reader, "derm", judgement, key="one")
    many = [Judgement(reader="ann", image_id=f"image{n}", concept="streaks", verdict=Verdict.ABSENT) for n in (1, 2)]
    curation.judge_many(store, "ann", "derm", many, key="many")
    curation.judge(
        store, "ann", "derm", Judgement(reader="ann", verdict=Verdict.PRESENT, reading=2, **case), key="again"
    )
    curation.undo(store, "ann", "derm", steps=2, key="undo")
    brought = Judgement(
        reader="Elsewhere", image_id="image5", concept="streaks", verdict=Verdict.PRESENT, regions=(BRUSH,)
    )
    curation.import_judgements(store, OPERATOR, "derm", [brought], key="import")
    look = Judgement(reader="eve", verdict=Verdict.ABSENT, **case)
    curation.first_look(store, "eve", "derm", look, key="look")
    curation.adjudicate(store, "eve", "derm", look, key="word")
    for key in ("one", "two", "three"):
        curation.freeze(store, OPERATOR, "derm", key=key)
    curation.supersede_release(store, OPERATOR, "derm@1", key="supersede")
    curation.retire_release(store, OPERATOR, "derm@2", reason="r", key="retire")
