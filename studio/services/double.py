"""Blind double annotation: of a share of a project's dialogues two people label every user turn without seeing each other's work.

Each writes into a layer of revisions named after them. The project's labels, which are trained and scored on, stay empty until a
reviewer has decided (`studio.services.adjudication`); then the dialogue is one like all others.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy.orm import Session

from db.models import LABELLED, Dialogue, Project, Speaker, Turn
from db.repositories import doubles
from db.repositories.revisions import LABELS
from studio.errors import StudioError
from studio.services import people
from studio.services.exchange import in_parts
from studio.workspace import Workspace

PART = 500  # dialogues of a transaction: it takes a quarter of a second at most, for which others' saves wait
NEWCOMER = "\n"  # nobody's name: the layer of whoever has not begun yet


@dataclass(frozen=True)
class Progress:
    """The double share of a project: ``share`` (0 to 1) as it was set, the dialogues drawn so far, and their recorded user turns:
    all, those two people at least have labelled and nobody decided yet, and those that are decided."""

    share: float
    dialogues: int
    turns: int
    to_decide: int
    decided: int


def progress(ws: Workspace, project_id: int) -> Progress:
    """How far the double share is."""
    with ws.read() as session:
        project = session.get_one(Project, project_id)
        dialogues, turns, decided = doubles.counts(session, project_id)
        to_decide = len(doubles.to_decide(session, project_id))
        return Progress(project.double_share, dialogues, turns, to_decide, decided)


def set_share(ws: Workspace, project_id: int, share: float, author: str) -> Progress:
    """Choose how much of a project is annotated twice (0: nothing more), and draw the dialogues.

    Only dialogues that nobody has begun are drawn or given back, so that nothing is lost and nobody's work stops being blind.
    Later dialogues are drawn when they are first opened. The same name has the same lot, whatever the share: a larger one
    keeps those of a smaller one. It is done in parts, so nobody's save waits; one that broke off is finished by the next.

    Raises:
        StudioError: no share between 0 and 1, fewer than two people may log in, or the author is no reviewer.
    """
    people.require(ws, author, "reviewer")
    if not 0 <= share <= 1:
        raise StudioError("The share is a part of the dialogues: choose between 0 and 100 %.")
    if share and sum(user.active for user in people.list_users(ws)) < 2:
        raise StudioError("Annotating twice takes two people who log in: add them on the Team page first.")
    with ws.write() as session:
        session.get_one(Project, project_id).double_share = share
    with ws.read() as session:
        ids = [dialogue.id for dialogue in doubles.untouched(session, project_id)]
    for part in in_parts(ids, PART):
        with ws.write() as session:  # somebody may have set another share meanwhile, or begun one of them
            share = session.get_one(Project, project_id).double_share
            for dialogue in doubles.untouched(session, project_id, part):
                dialogue.double = lot(dialogue.name) < share
        ws.give_way()
    return progress(ws, project_id)


def lot(name: str) -> float:
    """A dialogue's lot, 0 to 1: a hash of its name, so that anybody can draw it again."""
    digest = hashlib.sha256(f"double annotation: {name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def layer_of(ws: Workspace, dialogue_id: int, author: str) -> str:
    """Where somebody's labels of a dialogue belong: the project's labels, or a layer of their own as long as a turn of the
    dialogue has to be annotated twice or decided on."""
    with ws.read() as session:
        dialogue = session.get(Dialogue, dialogue_id)
        double = dialogue.double if dialogue is not None else False
        undrawn = dialogue is not None and double is None and not dialogue.demo and _share(session, dialogue) > 0
    if undrawn:
        double = _draw(ws, dialogue_id)
    if not double:
        return LABELS
    with ws.read() as session:
        return author if doubles.undecided(session, dialogue_id) else LABELS


def layer_of_turn(ws: Workspace, turn_id: int, author: str) -> str:
    """As ``layer_of``, for a turn's dialogue."""
    with ws.read() as session:
        turn = session.get(Turn, turn_id)
    return layer_of(ws, turn.dialogue_id, author) if turn is not None else LABELS


def check_layer(turn: Turn, layer: str) -> None:
    """Refuse labels that would mix what is annotated blind with what was decided on.

    Raises:
        StudioError: the turn was drawn into the double share, or decided on, since somebody opened it.
    """
    decided = turn.status in LABELLED
    if layer == LABELS and turn.dialogue.double and turn.speaker == Speaker.USER and not decided:
        raise StudioError("This dialogue is annotated by two people since you opened it: open the turn again, then save.")
    if layer != LABELS and decided:
        raise StudioError("A reviewer has decided on this turn: when the whole dialogue is, open it again to see the result.")


def _draw(ws: Workspace, dialogue_id: int) -> bool:
    """Draw the lot of one dialogue that came after the share was set."""
    with ws.write() as session:
        dialogue = session.get_one(Dialogue, dialogue_id, with_for_update=True)
        if dialogue.double is None:
            free = doubles.untouched(session, dialogue.project_id, [dialogue.id])
            dialogue.double = bool(free) and lot(dialogue.name) < _share(session, dialogue)
        return dialogue.double


def _share(session: Session, dialogue: Dialogue) -> float:
    return session.get_one(Project, dialogue.project_id).double_share
