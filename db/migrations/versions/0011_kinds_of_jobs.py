"""Jobs of several kinds, and why one failed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

KINDS = sa.Enum("train", "evaluate", "predict", "import", name="jobkind", native_enum=False, length=16)
FAILURES = ("gpu memory", "memory", "loss", "data", "disk", "weights", "other")


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("kind", KINDS, server_default="train", nullable=False))
        jobs.add_column(sa.Column("options", sa.JSON(), server_default="{}", nullable=False))
        jobs.add_column(sa.Column("failure", sa.Enum(*FAILURES, name="failurekind", native_enum=False, length=16), nullable=True))
        jobs.alter_column("base_id", existing_type=sa.Integer(), nullable=True)
        jobs.alter_column("recipe", existing_type=sa.String(length=200), nullable=True)
