"""Ontology editor, label versions, moves between splits."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_SPLIT = sa.Enum("train", "dev", "test", name="split", native_enum=False, length=16)


def upgrade() -> None:
    op.create_table(
        "entity_tables",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(length=100), nullable=False),
        sa.Column("source", sa.String(length=400), nullable=False),
        sa.Column("entities", sa.JSON(), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_entity_tables_project_id_projects"),
        sa.PrimaryKeyConstraint("id", name="pk_entity_tables"),
    )
    op.create_index("ix_entity_tables_project_id", "entity_tables", ["project_id"], unique=False)
    op.create_table(
        "label_versions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("ontology", sa.Integer(), nullable=False),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name="fk_label_versions_project_id_projects"),
        sa.PrimaryKeyConstraint("id", name="pk_label_versions"),
        sa.UniqueConstraint("project_id", "number", name="uq_label_versions_project_id_number"),
        sa.UniqueConstraint("project_id", "sha256", name="uq_label_versions_project_id_sha256"),
    )
    op.create_table(
        "split_moves",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("dialogue_id", sa.Integer(), nullable=False),
        sa.Column("old", _SPLIT, nullable=False),
        sa.Column("new", _SPLIT, nullable=False),
        sa.Column("scored", sa.Boolean(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["dialogue_id"], ["dialogues.id"], name="fk_split_moves_dialogue_id_dialogues"),
        sa.PrimaryKeyConstraint("id", name="pk_split_moves"),
    )
    op.create_index("ix_split_moves_dialogue_id", "split_moves", ["dialogue_id"], unique=False)
    for name in ("descriptions", "types", "synonyms", "entities"):
        op.add_column("ontologies", sa.Column(name, sa.JSON(), server_default="{}", nullable=False))
    op.add_column("ontologies", sa.Column("author", sa.String(length=100), server_default="", nullable=False))
    op.add_column("ontologies", sa.Column("change", sa.String(), server_default="", nullable=False))
    for table in ("evaluations", "snapshots"):
        # In words both databases know: Alembic would copy a table of SQLite anew, which rows that refer to it forbid
        reference = f"CONSTRAINT fk_{table}_labels_id_label_versions REFERENCES label_versions (id)"
        op.execute(f"ALTER TABLE {table} ADD COLUMN labels_id INTEGER {reference}")
    if op.get_context().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER split_moves_no_{change.lower()} BEFORE {change} ON split_moves "
                "BEGIN SELECT RAISE(ABORT, 'moves between splits are append-only'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION refuse_change_of_moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'moves between splits are append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
        for change, each in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER split_moves_no_change_of_{each.lower()}s BEFORE {change} ON split_moves "
                f"FOR EACH {each} EXECUTE FUNCTION refuse_change_of_moves()"
            )
