"""Several people: claims on dialogues, a share of them annotated twice."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("dialogue_id", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=100), nullable=False),
        sa.Column("until", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["dialogue_id"], ["dialogues.id"], name="fk_claims_dialogue_id_dialogues"),
        sa.PrimaryKeyConstraint("dialogue_id", "holder", name="pk_claims"),
    )
    op.create_index("ix_claims_holder", "claims", ["holder"], unique=False)
    op.add_column("projects", sa.Column("double_share", sa.Double(), server_default="0", nullable=False))
    op.add_column("dialogues", sa.Column("double", sa.Boolean(), nullable=True))
