"""Checkpoints that a training left on its way, and how often a job's process came to nothing."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "kept_checkpoints",
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoints.id"], name="fk_kept_checkpoints_checkpoint_id_checkpoints"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_kept_checkpoints_job_id_jobs"),
        sa.PrimaryKeyConstraint("checkpoint_id", name="pk_kept_checkpoints"),
    )
    op.create_index("ix_kept_checkpoints_job_id", "kept_checkpoints", ["job_id"], unique=False)
    op.add_column("jobs", sa.Column("calls", sa.Integer(), server_default="0", nullable=False))
