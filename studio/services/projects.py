"""Projects, and the sample project a new workspace starts with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from db.models import LABELLED, Project, TurnStatus
from db.repositories import dialogues, projects
from engine.dialogue import Ontology
from studio.errors import StudioError
from studio.services import manifests
from studio.services.ontology import add_version
from studio.workspace import Workspace

SAMPLE_NAME = "Sample: restaurants"
SAMPLE = Path(__file__).parent.parent / "assets" / "sample"


@dataclass(frozen=True)
class ProjectView:
    """A project as lists show it. ``dialogues`` and ``corrected_turns`` (of the user) are counts."""

    id: int
    name: str
    dialogues: int
    corrected_turns: int
    created: datetime


def list_projects(ws: Workspace) -> list[ProjectView]:
    """All projects, oldest first (the sample project comes first in a new workspace)."""
    with ws.read() as session:
        return [
            ProjectView(project.id, project.name, dialogues, turns, project.created)
            for project, dialogues, turns in projects.counts(session)
        ]


def create_project(ws: Workspace, name: str, ontology: Ontology | None = None) -> ProjectView:
    """Make a project. Without an ``ontology`` it starts with the sample's (the demo checkpoint's restaurant slots).

    Raises:
        StudioError: the name is empty or taken.
    """
    name = name.strip()
    if not name:
        raise StudioError("A project needs a name: type one.")
    with ws.write() as session:
        if projects.by_name(session, name) is not None:
            raise StudioError(f"There is a project called {name!r} already: choose another name.")
        project = Project(name=name)
        session.add(project)
        session.flush()
        add_version(session, project.id, ontology or _sample_ontology(), "", "began with the project")
    return _project(ws, name)


@dataclass(frozen=True)
class Progress:
    """How far a project is. ``predicted`` and ``corrected``: at least one user turn that may be trained on is."""

    turns: bool
    predicted: bool
    corrected: bool


def progress(ws: Workspace, project_id: int) -> Progress:
    """How far a project is."""
    with ws.read() as session:
        return Progress(
            dialogues.has_turn(session, project_id),
            dialogues.has_turn(session, project_id, tuple(status for status in TurnStatus if status != TurnStatus.NEW)),
            dialogues.has_turn(session, project_id, LABELLED),
        )


def seed_sample(ws: Workspace) -> ProjectView:
    """Create the sample project from the package if it is not there; calling it again changes nothing."""
    with ws.read() as session:
        there = projects.by_name(session, SAMPLE_NAME) is not None
    if not there:
        dialogues = manifests.read(SAMPLE / "manifest.jsonl")
        stored = manifests.store_audio(ws, dialogues)
        with ws.write() as session:
            # A start that was killed leaves no half a sample: project and dialogues are one transaction
            if projects.by_name(session, SAMPLE_NAME) is None:
                project = Project(name=SAMPLE_NAME)
                session.add(project)
                session.flush()
                add_version(session, project.id, _sample_ontology(), "sample", "began with the project")
                manifests.add_dialogues(session, project.id, dialogues, stored, author="sample")
    return _project(ws, SAMPLE_NAME)


def _sample_ontology() -> Ontology:
    return Ontology.from_json(json.loads((SAMPLE / "ontology.json").read_text(encoding="utf-8")))


def _project(ws: Workspace, name: str) -> ProjectView:
    return next(project for project in list_projects(ws) if project.name == name)
