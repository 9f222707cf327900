"""What a project of any size costs: every query that a page waits for goes by an index (tests/bench/scale.py measures it)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import Connection, event

from db.models import ErrorKind
from db.repositories.queue import Filters
from studio.services import search
from studio.workspace import Workspace
from tests.bench import scale


@contextmanager
def plans(ws: Workspace) -> Iterator[list[str]]:
    """How SQLite carries out every query of the block."""
    found: list[str] = []

    def explain(connection: Connection, _cursor: object, statement: str, values: object, *_: object) -> None:
        if statement.startswith("SELECT"):
            cursor = connection.connection.cursor()
            found.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values))

    with ws.read() as session:
        engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", explain)
    yield found
    event.remove(engine, "before_cursor_execute", explain)


WANTED = (
    Filters(),
    search.TO_CORRECT,
    Filters(text="hotel"),
    Filters(domain="hotel", slot="area"),
    Filters(error=ErrorKind.RECOGNITION),
)


def test_no_page_waits_for_a_whole_table(ws: Workspace, project: int) -> None:
    if ws.database.dialect.name != "sqlite":
        pytest.skip("plans are read as SQLite writes them")
    scale.fill(ws, project, 200)
    actions = scale.actions(ws, project).values()
    with plans(ws) as found:
        for action in actions:
            action()
        for filters in WANTED:
            search.doubtful(ws, project, filters)
            search.dialogues(ws, project, filters, 50)
    tables = ("turns", "dialogues", "turn_slots", "predictions", "revisions", "slot_errors", "slot_marks", "recordings")
    scans = {line for line in found if line.startswith(tuple(f"SCAN {table}" for table in tables))}
    assert found and not scans
    queue = [line for line in found if "ix_turns_queue" in line]
    assert queue and not any("ORDER BY" in line for line in found if "TEMP B-TREE" in line and "RIGHT" in line)


@pytest.mark.slow
def test_a_hundred_thousand_turns_are_as_quick_as_a_hundred() -> None:
    """Minutes: ``pytest -m slow tests/studio/test_scale.py``. What many turns hold is read until it is counted: longer."""
    few, many = scale.measure(100), scale.measure(100_000)
    quick = ("open a turn", "the queue", "the next turn", "a rare word", "no such word", "Talk's dialogues", "what to do next")
    for name in quick:
        assert many[name] < 5 * few[name] + 50, f"{name}: {few[name]:.1f} ms, then {many[name]:.1f} ms"
