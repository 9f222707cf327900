"""Which process sees to what a dialogue has yet to follow: each change is followed by one, however many studios there are.

A claim is known by its process, so that of one that died is free at once. On another machine nobody sees whether it lives: there,
and where it hangs, a claim ends after ``CLAIMED_FOR``.
"""

from __future__ import annotations

import os
from datetime import timedelta
from socket import gethostname

import psutil
from sqlalchemy.orm import Session

from db.models import Follow, utc_now
from db.repositories import follows
from studio.services import runs

CLAIMED_FOR = timedelta(minutes=10)


def is_taken(follow: Follow) -> bool:
    """Whether a process sees to it, this one or another."""
    if follow.claimed is None or utc_now() - follow.claimed > CLAIMED_FOR:
        return False
    return follow.host != gethostname() or runs.alive(follow.pid, follow.pid_started)


def is_own(follow: Follow) -> bool:
    """Whether this process sees to what is taken."""
    return (follow.host, follow.pid) == (gethostname(), os.getpid())


def take(session: Session, follow: Follow) -> bool:
    """Take it for this process; ``False``: it is done, or taken. Part of a transaction of its own."""
    found = session.get(Follow, (follow.turn_id, follow.layer))
    if found is None or is_taken(found):
        return False
    _claim(found)
    return True


def ask(session: Session, turn_id: int, layer: str) -> None:
    """As `follows.ask`, and nobody follows it until it is given back: this process changes more yet."""
    follows.ask(session, turn_id, layer)
    _claim(session.get_one(Follow, (turn_id, layer)))


def give_back(session: Session, turn_id: int, layer: str) -> None:
    """Let it be followed by whoever comes first."""
    found = session.get(Follow, (turn_id, layer))
    if found is not None:
        found.claimed = None


def _claim(follow: Follow) -> None:
    own = psutil.Process()
    follow.host, follow.pid, follow.pid_started = gethostname(), own.pid, runs.started_at(own)
    follow.claimed = utc_now()
