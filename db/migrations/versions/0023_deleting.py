"""Who deleted a checkpoint; and what an import has staged and nobody goes on with can be removed, revisions and all."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

STAGED = (
    "EXISTS (SELECT 1 FROM turns JOIN projects ON projects.id = turns.project_id "
    "WHERE turns.id = old.turn_id AND projects.staged_for IS NOT NULL)"
)


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("deleted_by", sa.String(length=100), nullable=True))
    if op.get_context().dialect.name == "sqlite":
        op.execute("DROP TRIGGER revisions_no_delete")
        op.execute(
            f"CREATE TRIGGER revisions_no_delete BEFORE DELETE ON revisions WHEN NOT {STAGED} "
            "BEGIN SELECT RAISE(ABORT, 'revisions are append-only'); END"
        )
        return
    op.execute("DROP TRIGGER revisions_no_change ON revisions")
    op.execute(
        "CREATE TRIGGER revisions_no_change BEFORE UPDATE ON revisions FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    )
    op.execute(
        "CREATE FUNCTION refuse_deleting_what_is_seen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {STAGED} THEN RETURN old; END IF; "
        "RAISE EXCEPTION 'revisions are append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$"
    )
    op.execute(
        "CREATE TRIGGER revisions_no_delete BEFORE DELETE ON revisions "
        "FOR EACH ROW EXECUTE FUNCTION refuse_deleting_what_is_seen()"
    )
