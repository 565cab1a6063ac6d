"""Stand-ins that several tests use: small, made by hand, with answers known by thought."""

from pathlib import Path

from argon2 import PasswordHasher

from concepts.curation.accounts import OPERATOR, add_account
from concepts.curation.judging import judge
from concepts.curation.sets import add_concept, add_images, add_to_set, create_set
from concepts.image_record import ImageRecord
from concepts.judgement import Judgement, Verdict
from concepts.store.roles import Role
from concepts.store.store import Store

IMAGES = 6
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
