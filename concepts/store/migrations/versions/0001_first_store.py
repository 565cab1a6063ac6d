"""First store."""

from collections.abc import Iterator
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OPERATOR = "operator"
OPERATOR_ROLES = ("admin", "curator", "researcher", "reviewer")
APPEND_ONLY = ("judgements", "regions", "masks", "releases", "audit_events", "acts")
CHANGEABLE = {"judgements": "superseded_by", "releases": "status"}
"""The one column of a kept table that may change."""


def upgrade() -> None:
    """Bring a store of the revision before up to this one."""
    op.create_table(
        "accounts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_accounts")),
    )
    op.create_table(
        "audit_events",
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_events")),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=True),
        sa.Column("height", sa.Integer(), nullable=True),
        sa.Column("diagnosis", sa.Text(), nullable=True),
        sa.Column("site", sa.Text(), nullable=True),
        sa.Column("sex", sa.Text(), nullable=True),
        sa.Column("age", sa.Float(precision=53), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("lesion", sa.Text(), nullable=True),
        sa.Column("patient", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
    )
    op.create_table(
        "masks",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_masks")),
    )
    op.create_table(
        "sets",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("licence", sa.Text(), nullable=False),
        sa.Column("consensus", sa.Text(), nullable=False),
        sa.Column("agreement_measure", sa.String(length=64), nullable=False),
        sa.Column("agreement_threshold", sa.Float(precision=53), nullable=False),
        sa.Column("blinded", sa.Boolean(), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_sets")),
    )
    op.create_table(
        "account_roles",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.name"], name=op.f("fk_account_roles_account")),
        sa.PrimaryKeyConstraint("account", "role", name=op.f("pk_account_roles")),
    )
    op.create_table(
        "acts",
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["seq"], ["audit_events.seq"], name=op.f("fk_acts_seq")),
        sa.PrimaryKeyConstraint("actor", "key", name=op.f("pk_acts")),
    )
    op.create_table(
        "embeddings",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_embeddings_image_id")),
        sa.PrimaryKeyConstraint("run", "image_id", name=op.f("pk_embeddings")),
    )
    op.create_table(
        "releases",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["by"], ["accounts.name"], name=op.f("fk_releases_by")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_releases")),
    )
    op.create_table(
        "set_concepts",
        sa.Column("set_name", sa.String(length=100), nullable=False),
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.Column("parent", sa.String(length=100), nullable=True),
        sa.Column("own", sa.Boolean(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["set_name"], ["sets.name"], name=op.f("fk_set_concepts_set_name")),
        sa.PrimaryKeyConstraint("set_name", "id", name=op.f("pk_set_concepts")),
    )
    op.create_table(
        "set_images",
        sa.Column("set_name", sa.String(length=100), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_set_images_image_id")),
        sa.ForeignKeyConstraint(["set_name"], ["sets.name"], name=op.f("fk_set_images_set_name")),
        sa.PrimaryKeyConstraint("set_name", "image_id", name=op.f("pk_set_images")),
    )
    op.create_index("ix_set_images_set_name_position", "set_images", ["set_name", "position"], unique=True)
    op.create_table(
        "suspicions",
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("concept", sa.String(length=100), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(precision=53), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_suspicions_image_id")),
        sa.PrimaryKeyConstraint("run", "concept", "image_id", name=op.f("pk_suspicions")),
    )
    op.create_table(
        "judgements",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("set_name", sa.String(length=100), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("concept", sa.String(length=100), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("reading", sa.Integer(), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=True),
        sa.Column("confidence", sa.Float(precision=53), nullable=True),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("blinded", sa.Boolean(), nullable=False),
        sa.Column("origin", sa.String(length=32), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("act", sa.Text(), nullable=True),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.Column("supersedes", sa.Integer(), nullable=True),
        sa.Column("superseded_by", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "verdict IN ('present', 'absent', 'uncertain', 'not_assessable')", name=op.f("ck_judgements_verdict")
        ),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_judgements_confidence")),
        sa.CheckConstraint("reading IN (1, 2)", name=op.f("ck_judgements_reading")),
        sa.ForeignKeyConstraint(["reader"], ["accounts.name"], name=op.f("fk_judgements_reader")),
        sa.ForeignKeyConstraint(
            ["set_name", "concept"],
            ["set_concepts.set_name", "set_concepts.id"],
            name=op.f("fk_judgements_set_name_concept"),
        ),
        sa.ForeignKeyConstraint(
            ["set_name", "image_id"],
            ["set_images.set_name", "set_images.image_id"],
            name=op.f("fk_judgements_set_name_image_id"),
        ),
        sa.ForeignKeyConstraint(
            ["superseded_by"],
            ["judgements.id"],
            name=op.f("fk_judgements_superseded_by"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(["supersedes"], ["judgements.id"], name=op.f("fk_judgements_supersedes")),
        sa.ForeignKeyConstraint(["undoes"], ["judgements.id"], name=op.f("fk_judgements_undoes")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_judgements")),
        sa.UniqueConstraint("supersedes", name=op.f("uq_judgements_supersedes")),
    )
    op.create_index(
        "ix_judgements_current",
        "judgements",
        ["set_name", "concept", "image_id", "reader", "kind", "reading"],
        unique=True,
        sqlite_where=sa.text("superseded_by IS NULL"),
        postgresql_where=sa.text("superseded_by IS NULL"),
    )
    op.create_index("ix_judgements_reader", "judgements", ["set_name", "reader", "concept", "id"], unique=False)
    op.create_index("ix_judgements_undoes", "judgements", ["undoes"], unique=True)
    op.create_table(
        "later_marks",
        sa.Column("set_name", sa.String(length=100), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("concept", sa.String(length=100), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["reader"], ["accounts.name"], name=op.f("fk_later_marks_reader")),
        sa.ForeignKeyConstraint(
            ["set_name", "concept"],
            ["set_concepts.set_name", "set_concepts.id"],
            name=op.f("fk_later_marks_set_name_concept"),
        ),
        sa.ForeignKeyConstraint(
            ["set_name", "image_id"],
            ["set_images.set_name", "set_images.image_id"],
            name=op.f("fk_later_marks_set_name_image_id"),
        ),
        sa.PrimaryKeyConstraint("set_name", "reader", "concept", "image_id", name=op.f("pk_later_marks")),
    )
    op.create_table(
        "regions",
        sa.Column("judgement_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("vertices", sa.Text(), nullable=False),
        sa.Column("mask", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(["judgement_id"], ["judgements.id"], name=op.f("fk_regions_judgement_id")),
        sa.ForeignKeyConstraint(["mask"], ["masks.digest"], name=op.f("fk_regions_mask")),
        sa.PrimaryKeyConstraint("judgement_id", "position", name=op.f("pk_regions")),
    )
    for statement in _triggers(op.get_bind()):
        op.execute(sa.text(statement.replace(":", "\\:")))
    _add_operator()


def _add_operator() -> None:
    created = datetime.now(UTC).isoformat(timespec="microseconds")
    accounts = sa.table("accounts", *map(sa.column, ("name", "password", "disabled", "created")))
    roles = sa.table("account_roles", sa.column("account"), sa.column("role"))
    op.execute(accounts.insert().values(name=OPERATOR, password=None, disabled=sa.false(), created=created))
    for role in OPERATOR_ROLES:
        op.execute(roles.insert().values(account=OPERATOR, role=role))


def _triggers(connection: sa.Connection) -> Iterator[str]:
    for table in APPEND_ONLY:
        columns = [column["name"] for column in sa.inspect(connection).get_columns(table)]
        if connection.dialect.name == "sqlite":
            yield from _sqlite_triggers(table, columns)
        else:
            yield from _postgresql_triggers(table)


def _sqlite_triggers(table: str, columns: list[str]) -> Iterator[str]:
    refusal = f"SELECT RAISE(ABORT, '{table} are kept as they were written')"
    changeable = CHANGEABLE.get(table)
    same = " AND ".join(f'NEW."{column}" IS OLD."{column}"' for column in columns if column != changeable)
    allowed = f"{same} AND {_may_change(table)}" if changeable else "0"
    yield f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} BEGIN {refusal}; END"
    yield f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} WHEN NOT ({allowed}) BEGIN {refusal}; END"


def _postgresql_triggers(table: str) -> Iterator[str]:
    refusal = f"RAISE EXCEPTION '{table} are kept as they were written'"
    changeable = CHANGEABLE.get(table)
    same = f"to_jsonb(NEW) - '{changeable}' = to_jsonb(OLD) - '{changeable}'"
    allowed = f"TG_OP = 'UPDATE' AND {same} AND {_may_change(table)}" if changeable else "FALSE"
    # The operation is asked first, in a statement of its own: a statement trigger has no rows to look at.
    body = f"IF TG_OP = 'TRUNCATE' OR TG_OP = 'DELETE' THEN {refusal}; END IF; IF {allowed} THEN RETURN NEW; END IF;"
    yield (f"CREATE FUNCTION keep_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} {refusal}; END $$")
    yield (
        f"CREATE TRIGGER {table}_kept BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep_{table}()"
    )
    yield (
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION keep_{table}()"
    )


def _may_change(table: str) -> str:
    if table == "judgements":
        return "OLD.superseded_by IS NULL AND NEW.superseded_by IS NOT NULL"
    return "(OLD.status = 'frozen' OR NEW.status = 'retired')"
