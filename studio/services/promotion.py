"""Putting a checkpoint in use, and going back: judged by the gate, recorded, and without a pause for who is speaking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from db.models import Promotion, PromotionKind
from db.repositories import promotions, settings
from studio.errors import StudioError
from studio.services import checkpoints, gates, people, trackers
from studio.services.gates import Verdict
from studio.workspace import Workspace

PUT_BACK = "It was in use already, until somebody put another one in use: it is not put in use again by itself."


class SwitchedError(StudioError):
    """Another checkpoint is in use than the one that was judged against or to be left."""

    def __init__(self) -> None:
        super().__init__("Somebody else just changed the checkpoint in use: look again.")


@dataclass(frozen=True)
class PromotionView:
    """One change of the checkpoint in use; ``reason`` is why somebody went over the gate's verdict."""

    id: int
    kind: str
    source: str
    target: str
    author: str
    reason: str
    verdict: dict[str, Any] | None
    created: datetime


def promote(ws: Workspace, checkpoint_id: int, author: str, reason: str = "", *, from_shell: bool = False) -> PromotionView:
    """Put a checkpoint in use; the next turn is answered by it. Its tracker is loaded before the switch.

    It takes a trainer; going over the gate's verdict takes an admin and a ``reason``. ``from_shell``: whoever has the machine's
    shell may do everything, and needs no login; nothing is loaded there, for it is the studio that answers, and it follows.

    Raises:
        StudioError: the author may not, no such checkpoint, files of it are missing, it is in use, it cannot be loaded, the
            gate refuses it and no reason is given, or what was in use was changed meanwhile.
    """
    if not from_shell:
        people.require(ws, author, "trainer")
    found = _usable(ws, checkpoint_id)
    said = gates.verdict(ws, checkpoint_id)
    if not said.passed and not reason.strip():
        raise StudioError(f"{said.sentence} An admin may put it in use all the same, with a reason.")
    if not said.passed and not from_shell:
        people.require(ws, author, "admin")
    if not from_shell:
        trackers.prepare(ws, checkpoint_id, found)
    return _switch(ws, checkpoint_id, author, said, reason)


def promote_finished(ws: Workspace, checkpoint_id: int, author: str) -> str:
    """Put a run's checkpoint in use if the gate lets it pass on every project; what came of it, in a sentence. Somebody may have
    been quicker, or have put another one in use since the run did so (and was killed, and resumed).

    Nothing is loaded: it is another process that answers, and it follows.

    Raises:
        StudioError: files of the checkpoint are missing.
    """
    with ws.read() as session:
        checkpoints.require_whole(ws, checkpoints.get(session, checkpoint_id))
        if checkpoints.in_use_id(session) != checkpoint_id and promotions.ever(session, checkpoint_id):
            return PUT_BACK
    said = gates.verdict(ws, checkpoint_id)
    if said.against == checkpoint_id:
        return "It was put in use while it was scored."
    if said.promotes:
        try:
            _switch(ws, checkpoint_id, author, said)
        except SwitchedError as error:
            return str(error)
    return said.sentence


def previous(ws: Workspace) -> str | None:
    """The name of the checkpoint that a rollback would put in use."""
    with ws.read() as session:
        last = promotions.standing(session)
        return last.source.name if last is not None else None


def rollback(ws: Workspace, author: str, *, from_shell: bool = False) -> PromotionView:
    """Put back in use what was before the newest promotion that stands. Again: one further back. It takes a trainer.

    Raises:
        StudioError: the author may not, there is nothing to go back to, or it cannot be loaded.
    """
    if not from_shell:
        people.require(ws, author, "trainer")
    with ws.read() as session:
        last = promotions.standing(session)
        if last is None:
            raise StudioError("There is nothing to go back to: no checkpoint was put in use since the first one.")
        target = last.from_id
    found = _usable(ws, target)
    if not from_shell:
        trackers.prepare(ws, target, found)
    with ws.write() as session:
        again = promotions.standing(session)
        if again is None or again.id != last.id:
            raise SwitchedError
        return _record(session, PromotionKind.ROLLBACK, target, author, None, "")


def history(ws: Workspace) -> list[PromotionView]:
    """Every change of the checkpoint in use, newest first."""
    with ws.read() as session:
        return [_view(promotion) for promotion in promotions.load_many(session)]


def _usable(ws: Workspace, checkpoint_id: int) -> Path:
    """The folder of a checkpoint that may be put in use."""
    with ws.read() as session:
        checkpoint = checkpoints.get(session, checkpoint_id)
        if checkpoints.in_use_id(session) == checkpoint_id:
            raise StudioError(f"{checkpoint.name} is in use already.")
        return checkpoints.require_whole(ws, checkpoint)


def _switch(ws: Workspace, checkpoint_id: int, author: str, said: Verdict, reason: str = "") -> PromotionView:
    with ws.write() as session:
        if checkpoints.in_use_id(session) != said.against:
            raise SwitchedError
        checkpoints.get(session, checkpoint_id)  # it may have been deleted while it was loaded
        return _record(session, PromotionKind.PROMOTE, checkpoint_id, author, said, reason)


def _record(
    session: Session, kind: PromotionKind, checkpoint_id: int, author: str, said: Verdict | None, reason: str
) -> PromotionView:
    promotion = Promotion(
        kind=kind,
        from_id=checkpoints.in_use_id(session),
        to_id=checkpoint_id,
        author=author,
        reason=reason.strip(),
        verdict=said.to_json() if said is not None else None,
    )
    session.add(promotion)
    settings.put(session, settings.CHECKPOINT_IN_USE, checkpoint_id)
    session.flush()
    return _view(promotion)


def _view(promotion: Promotion) -> PromotionView:
    return PromotionView(
        id=promotion.id,
        kind=promotion.kind.value,
        source=promotion.source.name,
        target=promotion.target.name,
        author=promotion.author,
        reason=promotion.reason,
        verdict=promotion.verdict,
        created=promotion.created,
    )
