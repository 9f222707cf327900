"""Nobody's save waits for somebody else's long change (tests/bench/waiting.py measures it)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from db.models import Revision, Snapshot
from engine.dialogue import Dialogue, Turn
from studio.errors import StudioError
from studio.services import (
    corrections,
    dialogues,
    imports,
    ontology,
    ontology_changes,
    projects,
    search,
    snapshots,
    splits,
    training,
)
from studio.services.exchange import Source
from studio.services.ontology_edits import Change
from studio.workspace import Workspace, attach


@contextmanager
def written(ws: Workspace, table: str) -> Iterator[list[int]]:
    """How many rows of a table each transaction of the block wrote."""
    found = [0]

    def count(_connection, _cursor, statement: str, values, *_) -> None:
        if statement.startswith(f"INSERT INTO {table} "):
            found[-1] += len(values) if isinstance(values, list) else statement.count("), (") + 1

    def end(_connection) -> None:
        found.append(0)

    event.listen(ws.database, "before_cursor_execute", count)
    event.listen(ws.database, "commit", end)
    yield found
    event.remove(ws.database, "before_cursor_execute", count)
    event.remove(ws.database, "commit", end)


def many(dialogues: int, turns: int = 10) -> imports.Source:
    """What an import brings."""
    state = {"restaurant": {"area": "north"}}
    said = [Turn(number, "user", f"turn {number}", state=state) for number in range(turns)]
    return Source(Path("many"), "manifest", [Dialogue(f"d{number}", said, "train") for number in range(dialogues)])


def bring(ws: Workspace, project: int, source: Source, stop_at: int | None = None) -> int:
    """Import it, or break off at a dialogue."""

    def progress(done: int, total: int) -> None:
        if done == stop_at:
            raise KeyboardInterrupt

    return imports.carry_out(ws, project, imports.plan(ws, project, source), progress=progress)


@pytest.fixture
def save(ws: Workspace, corrected) -> Callable[[], None]:
    """Save a correction of a turn, through a connection of its own."""
    turn_id = dialogues.get_dialogue(ws, corrected("hers")).turns[0].id

    def change() -> None:
        other = attach(ws.home)
        head = dialogues.get_turn(other, turn_id).state_head
        corrections.save_slot(other, turn_id, "restaurant", "area", "south", "anna", head)
        other.database.dispose()

    return change


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few rows, for tests that are over soon."""
    monkeypatch.setattr(imports, "STAGED_TURNS", 25)
    monkeypatch.setattr(ontology_changes, "_RELABELLED", 25)


@pytest.mark.usefixtures("parts")
def test_an_import_is_written_in_small_parts_and_comes_in_all_at_once(ws: Workspace, project: int) -> None:
    seen = []

    def look(done: int, total: int) -> None:
        seen.append((len(dialogues.list_dialogues(ws, project)), search.doubtful(ws, project, search.Filters()).total))

    with written(ws, "turns") as turns:
        imports.carry_out(ws, project, imports.plan(ws, project, many(10)), progress=look)
    assert (sum(turns), max(turns)) == (100, 20)
    assert (set(seen[:-1]), seen[-1]) == ({(0, 0)}, (10, 100))


@pytest.mark.usefixtures("parts")
def test_an_import_that_breaks_off_shows_nothing_and_goes_on(ws: Workspace, project: int) -> None:
    listed = projects.list_projects(ws)
    before = ontology.get_ontology(ws, project)
    with pytest.raises(KeyboardInterrupt):
        bring(ws, project, many(10), stop_at=6)
    assert (projects.list_projects(ws), dialogues.list_dialogues(ws, project)) == (listed, [])
    assert ontology.get_ontology(ws, project) == before
    with written(ws, "turns") as turns:
        assert bring(ws, project, many(10)) == 10
    assert sum(turns) == 40, "six dialogues had been written"
    found = dialogues.list_dialogues(ws, project)
    assert sorted(row.name for row in found) == sorted(f"d{number}" for number in range(10))
    assert dialogues.get_dialogue(ws, found[0].id).turns[3].transcript == "turn 3"


@pytest.mark.usefixtures("parts")
def test_what_another_import_left_is_taken_over_with_the_name_and_split_that_are_wanted_now(ws: Workspace, project: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        bring(ws, project, many(3), stop_at=2)
    source = many(3)
    held_out = [Dialogue(dialogue.dialogue_id, dialogue.turns, "test") for dialogue in source.dialogues]
    assert bring(ws, project, Source(source.path, source.format, held_out)) == 3
    assert {row.split for row in dialogues.list_dialogues(ws, project)} == {"test"}


@pytest.mark.usefixtures("parts")
def test_a_name_that_is_taken_meanwhile_keeps_the_import_out(ws: Workspace, project: int) -> None:
    planned = imports.plan(ws, project, many(3))
    dialogues.create_dialogue(ws, project, "d1")
    with pytest.raises(StudioError, match="Somebody imported dialogue 'd1' meanwhile"):
        imports.carry_out(ws, project, planned)
    assert [row.name for row in dialogues.list_dialogues(ws, project)] == ["d1"]


def test_a_save_goes_through_while_a_snapshot_is_frozen_which_holds_what_stood(
    ws: Workspace, project: int, save, fake_engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = snapshots.sha256

    def hash_slowly(path: Path) -> str:
        save()
        return real(path)

    monkeypatch.setattr(snapshots, "sha256", hash_slowly)
    job = training.start_job(ws, project, 1, "adapt", ["adapt.steps=3"])
    with ws.read() as session:
        row = session.query(Snapshot).one()
        used = {session.get_one(Revision, part.revision_id).id for part in row.revisions}
        newest = session.query(Revision).order_by(Revision.id.desc()).first()
    assert len(used) == 2 and newest is not None and newest.id not in used
    assert '"area": "north"' in (job.folder / "snapshot" / "manifest.jsonl").read_text()
    assert list(ws.path("tmp").glob("job-*")) == []


def test_a_dialogue_that_is_held_out_while_it_is_frozen_is_not_trained_on(
    ws: Workspace, project: int, corrected, fake_engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = corrected("d1")
    corrected("d2")
    real = snapshots.sha256

    def hash_slowly(path: Path) -> str:
        splits.move(ws, first, "test", "anna")
        return real(path)

    monkeypatch.setattr(snapshots, "sha256", hash_slowly)
    with pytest.raises(StudioError, match="moved a dialogue to another split meanwhile"):
        training.start_job(ws, project, 1, "adapt", ["adapt.steps=3"])
    assert training.list_jobs(ws) == [] and list(ws.path("runs").iterdir()) == []


@pytest.mark.usefixtures("parts")
def test_a_rename_is_carried_into_labels_in_parts_and_goes_on_after_it_broke_off(
    ws: Workspace, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(ws, project, many(6))
    change = Change("rename", "restaurant", "area", new="part of town")
    with monkeypatch.context() as during:
        during.setattr(Workspace, "give_way", interrupt)
        with pytest.raises(KeyboardInterrupt):
            ontology_changes.save(ws, project, change, "annotator", relabel=True)
    assert len({item.turn_id for item in ontology_changes.preview(ws, project, change)}) == 35
    with written(ws, "revisions") as revisions:
        saved = ontology_changes.save(ws, project, change, "annotator", relabel=True)
    assert (saved.relabelled, saved.left, max(revisions)) == (35, 0, 25)
    assert "area" not in ontology.get_ontology(ws, project).values["restaurant"]


def interrupt(_: object) -> None:
    """As a key does."""
    raise KeyboardInterrupt
