"""The queue of a project: turns know their project, indexes follow the queue's order, values are searched with the words."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("turns", sa.Column("project_id", sa.Integer(), server_default="0", nullable=False))
    op.execute("UPDATE turns SET project_id = (SELECT project_id FROM dialogues WHERE dialogues.id = turns.dialogue_id)")
    sqlite = op.get_context().dialect.name == "sqlite"
    line_break, joined = ("char(10)", "group_concat") if sqlite else ("chr(10)", "string_agg")
    op.execute(
        f"UPDATE turns SET words = words || {line_break} || "
        f"(SELECT {joined}(value, ' | ') FROM turn_slots WHERE turn_id = turns.id) "
        "WHERE EXISTS (SELECT 1 FROM turn_slots WHERE turn_id = turns.id)"
    )
    op.drop_index("ix_turns_queue", table_name="turns")
    op.drop_index("ix_turns_lottery", table_name="turns")
    op.create_index("ix_turns_queue", "turns", ["project_id", "speaker", "status", "doubt"], unique=False)
    op.create_index("ix_turns_lottery", "turns", ["project_id", "speaker", "status", "lottery"], unique=False)
