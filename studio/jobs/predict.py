"""Having the checkpoint in use answer every recorded turn that waits for it, as the Talk page does for one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from engine.failures import kind_of
from studio.errors import StudioError
from studio.jobs.shell import Shell
from studio.services import lease, understanding


def work(shell: Shell, told: Callable[[int, int], None]) -> str | None:
    """Answer what is not answered yet; a sentence about turns that could not be, if any. ``told(done, total)`` may raise.

    A dialogue with a recording that cannot be used is left where it broke; the others are answered.

    Raises:
        StudioError: the model cannot be loaded or run.
    """
    with shell.ws.read() as session:
        job = shell.job(session)
        project_id, chosen = job.project_id, job.options.get("dialogues")
    shell.say("looking for turns to answer")
    waiting = understanding.waiting(shell.ws, project_id, chosen)
    total, before = sum(waiting.values()), 0
    told(0, total)
    shell.say("answering turns")
    lease.take_for_job(shell.ws, shell.job_id)
    broken = []
    try:
        for dialogue_id, number in waiting.items():
            try:
                understanding.predict_dialogue(shell.ws, dialogue_id, partial(_told, told, before, total))
            except StudioError as error:
                if kind_of(error) != "data":
                    raise
                print(error, flush=True)
                broken.append(str(error))
            before += number
    finally:
        lease.release(shell.ws)
    return (
        f"Not answered to the end: {len(broken)} of {len(waiting)} dialogues, the first for this: {broken[0]}" if broken else None
    )


def _told(told: Callable[[int, int], None], before: int, total: int, done: int, _of_dialogue: int) -> None:
    told(before + done, total)
