"""What the database itself refuses, whatever the program does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from db.engine import connect, migrate, reading, writing
from db.models import Dialogue, Project, Revision, RevisionKind, RevisionSource, Speaker, Turn, TurnStatus
from db.repositories import revisions

TRANSCRIPT = RevisionKind.TRANSCRIPT


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = connect(database)
    migrate(engine)
    with writing(engine) as session:
        session.add(Project(name="project"))
        session.flush()
        session.add(Dialogue(project_id=1, name="dialogue", turns=[Turn(turn_id=0, speaker=Speaker.USER)]))
    yield engine
    engine.dispose()


def save(engine: Engine, old: str | None, new: str | None, source: RevisionSource = RevisionSource.USER) -> None:
    with writing(engine) as session:
        revisions.append(session, session.get_one(Turn, 1), TRANSCRIPT, old, new, "anna", source)


@pytest.mark.parametrize(
    "change", ["UPDATE revisions SET author = 'somebody else'", "DELETE FROM revisions", "TRUNCATE revisions CASCADE"]
)
def test_a_revision_can_neither_be_changed_nor_deleted(engine: Engine, change: str) -> None:
    if change.startswith("TRUNCATE") and engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no TRUNCATE")
    save(engine, None, "hello")
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(text(change))


@pytest.mark.parametrize("parent", [None, 1])
def test_two_revisions_never_stand_on_the_same_one(engine: Engine, parent: int | None) -> None:
    save(engine, None, "hello")
    save(engine, "hello", "hello there")
    second = Revision(turn_id=1, kind=TRANSCRIPT, new="hi", author="ben", source=RevisionSource.USER, parent_id=parent)
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(second)


def test_an_undo_takes_back_the_newest_change_that_stands(engine: Engine) -> None:
    save(engine, None, "a")
    save(engine, "a", "b")
    save(engine, "b", "a", RevisionSource.UNDO)
    save(engine, "a", "c")
    with reading(engine) as session:
        turn = session.get_one(Turn, 1)
        assert [revision.new for revision in revisions.standing(turn, TRANSCRIPT)] == ["a", "c"]
        assert revisions.corrected(turn, TRANSCRIPT) == "c"
        assert turn.status == TurnStatus.CORRECTED


def test_with_every_change_taken_back_the_turn_is_not_corrected(engine: Engine) -> None:
    save(engine, None, "a")
    save(engine, "a", None, RevisionSource.UNDO)
    with reading(engine) as session:
        turn = session.get_one(Turn, 1)
        assert revisions.corrected(turn, TRANSCRIPT) is None
        assert turn.status == TurnStatus.NEW


def test_rows_that_point_nowhere_are_refused(engine: Engine) -> None:
    with pytest.raises(IntegrityError), writing(engine) as session:
        session.add(Turn(dialogue_id=99, turn_id=0, speaker=Speaker.USER))


def test_a_committed_correction_is_on_the_disk(engine: Engine) -> None:
    if engine.dialect.name != "sqlite":
        pytest.skip("the settings of a PostgreSQL server are its administrator's")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_a_block_that_raises_leaves_nothing(engine: Engine) -> None:
    def half() -> None:
        with writing(engine) as session:
            session.add(Project(name="half"))
            session.flush()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    with reading(engine) as session:
        assert session.get(Project, 2) is None


def test_times_come_back_in_utc_whatever_zone_they_were_given_in(engine: Engine) -> None:
    noon = datetime(2026, 6, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    with writing(engine) as session:
        session.add(Project(name="timed", created=noon))
    with reading(engine) as session:
        created = session.get_one(Project, 2).created
    assert (created, created.tzinfo) == (noon, UTC)


def test_a_redo_brings_back_what_was_taken_back_last_until_a_new_value_forgets_it(engine: Engine) -> None:
    save(engine, None, "a")
    save(engine, "a", "b")
    save(engine, "b", "a", RevisionSource.UNDO)
    save(engine, "a", None, RevisionSource.UNDO)
    save(engine, None, "a", RevisionSource.REDO)
    with reading(engine) as session:
        standing, taken_back = revisions.stacks(session.get_one(Turn, 1), TRANSCRIPT)
        assert ([r.new for r in standing], [r.new for r in taken_back]) == (["a"], ["b"])
    save(engine, "a", "c")
    with reading(engine) as session:
        standing, taken_back = revisions.stacks(session.get_one(Turn, 1), TRANSCRIPT)
        assert ([r.new for r in standing], taken_back) == (["a", "c"], [])


def test_a_blind_annotators_layer_is_a_chain_of_its_own_and_changes_no_status(engine: Engine) -> None:
    with writing(engine) as session:
        turn = session.get_one(Turn, 1)
        revisions.append(session, turn, TRANSCRIPT, None, "hello", "ben", RevisionSource.USER, layer="ben")
        assert turn.status == TurnStatus.NEW
    save(engine, None, "hallo")
    with reading(engine) as session:
        turn = session.get_one(Turn, 1)
        assert (revisions.corrected(turn, TRANSCRIPT), revisions.corrected(turn, TRANSCRIPT, "ben")) == ("hallo", "hello")
