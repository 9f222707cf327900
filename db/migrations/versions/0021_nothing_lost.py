"""What the rest of a dialogue has yet to follow is kept until it has; so are the marks of slots that a change replaced, and
the revision that a draft was typed on."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.create_table(
        "follows",
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("layer", sa.String(length=100), nullable=False),
        sa.Column("asked", sa.DateTime(), nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_follows_turn_id_turns"),
        sa.PrimaryKeyConstraint("turn_id", "layer", name="pk_follows"),
    )
    op.add_column("revisions", sa.Column("marks", sa.JSON(none_as_null=True), nullable=True))
    for column in ("based_on", "prediction"):
        op.add_column("drafts", sa.Column(column, sa.Integer(), nullable=True))
