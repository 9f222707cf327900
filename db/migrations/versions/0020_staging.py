"""Projects that hold what an import has written of another one, until all of it comes in at once."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("projects", sa.Column("staged_for", sa.Integer(), nullable=True))
