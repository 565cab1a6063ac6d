"""Case reviews."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLE = "case_reviews"
REFUSAL = f"'{TABLE} are kept as they were written'"
SQLITE = (
    f"CREATE TRIGGER {TABLE}_no_delete BEFORE DELETE ON {TABLE} BEGIN SELECT RAISE(ABORT, {REFUSAL}); END",
    f"CREATE TRIGGER {TABLE}_no_update BEFORE UPDATE ON {TABLE} BEGIN SELECT RAISE(ABORT, {REFUSAL}); END",
)
POSTGRESQL = (
    f"CREATE FUNCTION keep_{TABLE}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION {REFUSAL}; END $$",
    f"CREATE TRIGGER {TABLE}_kept BEFORE UPDATE OR DELETE ON {TABLE} FOR EACH ROW EXECUTE FUNCTION keep_{TABLE}()",
    f"CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION keep_{TABLE}()",
)


def upgrade() -> None:
    """Bring a store of the revision before up to this one."""
    op.create_table(
        TABLE,
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("run", sa.Text(), nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("diagnosis", sa.Text(), nullable=True),
        sa.Column("confidence", sa.Float(precision=53), nullable=True),
        sa.Column("opinion", sa.String(length=32), nullable=True),
        sa.Column("corrections", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(precision=53), nullable=True),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.CheckConstraint("confidence BETWEEN 0 AND 1", name=op.f("ck_case_reviews_confidence")),
        sa.CheckConstraint("opinion IN ('agrees', 'disagrees', 'unsure')", name=op.f("ck_case_reviews_opinion")),
        sa.CheckConstraint("step IN ('first_read', 'review')", name=op.f("ck_case_reviews_step")),
        sa.ForeignKeyConstraint(["reviewer"], ["accounts.name"], name=op.f("fk_case_reviews_reviewer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_case_reviews")),
    )
    op.create_index("ix_case_reviews_run_image_id", TABLE, ["run", "image_id"], unique=False)
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(sa.text(statement))
