"""Turns whose words alone were corrected stay in the queue, whose indexes know them."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("turns", sa.Column("words_only", sa.Boolean(), server_default=sa.false(), nullable=False))
    # an undo takes one of the state's changes away, anything else is one more that stands
    op.execute(
        "UPDATE turns SET words_only = true WHERE speaker = 'user' AND status = 'corrected' AND id NOT IN ("
        "SELECT turn_id FROM revisions WHERE kind = 'state' AND layer = '' GROUP BY turn_id "
        "HAVING SUM(CASE source WHEN 'undo' THEN -1 ELSE 1 END) > 0)"
    )
    for name, last in (("ix_turns_queue", "doubt"), ("ix_turns_lottery", "lottery")):
        op.drop_index(name, table_name="turns")
        op.create_index(name, "turns", ["project_id", "speaker", "status", "words_only", last], unique=False)
