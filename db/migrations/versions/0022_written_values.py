"""Which values an ontology has only because labels hold them, and which process follows a change."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

WRITTEN_IN = ", written in "  # how the change of a version ended that came of a correction


def upgrade() -> None:
    json = sa.JSON(none_as_null=True)
    op.add_column("ontologies", sa.Column("written", json, server_default="{}", nullable=False))
    op.add_column("follows", sa.Column("host", sa.String(length=200), nullable=True))
    op.add_column("follows", sa.Column("pid", sa.Integer(), nullable=True))
    op.add_column("follows", sa.Column("pid_started", sa.Double(), nullable=True))
    op.add_column("follows", sa.Column("claimed", sa.DateTime(), nullable=True))
    _note_written(json)


def _note_written(json: sa.JSON) -> None:
    """What corrections brought in so far, told by what versions say of themselves, is kept with each project's newest version."""
    names = ("id", "project_id", "version", "change")
    ontologies = sa.table("ontologies", *map(sa.column, names), sa.column("values", json), sa.column("written", json))
    connection = op.get_bind()
    order = (ontologies.c.project_id, ontologies.c.version)
    written = sa.select(ontologies.c.project_id).where(ontologies.c.change.contains(WRITTEN_IN)).distinct()
    query = sa.select(ontologies).where(ontologies.c.project_id.in_(written)).order_by(*order)
    found: dict[int, dict] = {}
    newest: dict[int, int] = {}
    before: dict = {}
    for row in connection.execute(query):
        before = before if row.project_id in newest else {}
        _, came_of_label, dialogue = row.change.rpartition(WRITTEN_IN)
        if came_of_label:
            for domain, slot, value in _places(row.values) - _places(before):
                found.setdefault(row.project_id, {}).setdefault(domain, {}).setdefault(slot, {})[value] = dialogue
        else:  # what was changed on purpose since is none of them any more
            for domain, slot, value in _places(row.values) ^ _places(before):
                found.get(row.project_id, {}).get(domain, {}).get(slot, {}).pop(value, None)
        newest[row.project_id], before = row.id, row.values
    for project_id, id_ in newest.items():
        connection.execute(ontologies.update().where(ontologies.c.id == id_).values(written=found.get(project_id, {})))


def _places(values: dict) -> set[tuple[str, str, str]]:
    """Values with their slots; "" stands for the slot itself."""
    return {(domain, slot, value) for domain, slots in values.items() for slot, known in slots.items() for value in ("", *known)}
