"""Projects and their ontologies."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.models import LABELLED, Dialogue, Ontology, Project, Speaker, Turn


def by_name(session: Session, name: str) -> Project | None:
    """The project of that name."""
    return session.scalar(select(Project).where(Project.name == name))


def counts(session: Session) -> list[tuple[Project, int, int]]:
    """Projects, oldest first, each with its dialogues and its corrected user turns."""
    corrected = func.count(Turn.id).filter(Turn.speaker == Speaker.USER, Turn.status.in_(LABELLED))
    query = (
        select(Project, func.count(Dialogue.id.distinct()), corrected)
        .outerjoin(Dialogue, Dialogue.project_id == Project.id)
        .outerjoin(Turn, Turn.dialogue_id == Dialogue.id)
        .group_by(Project.id)
        .order_by(Project.id)
    )
    return [(project, dialogues, turns) for project, dialogues, turns in session.execute(query)]


def newest_ontology(session: Session, project_id: int) -> Ontology | None:
    """The version that counts."""
    return session.scalar(select(Ontology).where(Ontology.project_id == project_id).order_by(Ontology.version.desc()).limit(1))
