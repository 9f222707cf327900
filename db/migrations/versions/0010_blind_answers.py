"""Whose corrections the model was told: a blind annotator's reach nobody else."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("predictions", sa.Column("layer", sa.String(length=100), server_default="", nullable=False))
