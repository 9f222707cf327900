"""Where a job's engine runs, and on which machine its process is."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("backend", sa.String(length=200), server_default="local", nullable=False))
    op.add_column("jobs", sa.Column("host", sa.String(length=200), nullable=True))
