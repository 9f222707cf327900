"""Why the model was wrong is told of a blind annotator's corrections too, in their layer alone."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("slot_errors", sa.Column("layer", sa.String(length=100), server_default="", nullable=False))
