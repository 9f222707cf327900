"""Projects and their ontologies."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import LABELLED, Dialogue, EntityTable, Ontology, Project, Speaker, Turn


def by_name(session: Session, name: str) -> Project | None:
    """The project of that name."""
    return session.scalar(select(Project).where(Project.name == name))


def exists(session: Session, project_id: int) -> bool:
    """Whether there is a project of that id that people see."""
    row = session.get(Project, project_id)
    return row is not None and row.staged_for is None


def staging(session: Session, project_id: int) -> Project:
    """The project that holds what is on its way into another one, made when it is first asked for."""
    row = session.scalar(select(Project).where(Project.staged_for == project_id))
    if row is None:
        row = Project(name=f" {project_id}", staged_for=project_id)  # people's names begin with no space
        session.add(row)
        session.flush()
    return row


def stagings(session: Session) -> Sequence[Project]:
    """The projects that hold what is on its way into another one."""
    return session.scalars(select(Project).where(Project.staged_for.is_not(None))).all()


def counts(session: Session) -> list[tuple[Project, int, int]]:
    """Projects that people see, oldest first, each with its dialogues and its corrected user turns."""
    corrected = func.count(Turn.id).filter(Turn.speaker == Speaker.USER, Turn.status.in_(LABELLED))
    query = (
        select(Project, func.count(Dialogue.id.distinct()), corrected)
        .outerjoin(Dialogue, Dialogue.project_id == Project.id)
        .outerjoin(Turn, Turn.dialogue_id == Dialogue.id)
        .where(Project.staged_for.is_(None))
        .group_by(Project.id)
        .order_by(Project.id)
    )
    return [(project, dialogues, turns) for project, dialogues, turns in session.execute(query)]


def ontologies(session: Session, project_id: int) -> Sequence[Ontology]:
    """Every version of a project's ontology, newest first."""
    return session.scalars(select(Ontology).where(Ontology.project_id == project_id).order_by(Ontology.version.desc())).all()


def ontology_of(session: Session, project_id: int, version: int) -> Ontology | None:
    """One version."""
    return session.scalar(select(Ontology).where(Ontology.project_id == project_id, Ontology.version == version))


def entity_tables(session: Session, ids: Collection[int]) -> Sequence[EntityTable]:
    """The entity tables of these ids, by domain."""
    return session.scalars(select(EntityTable).where(EntityTable.id.in_(ids)).order_by(EntityTable.domain)).all()


def newest_ontology(session: Session, project_id: int) -> Ontology | None:
    """The version that counts."""
    return session.scalar(select(Ontology).where(Ontology.project_id == project_id).order_by(Ontology.version.desc()).limit(1))
