"""Finding the turns whose ``words`` hold a text, anywhere in them, without reading every turn.

SQLite: ``turn_words``, a full-text index of all runs of three characters (FTS5, tokenizer ``trigram``), which triggers keep
beside ``turns``; a migration that builds that table anew has to make them again. PostgreSQL: an index of ``pg_trgm``, which its
planner takes by itself. Where a server or a build of SQLite has neither, and for one or two characters, turns are read.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Select, column, exists, func, literal_column, select, table
from sqlalchemy.orm import Session

from db.models import Turn

SHORTEST = 3  # characters that the index can find
FEW = 5000  # of more turns that hold a text, the first in any order are found sooner by reading turns in that order
INDEX = table("turn_words", column("rowid"))


def read(text: str) -> ColumnElement[bool]:
    """Whether a turn's words hold a text in lower case, by the words themselves."""
    return Turn.words.contains(text, autoescape=True)


def indexed(session: Session, project_id: int, text: str) -> Select[int] | None:
    """The ids of the turns that hold a text in lower case, by SQLite's index.

    ``None`` where turns are to be read: there is no index, the text is too short for it, or many turns of the project hold it.
    """
    if len(text) < SHORTEST or session.get_bind().dialect.name != "sqlite" or not _has_index(session):
        return None
    phrase = '"' + text.replace('"', '""') + '"'
    found = select(INDEX.c.rowid).where(literal_column(INDEX.name).op("MATCH")(phrase))
    of_turns = found.join(Turn, Turn.id == INDEX.c.rowid).where(of_project(project_id))
    some = of_turns.limit(FEW + 1).subquery()  # a join, which ends there; to look turns up in it, all would be found first
    many = session.scalar(select(func.count()).select_from(some)) or 0
    return found if many <= FEW else None


def of_project(project_id: int) -> ColumnElement[bool]:
    """Whether a turn is the project's. Not by its index: SQLite would read all turns of the project, and look for each in what
    was found."""
    return Turn.project_id + 0 == project_id


def _has_index(session: Session) -> bool:
    known = table("sqlite_master", column("name"))
    return bool(session.scalar(select(exists().where(known.c.name == INDEX.name))))
