"""What was changed is followed by the rest of its dialogue, whatever becomes of the page or of the studio meanwhile.

The transaction that changes a turn leaves a mark (`db.models.Follow`). The mark goes once everything that follows is stored:
later turns decoded again (`studio.services.propagation`), why the model was wrong (`studio.services.verdicts`), and the ontology
without what no label holds any more (`studio.services.unused`). All come of what stands, so that what was broken off is simply
done once more. The studio works the marks off, from its start on; a page that shows the dialogue waits for its own. One at a time
does, of however many studios on one database: nothing is decoded twice (`studio.services.follow_claims`).
"""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import NoReturn

from db.models import Follow, Speaker, Turn
from db.repositories import follows
from db.repositories.revisions import LABELS
from studio.errors import StudioError
from studio.services import follow_claims, propagation, unused
from studio.services.dialogues import get_dialogue
from studio.services.propagation import Moved
from studio.services.views import DialogueView
from studio.workspace import Workspace

LOOK_SECONDS = 2.0
RETRY_SECONDS = 300.0  # how often what failed is tried again by itself: a job may have had the GPU, or a file was missing
POLL_SECONDS = 0.5  # how often a page asks whether another studio is done
REMEMBERED = 200


@dataclass(frozen=True)
class Waiting:
    """What a dialogue has yet to follow: the numbers of the turns that changed, and why that failed if it did."""

    turns: tuple[int, ...]
    problem: str | None

    def __bool__(self) -> bool:
        return bool(self.turns)


@dataclass(frozen=True)
class Followed:
    """What moved when a dialogue followed a change of the turn numbered ``turn``, by layer; ``number`` counts up."""

    number: int
    dialogue_id: int
    turn: int
    of_agent: bool
    moved: dict[str, list[Moved]]
    key: tuple[object, ...]  # of the mark: what another studio followed is told once, however many pages waited for it

    def seen_in(self, layer: str) -> list[Moved] | None:
        """What of it somebody sees who reads a layer; ``None`` where it was none of theirs."""
        return self.moved.get(layer, self.moved[LABELS] if self.of_agent else None)


@dataclass(frozen=True)
class _Elsewhere:
    """A change that another process follows, and the dialogue before it has."""

    follow: Follow
    turn: Turn
    before: DialogueView


_one = threading.Lock()  # held by whoever follows
_telling = threading.Lock()
_numbers = itertools.count(1)
_followed: deque[Followed] = deque(maxlen=REMEMBERED)  # of this process, to be told on the pages that are open


def waiting(ws: Workspace, dialogue_id: int, layer: str = LABELS) -> Waiting:
    """What a dialogue has yet to follow, as somebody sees it who reads a layer."""
    with ws.read() as session:
        mine = [pair for pair in follows.waiting(session, dialogue_id) if pair[0].layer == layer or _of_agent(pair[1])]
    problem = next((follow.problem for follow, _ in mine if follow.problem), None)
    return Waiting(tuple(sorted({turn.turn_id for _, turn in mine})), problem)


def catch_up(ws: Workspace, dialogue_id: int | None = None, again: bool = False) -> None:
    """Follow everything that waits in a dialogue, or in all; what cannot be done says so in `waiting`.

    What failed before is tried ``again``, and as soon as something else succeeds. What another studio sees to is left to it, and
    in a dialogue waited for. Seconds on a CPU for each.
    """
    tried: set[tuple[object, ...]] = set()
    elsewhere: dict[tuple[object, ...], _Elsewhere] = {}

    def left() -> list[tuple[Follow, Turn]]:
        with ws.read() as session:
            found = follows.waiting(session, dialogue_id)
        return [pair for pair in found if _key(pair[0]) not in tried and (again or pair[0].problem is None)]

    while found := left():
        if all(follow_claims.is_taken(follow) for follow, _ in found):
            if dialogue_id is None:
                return
            for follow, turn in found:
                if _key(follow) not in elsewhere and not follow_claims.is_own(follow):  # whose thread tells it itself
                    elsewhere[_key(follow)] = _Elsewhere(follow, turn, get_dialogue(ws, dialogue_id, follow.layer))
            time.sleep(POLL_SECONDS)
            continue
        with _one:
            for follow, turn in left():  # somebody else may have done it meanwhile
                if _take(ws, follow):
                    tried.add(_key(follow))
                    elsewhere.pop(_key(follow), None)
                    if _follow(ws, follow, turn):
                        again = True
                        tried.clear()
                    break
    for one in elsewhere.values():
        _tell(ws, one)


def newest() -> int:
    """The number of what was followed last."""
    return _followed[-1].number if _followed else 0


def followed(dialogue_id: int, after: int) -> list[Followed]:
    """What a dialogue has followed since the number ``after``, oldest first."""
    return [done for done in list(_followed) if done.dialogue_id == dialogue_id and done.number > after]


def keep_following(ws: Workspace) -> NoReturn:
    """Follow whatever waits, what an earlier studio left first."""
    due = 0.0
    while True:
        again = time.monotonic() >= due
        due = time.monotonic() + RETRY_SECONDS if again else due
        with suppress(StudioError):  # the database cannot be read now: it may be the next time
            catch_up(ws, again=again)
        time.sleep(LOOK_SECONDS)


def _take(ws: Workspace, follow: Follow) -> bool:
    with ws.write() as session:
        return follow_claims.take(session, follow)


def _tell(ws: Workspace, one: _Elsewhere) -> None:
    """Tell the pages of this process what moved while another process followed a change."""
    after = get_dialogue(ws, one.turn.dialogue_id, one.follow.layer)
    pairs = zip(one.before.turns, after.turns, strict=False)  # a turn may have come
    moved = [move for old, new in pairs if new.turn_id > one.turn.turn_id for move in propagation.moved(old, new)]
    _note(one.turn, {one.follow.layer: moved}, _key(one.follow))


def _note(turn: Turn, moved: dict[str, list[Moved]], key: tuple[object, ...]) -> None:
    with _telling:
        if all(done.key != key for done in _followed):
            _followed.append(Followed(next(_numbers), turn.dialogue_id, turn.turn_id, _of_agent(turn), moved, key))


def _follow(ws: Workspace, follow: Follow, turn: Turn) -> bool:
    """Follow one change; whether that was possible."""
    try:
        moved = propagation.propagate(ws, turn.id, follow.layer)
        if follow.layer == LABELS:
            unused.forget(ws, turn.id)
    except Exception as error:  # whatever it is, the change stays marked, and the next one is not held up
        if not isinstance(error, StudioError):
            logging.getLogger(__name__).exception("turn %s could not be followed", turn.id)
        with ws.write() as session:
            follows.settle(session, follow, str(error) or repr(error))
        return False
    _note(turn, moved, _key(follow))  # before the mark goes: a page that finds none any more looks for what it was told
    with ws.write() as session:
        follows.settle(session, follow)
    return True


def _key(follow: Follow) -> tuple[object, ...]:
    return follow.turn_id, follow.layer, follow.asked


def _of_agent(turn: Turn) -> bool:
    return turn.speaker == Speaker.AGENT
