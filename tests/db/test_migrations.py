"""The database is what the models say, whichever version it comes from."""

import threading
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Engine, make_url, text

from db.engine import NewerDatabaseError, alembic_config, connect, migrate, writing
from db.models import Base, Project
from tests.databases import Server

REVISIONS = [script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()]


@pytest.fixture
def engine(database: str) -> Iterator[Engine]:
    engine = connect(database)
    yield engine
    engine.dispose()


def is_modelled(name: str | None, kind: str, _parents: object) -> bool:
    """Whether models should know of it: not of the index of words, which each database makes its own way."""
    return not (kind == "table" and str(name).startswith("turn_words")) and name != "ix_turns_words"


def differences(engine: Engine) -> list:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_modelled})
        return compare_metadata(context, Base.metadata)


def test_migrations_make_exactly_what_the_models_say(engine: Engine) -> None:
    migrate(engine)
    assert differences(engine) == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_database_of_any_earlier_version_is_upgraded_with_its_rows(engine: Engine, revision: str) -> None:
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.execute(text("INSERT INTO projects (name, created) VALUES ('old', '2026-01-01 00:00:00.000000')"))
    migrate(engine)
    assert differences(engine) == []
    with writing(engine) as session:
        assert session.get_one(Project, 1).name == "old"


def test_two_starts_at_once_migrate_once(engine: Engine, database: str) -> None:
    failures: list[Exception] = []

    def start() -> None:
        try:
            other = connect(database)
            migrate(other)
            other.dispose()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert differences(engine) == []


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerDatabaseError):
        migrate(engine)


def test_a_server_whose_user_may_create_no_extension_has_no_index_of_words_and_all_tables(postgresql: Server) -> None:
    def indexed(url: URL) -> bool:
        opened = connect(url.render_as_string())
        migrate(opened)
        assert differences(opened) == []
        with opened.connect() as connection:
            found = connection.scalar(text("SELECT to_regclass('ix_turns_words')")) is not None
        opened.dispose()
        return found

    assert indexed(make_url(postgresql.new("template0")))
    url = make_url(postgresql.new("template0"))
    owner = connect(url.render_as_string())
    with owner.begin() as connection:
        connection.execute(text("CREATE ROLE plain LOGIN"))
        connection.execute(text("GRANT ALL ON SCHEMA public TO plain"))
    owner.dispose()
    assert not indexed(url.set(username="plain"))
