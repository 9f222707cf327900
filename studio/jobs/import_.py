"""Imports that take long: the same as on the Data page, in parts that stay when it is stopped or killed."""

from __future__ import annotations

from collections.abc import Callable

from studio.jobs.shell import Shell
from studio.services import exchange, imports


def work(shell: Shell, told: Callable[[int, int], None]) -> None:
    """Import what is not there yet; ``told(done, total)`` may raise.

    Raises:
        StudioError: it cannot be read or imported.
    """
    with shell.ws.read() as session:
        job = shell.job(session)
        project_id, asked = job.project_id, job.options
    shell.say("reading")
    with exchange.opened(shell.ws, asked["path"], asked["format"], asked["splits"]) as source:
        planned = imports.plan(shell.ws, project_id, source, asked["rename"], told)
        print("\n".join(imports.lines(planned)), flush=True)
        shell.say("importing")
        imports.carry_out(shell.ws, project_id, planned, asked["author"], told)
