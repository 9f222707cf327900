"""Slots and their known values, as the slot editor offers them. Every change makes a new version; old ones stay."""

from __future__ import annotations

from engine.dialogue import Ontology
from studio.workspace import Workspace


def get_ontology(ws: Workspace, project_id: int) -> Ontology:
    """The newest version of the project's ontology."""
    raise NotImplementedError


def slots(ws: Workspace, project_id: int) -> dict[str, list[str]]:
    """``{domain: [slot, ...]}`` in the ontology's order."""
    raise NotImplementedError


def choices(ws: Workspace, project_id: int, domain: str, slot: str) -> list[str]:
    """Known values of a slot, then ``dontcare``; only ``dontcare`` for an open or unknown slot. Free text is always allowed."""
    raise NotImplementedError


def add_value(ws: Workspace, project_id: int, domain: str, slot: str, value: str) -> None:
    """Add a value (and its domain and slot when new); a value that is already there changes nothing.

    Raises:
        StudioError: a name or the value is empty.
    """
    raise NotImplementedError
