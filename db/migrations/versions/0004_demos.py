"""Dialogues of demos, which stay out of the queue until they are sent there."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("dialogues", sa.Column("demo", sa.Boolean(), server_default=sa.false(), nullable=False))
