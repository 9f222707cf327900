"""Imports: all comes in or nothing; one that was stopped or killed goes on where it was.

runs/<job id>/upload/       what was uploaded, as long as the job may go on with it
runs/<job id>/import.json   what was found and how much of it came in
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from engine.failures import kind_of
from studio.errors import StudioError
from studio.jobs.shell import Shell
from studio.services import exchange, imports, runs


def work(shell: Shell, told: Callable[[int, int], None]) -> None:
    """Import what is not there yet; ``told(done, total)`` may raise.

    Raises:
        StudioError: it cannot be read or imported.
    """
    with shell.ws.read() as session:
        job = shell.job(session)
        project_id, asked = job.project_id, job.options
    try:
        _import(shell, project_id, asked, told)
    except StudioError as error:
        if kind_of(error) not in ("disk", "memory"):  # it will be no better the next time
            shutil.rmtree(shell.folder / "upload", ignore_errors=True)
        raise
    shutil.rmtree(shell.folder / "upload", ignore_errors=True)


def _import(shell: Shell, project_id: int, asked: dict[str, Any], told: Callable[[int, int], None]) -> None:
    path, uploaded = shell.ws.path(asked["path"]), asked.get("uploaded", False)
    with exchange.opened(shell.ws, path, asked["format"], asked["splits"], uploaded, shell.say) as source:
        shell.say("comparing with what is there")
        planned = imports.plan(shell.ws, project_id, source, asked["rename"], told)
        print("\n".join(imports.lines(planned)), flush=True)
        found = {"facts": imports.facts(planned), "findings": planned.source.findings, "new": len(planned.those("new"))}
        runs.write_import(shell.folder, found)
        shell.say("importing")
        try:
            imports.carry_out(shell.ws, project_id, planned, asked["author"], told)
        finally:
            runs.write_import(shell.folder, found | {"imported": imports.came_in(shell.ws, project_id, planned)})
