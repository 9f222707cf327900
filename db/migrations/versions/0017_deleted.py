"""Checkpoints and jobs whose files were deleted: the rows stay, for what follows from them."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    for table in ("checkpoints", "jobs"):
        op.add_column(table, sa.Column("deleted", sa.DateTime(), nullable=True))
