"""The tables of the concept store.

Times are ISO 8601 text in UTC with microseconds, so that both databases keep and sort them alike. Judgements, their
regions and masks, releases and audit events are only ever added; triggers (in the migrations) refuse the rest, but
for the one mark by which a judgement becomes superseded and the status of a release.
"""

from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

import sqlalchemy
from sqlalchemy import (
    CheckConstraint,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

TIME = String(32)
DIGEST = String(64)
DOUBLE = Float(53)
PARAMETERS = 900
"""Values in one statement; SQLite takes 999 at the least."""
Value = TypeVar("Value")


class Table(DeclarativeBase):
    """What every table shares: names of constraints that migrations can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def table(row: type[Table]) -> sqlalchemy.Table:
    """Return the table itself: statements that writers wait for are built from it once, without the object mapper."""
    return cast(sqlalchemy.Table, row.__table__)


def portions(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Split values into as many at a time as one statement takes."""
    return (values[start : start + PARAMETERS] for start in range(0, len(values), PARAMETERS))


class ImageRow(Table):
    """An image; the file itself stays in the image folder."""

    __tablename__ = "images"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    digest: Mapped[str] = mapped_column(DIGEST)
    path: Mapped[str] = mapped_column(Text)
    width: Mapped[int | None]
    height: Mapped[int | None]
    diagnosis: Mapped[str | None] = mapped_column(Text)
    site: Mapped[str | None] = mapped_column(Text)
    sex: Mapped[str | None] = mapped_column(Text)
    age: Mapped[float | None] = mapped_column(DOUBLE)
    source: Mapped[str | None] = mapped_column(Text)
    lesion: Mapped[str | None] = mapped_column(Text)
    patient: Mapped[str | None] = mapped_column(Text)


class AccountRow(Table):
    """A person, or a source that stands in for a reader; one without a password hash cannot sign in.

    Name, salt and password stand here alone, never in the chain: see `concepts.store.persons`.
    """

    __tablename__ = "accounts"
    __table_args__ = (Index("ix_accounts_number", "number", unique=True),)

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    password: Mapped[str | None] = mapped_column(Text)
    disabled: Mapped[bool]
    created: Mapped[str] = mapped_column(TIME)
    number: Mapped[int] = mapped_column(server_default=text("0"))
    salt: Mapped[str | None] = mapped_column(String(32))


class AccountRoleRow(Table):
    """A role of an account."""

    __tablename__ = "account_roles"

    account: Mapped[str] = mapped_column(ForeignKey("accounts.name"), primary_key=True)
    role: Mapped[str] = mapped_column(String(32), primary_key=True)


class SetRow(Table):
    """A concept set, with its rule of consensus and the agreement below which a concept is flagged."""

    __tablename__ = "sets"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    description: Mapped[str] = mapped_column(Text)
    licence: Mapped[str] = mapped_column(Text)
    consensus: Mapped[str] = mapped_column(Text)
    agreement_measure: Mapped[str] = mapped_column(String(64))
    agreement_threshold: Mapped[float] = mapped_column(DOUBLE)
    blinded: Mapped[bool]
    created: Mapped[str] = mapped_column(TIME)


class ConceptRow(Table):
    """A concept of a set: a term of the vocabulary as it read when it was added, or the set's own."""

    __tablename__ = "set_concepts"

    set_name: Mapped[str] = mapped_column(ForeignKey("sets.name"), primary_key=True)
    id: Mapped[str] = mapped_column(String(100), primary_key=True)
    position: Mapped[int]
    name: Mapped[str] = mapped_column(Text)
    definition: Mapped[str] = mapped_column(Text)
    parent: Mapped[str | None] = mapped_column(String(100))
    is_own: Mapped[bool] = mapped_column("own")
    rule: Mapped[str | None] = mapped_column(Text)


class SetImageRow(Table):
    """An image that is to be judged for a set."""

    __tablename__ = "set_images"
    __table_args__ = (Index("ix_set_images_set_name_position", "set_name", "position", unique=True),)

    set_name: Mapped[str] = mapped_column(ForeignKey("sets.name"), primary_key=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"), primary_key=True)
    position: Mapped[int]


class JudgementRow(Table):
    """A judgement, or (without a verdict) the withdrawal of one. Numbers have no gaps: nothing is ever erased."""

    __tablename__ = "judgements"
    __table_args__ = (
        ForeignKeyConstraint(["set_name", "image_id"], ["set_images.set_name", "set_images.image_id"]),
        ForeignKeyConstraint(["set_name", "concept"], ["set_concepts.set_name", "set_concepts.id"]),
        CheckConstraint("reading IN (1, 2)", name="reading"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        CheckConstraint("verdict IN ('present', 'absent', 'uncertain', 'not_assessable')", name="verdict"),
        Index(
            "ix_judgements_current",
            "set_name",
            "concept",
            "image_id",
            "reader",
            "kind",
            "reading",
            unique=True,
            sqlite_where=text("superseded_by IS NULL"),
            postgresql_where=text("superseded_by IS NULL"),
        ),
        Index("ix_judgements_reader", "set_name", "reader", "id"),
        Index(
            "ix_judgements_standing",
            "set_name",
            "reader",
            "kind",
            "reading",
            "concept",
            "verdict",
            sqlite_where=text("superseded_by IS NULL"),
            postgresql_where=text("superseded_by IS NULL"),
        ),
        Index("ix_judgements_undoes", "undoes", unique=True),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    set_name: Mapped[str] = mapped_column(String(100))
    image_id: Mapped[str] = mapped_column(Text)
    concept: Mapped[str] = mapped_column(String(100))
    reader: Mapped[str] = mapped_column(ForeignKey("accounts.name"))
    kind: Mapped[str] = mapped_column(String(32))
    reading: Mapped[int]
    verdict: Mapped[str | None] = mapped_column(String(32))
    confidence: Mapped[float | None] = mapped_column(DOUBLE)
    note: Mapped[str] = mapped_column(Text)
    seconds: Mapped[float | None] = mapped_column(DOUBLE)
    blinded: Mapped[bool]
    origin: Mapped[str] = mapped_column(String(32))
    at: Mapped[str] = mapped_column(TIME)
    act: Mapped[str | None] = mapped_column(Text)
    """The key of the act that wrote it, by which undo finds what was done at once; None: cannot be undone."""
    undoes: Mapped[int | None] = mapped_column(ForeignKey("judgements.id"))
    supersedes: Mapped[int | None] = mapped_column(ForeignKey("judgements.id"), unique=True)
    superseded_by: Mapped[int | None] = mapped_column(
        ForeignKey("judgements.id", deferrable=True, initially="DEFERRED")
    )


class MaskRow(Table):
    """A PNG file, by the digest of its bytes."""

    __tablename__ = "masks"

    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)


class RegionRow(Table):
    """A region of a judgement."""

    __tablename__ = "regions"

    judgement_id: Mapped[int] = mapped_column(ForeignKey("judgements.id"), primary_key=True, autoincrement=False)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(32))
    vertices: Mapped[str] = mapped_column(Text)
    mask: Mapped[str | None] = mapped_column(ForeignKey("masks.digest"))


class LaterRow(Table):
    """A case that a reader put aside; no judgement."""

    __tablename__ = "later_marks"
    __table_args__ = (
        ForeignKeyConstraint(["set_name", "image_id"], ["set_images.set_name", "set_images.image_id"]),
        ForeignKeyConstraint(["set_name", "concept"], ["set_concepts.set_name", "set_concepts.id"]),
    )

    set_name: Mapped[str] = mapped_column(String(100), primary_key=True)
    reader: Mapped[str] = mapped_column(ForeignKey("accounts.name"), primary_key=True)
    concept: Mapped[str] = mapped_column(String(100), primary_key=True)
    image_id: Mapped[str] = mapped_column(Text, primary_key=True)
    at: Mapped[str] = mapped_column(TIME)


class CaseReviewRow(Table):
    """What a reviewer said about one case that a run's network explained."""

    __tablename__ = "case_reviews"
    __table_args__ = (
        CheckConstraint("step IN ('first_read', 'review')", name="step"),
        CheckConstraint("opinion IN ('agrees', 'disagrees', 'unsure')", name="opinion"),
        CheckConstraint("confidence BETWEEN 0 AND 1", name="confidence"),
        Index("ix_case_reviews_run_image_id", "run", "image_id"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    reviewer: Mapped[str] = mapped_column(ForeignKey("accounts.name"))
    run: Mapped[str] = mapped_column(Text)
    image_id: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(DIGEST)
    step: Mapped[str] = mapped_column(String(32))
    diagnosis: Mapped[str | None] = mapped_column(Text)
    confidence: Mapped[float | None] = mapped_column(DOUBLE)
    opinion: Mapped[str | None] = mapped_column(String(32))
    corrections: Mapped[str] = mapped_column(Text)
    """JSON: concept to verdict."""
    comment: Mapped[str] = mapped_column(Text)
    seconds: Mapped[float | None] = mapped_column(DOUBLE)
    at: Mapped[str] = mapped_column(TIME)


class ReleaseRow(Table):
    """A release; its manifest is kept as the exact text that carries the digest."""

    __tablename__ = "releases"

    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(DIGEST)
    manifest: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(32))
    by: Mapped[str] = mapped_column(ForeignKey("accounts.name"))
    at: Mapped[str] = mapped_column(TIME)


class EventRow(Table):
    """A link of the audit chain."""

    __tablename__ = "audit_events"

    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    previous: Mapped[str] = mapped_column(DIGEST)
    hash: Mapped[str] = mapped_column(DIGEST)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(Text)
    payload: Mapped[str] = mapped_column(Text)
    at: Mapped[str] = mapped_column(TIME)


class ActRow(Table):
    """What became of an act, by the key that its sender gave it: a repeat gets the same answer and writes nothing."""

    __tablename__ = "acts"

    actor: Mapped[str] = mapped_column(Text, primary_key=True)
    key: Mapped[str] = mapped_column(Text, primary_key=True)
    action: Mapped[str] = mapped_column(String(64))
    request: Mapped[str] = mapped_column(DIGEST)
    """SHA-256 of what was asked, so that a key that is used for something else is noticed."""
    seq: Mapped[int] = mapped_column(ForeignKey("audit_events.seq"))
    result: Mapped[str] = mapped_column(Text)


class EmbeddingRow(Table):
    """What a run's network makes of an image, for sorting by similarity."""

    __tablename__ = "embeddings"

    run: Mapped[str] = mapped_column(Text, primary_key=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    """Little-endian float32."""


class SuspicionRow(Table):
    """How strongly a run's network suspects a concept in an image, for sorting."""

    __tablename__ = "suspicions"
    __table_args__ = (Index("ix_suspicions_run_concept_value", "run", "concept", "value"),)

    run: Mapped[str] = mapped_column(Text, primary_key=True)
    concept: Mapped[str] = mapped_column(String(100), primary_key=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("images.id"), primary_key=True)
    value: Mapped[float] = mapped_column(DOUBLE)
