"""Why a turn is doubtful: how sure the model was of the words, and a second reading of the sound, are kept with its answers."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("predictions", sa.Column("transcript_confidence", sa.Double(), nullable=True))
    op.add_column("predictions", sa.Column("ctc_transcript", sa.String(), nullable=True))
    op.add_column("turns", sa.Column("why", sa.String(length=120), server_default="", nullable=False))
    # Of answers so far only the slots' confidence is known, and their doubt is the least sure slot's.
    sure = "FROM turn_slots WHERE turn_id = turns.id AND confidence IS NOT NULL"
    op.execute(
        f"UPDATE turns SET why = 'unsure of ' || (SELECT slot {sure} ORDER BY confidence LIMIT 1) "
        f"WHERE doubt > 0 AND EXISTS (SELECT 1 {sure})"
    )
    op.execute("UPDATE turns SET why = 'no valid answer' WHERE doubt = 1 AND why = ''")
