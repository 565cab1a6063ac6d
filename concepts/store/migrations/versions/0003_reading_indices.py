"""Indices for asking for the next image in sets with many images and judgements."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STANDING = ("set_name", "reader", "kind", "reading", "concept", "verdict")
CURRENT = sa.text("superseded_by IS NULL")


def upgrade() -> None:
    """Bring a store of the revision before up to this one."""
    op.drop_index("ix_judgements_reader", table_name="judgements")
    op.create_index("ix_judgements_reader", "judgements", ["set_name", "reader", "id"])
    op.create_index(
        "ix_judgements_standing", "judgements", list(STANDING), sqlite_where=CURRENT, postgresql_where=CURRENT
    )
    op.create_index("ix_suspicions_run_concept_value", "suspicions", ["run", "concept", "value"])
