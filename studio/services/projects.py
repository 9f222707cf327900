"""Projects, and the sample project a new workspace starts with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from engine.dialogue import Ontology
from studio.workspace import Workspace

SAMPLE_NAME = "Sample: restaurants"


@dataclass(frozen=True)
class ProjectView:
    """A project as lists show it. ``dialogues`` and ``corrected_turns`` are counts."""

    id: int
    name: str
    dialogues: int
    corrected_turns: int
    created: datetime


def list_projects(ws: Workspace) -> list[ProjectView]:
    """All projects, oldest first (the sample project comes first in a new workspace)."""
    raise NotImplementedError


def create_project(ws: Workspace, name: str, ontology: Ontology | None = None) -> ProjectView:
    """Make a project. Without an ``ontology`` it starts with the sample's (the demo checkpoint's restaurant slots).

    Raises:
        StudioError: the name is empty or taken.
    """
    raise NotImplementedError


def seed_sample(ws: Workspace) -> ProjectView:
    """Create the sample project from the package if it is not there; calling it again changes nothing."""
    raise NotImplementedError
