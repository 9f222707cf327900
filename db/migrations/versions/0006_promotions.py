"""What a run follows from, per-turn predictions of evaluations, and which checkpoint was put in use when."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("snapshots", sa.Column("provenance", sa.JSON(), nullable=True))
    op.add_column("evaluations", sa.Column("predictions", sa.String(length=200), nullable=True))
    op.add_column("jobs", sa.Column("gate", sa.String(), nullable=True))
    op.create_table(
        "promotions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Enum("promote", "rollback", name="promotionkind", native_enum=False, length=16), nullable=False),
        sa.Column("from_id", sa.Integer(), nullable=False),
        sa.Column("to_id", sa.Integer(), nullable=False),
        sa.Column("author", sa.String(length=100), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=True),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["from_id"], ["checkpoints.id"], name="fk_promotions_from_id_checkpoints"),
        sa.ForeignKeyConstraint(["to_id"], ["checkpoints.id"], name="fk_promotions_to_id_checkpoints"),
        sa.PrimaryKeyConstraint("id", name="pk_promotions"),
    )
    if op.get_context().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER promotions_no_{change.lower()} BEFORE {change} ON promotions "
                "BEGIN SELECT RAISE(ABORT, 'promotions are append-only'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION refuse_change_of_promotions() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'promotions are append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$"
        )
        for change, each in (("UPDATE OR DELETE", "ROW"), ("TRUNCATE", "STATEMENT")):
            op.execute(
                f"CREATE TRIGGER promotions_no_change_of_{each.lower()}s BEFORE {change} ON promotions "
                f"FOR EACH {each} EXECUTE FUNCTION refuse_change_of_promotions()"
            )
