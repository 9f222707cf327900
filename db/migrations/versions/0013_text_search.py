"""Text search in turns by an index of three-character runs: FTS5 on SQLite, pg_trgm on PostgreSQL, else none."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

# Words are kept in lower case and asked for in lower case: what differs in case only must not be folded once more.
SQLITE = (
    "CREATE VIRTUAL TABLE turn_words USING fts5(words, content='turns', content_rowid='id', tokenize='trigram case_sensitive 1')",
    "CREATE TRIGGER turn_words_insert AFTER INSERT ON turns BEGIN "
    "INSERT INTO turn_words(rowid, words) VALUES (new.id, new.words); END",
    "CREATE TRIGGER turn_words_delete AFTER DELETE ON turns BEGIN "
    "INSERT INTO turn_words(turn_words, rowid, words) VALUES ('delete', old.id, old.words); END",
    "CREATE TRIGGER turn_words_update AFTER UPDATE OF words ON turns WHEN new.words IS NOT old.words BEGIN "
    "INSERT INTO turn_words(turn_words, rowid, words) VALUES ('delete', old.id, old.words); "
    "INSERT INTO turn_words(rowid, words) VALUES (new.id, new.words); END",
    "INSERT INTO turn_words(turn_words) VALUES ('rebuild')",
)
# An owner of the database may create this extension without being a superuser (PostgreSQL 13 trusts it).
POSTGRESQL = (
    "CREATE EXTENSION IF NOT EXISTS pg_trgm",
    "CREATE INDEX ix_turns_words ON turns USING gin (words gin_trgm_ops)",
)


def upgrade() -> None:
    connection = op.get_bind()
    try:
        with connection.begin_nested():
            for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRESQL:
                op.execute(statement)
    except sa.exc.DBAPIError as error:
        if not _missing(error):
            raise


def _missing(error: sa.exc.DBAPIError) -> bool:
    """Whether the database cannot have such an index: no FTS5 or no trigram tokenizer, no pg_trgm or no right to create it."""
    state = getattr(error.orig, "sqlstate", None)
    lacks = ("no such module", "no such tokenizer")
    return state in ("0A000", "58P01", "42501", "42704") or any(part in str(error.orig) for part in lacks)
