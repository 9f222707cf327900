"""The annotator's workplace: people, reviews, confirmed slots, error kinds, drafts, search."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("password", sa.String(length=200), nullable=False),
        sa.Column(
            "role",
            sa.Enum("annotator", "reviewer", "trainer", "admin", name="role", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
    )
    op.create_table(
        "drafts",
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("field", sa.String(length=200), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("updated", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_drafts_turn_id_turns"),
        sa.PrimaryKeyConstraint("turn_id", "author", "field", name="pk_drafts"),
    )
    op.create_table(
        "slot_marks",
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("layer", sa.String(length=100), nullable=False),
        sa.Column("domain", sa.String(length=100), nullable=False),
        sa.Column("slot", sa.String(length=100), nullable=False),
        sa.Column("value", sa.JSON(), nullable=True),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_slot_marks_turn_id_turns"),
        sa.PrimaryKeyConstraint("turn_id", "layer", "domain", "slot", name="pk_slot_marks"),
    )
    op.create_table(
        "turn_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "note", "submitted", "returned", "reviewed", "final", "reopened", name="eventkind", native_enum=False, length=16
            ),
            nullable=False,
        ),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_turn_events_turn_id_turns"),
        sa.PrimaryKeyConstraint("id", name="pk_turn_events"),
    )
    op.create_index("ix_turn_events_turn_id", "turn_events", ["turn_id"], unique=False)
    op.create_table(
        "turn_slots",
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(length=100), nullable=False),
        sa.Column("slot", sa.String(length=100), nullable=False),
        sa.Column("value", sa.String(), nullable=False),
        sa.Column("confidence", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_turn_slots_turn_id_turns"),
        sa.PrimaryKeyConstraint("turn_id", "domain", "slot", name="pk_turn_slots"),
    )
    op.create_index("ix_turn_slots_domain_slot_value", "turn_slots", ["domain", "slot", "value"], unique=False)
    op.create_table(
        "slot_errors",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("turn_id", sa.Integer(), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("checkpoint_id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(length=100), nullable=False),
        sa.Column("slot", sa.String(length=100), nullable=False),
        sa.Column(
            "kind", sa.Enum("recognition", "understanding", name="errorkind", native_enum=False, length=16), nullable=False
        ),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["checkpoint_id"], ["checkpoints.id"], name="fk_slot_errors_checkpoint_id_checkpoints"),
        sa.ForeignKeyConstraint(["revision_id"], ["revisions.id"], name="fk_slot_errors_revision_id_revisions"),
        sa.ForeignKeyConstraint(["turn_id"], ["turns.id"], name="fk_slot_errors_turn_id_turns"),
        sa.PrimaryKeyConstraint("id", name="pk_slot_errors"),
        sa.UniqueConstraint("revision_id", "domain", "slot", name="uq_slot_errors_revision_id_domain_slot"),
    )
    op.create_index("ix_slot_errors_turn_id", "slot_errors", ["turn_id"], unique=False)
    op.add_column("dialogues", sa.Column("content", sa.String(length=64), nullable=True))
    op.create_index("ix_dialogues_content", "dialogues", ["content"], unique=False)
    op.add_column("predictions", sa.Column("pinned", sa.JSON(), nullable=True))
    op.add_column("revisions", sa.Column("layer", sa.String(length=100), server_default="", nullable=False))
    op.drop_index("uq_revisions_first", table_name="revisions", sqlite_where=sa.text("parent_id IS NULL"))
    op.create_index(
        "uq_revisions_first",
        "revisions",
        ["turn_id", "kind", "layer"],
        unique=True,
        sqlite_where=sa.text("parent_id IS NULL"),
        postgresql_where=sa.text("parent_id IS NULL"),
    )
    op.add_column("turns", sa.Column("doubt", sa.Double(), nullable=True))
    op.add_column("turns", sa.Column("lottery", sa.Double(), server_default="0.5", nullable=False))
    op.add_column("turns", sa.Column("words", sa.String(), server_default="", nullable=False))
    op.add_column("turns", sa.Column("submitted", sa.DateTime(), nullable=True))
    op.create_index("ix_turns_lottery", "turns", ["lottery"], unique=False)
    op.create_index("ix_turns_queue", "turns", ["status", "doubt"], unique=False)
    share = "abs(random() % 1000000) / 1000000.0" if op.get_context().dialect.name == "sqlite" else "random()"
    op.execute(f"UPDATE turns SET lottery = {share}")
