"""What the services do, not the engine, in a child of the job's process: ``python -m studio.jobs.own JOB_ID --home HOME``.

So the process that watches neither crashes with it nor pays for its memory. What was done stays: a job that is stopped or
killed goes on with what is left when it is resumed.

runs/<job id>/progress.json   how far it is
runs/<job id>/result.json     why it failed
"""

from __future__ import annotations

import argparse
import sys
import traceback

from db.models import JobKind, JobStatus
from studio.backends import local
from studio.jobs import import_, predict
from studio.jobs.shell import PATIENCE, STOPPED, Ended, GivenUpError, Shell
from studio.services import failures, runs
from studio.services.runs import STOP
from studio.workspace import attach

WORK = {JobKind.PREDICT: predict.work, JobKind.IMPORT: import_.work}


class _Stopped(Exception):
    """Somebody wants the job to end, and what was done so far is written."""


def run(shell: Shell) -> Ended:
    """Have the job's work done."""
    command = [sys.executable, "-m", "studio.jobs.own", str(shell.job_id), "--home", str(shell.ws.home)]
    (shell.folder / runs.RESULT).unlink(missing_ok=True)
    code = shell.watch(local.start(command), shell.folder / STOP)
    found = runs.result(shell.folder)
    if code == 0:
        return Ended(JobStatus.FINISHED, found.get("error"))
    if code == STOPPED or (shell.stop_asked and code < 0):
        return Ended(JobStatus.STOPPED)
    return Ended(JobStatus.FAILED, *shell.why(found, code))


def work(shell: Shell) -> int:
    """Do it in this process; the exit code."""

    progress = runs.Progress(shell.folder)

    def told(done: int, total: int) -> None:
        progress.tell(done, total)
        if shell.stop_asked and done < total:
            raise _Stopped

    with shell.ws.read() as session:
        kind = shell.job(session).kind
    try:
        left = WORK[kind](shell, told)
    except _Stopped:
        return STOPPED
    except GivenUpError:  # whoever watches this ends it: not a word of it may reach another process's result
        raise
    except Exception as error:
        traceback.print_exc()
        runs.write_result(shell.folder, *failures.of(error))
        return 1
    if left is not None:
        runs.write_result(shell.folder, left)
    return 0


def main() -> int:
    """The child."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job_id", type=int)
    parser.add_argument("--home", required=True)
    arguments = parser.parse_args()
    return work(Shell(attach(arguments.home, PATIENCE), arguments.job_id))


if __name__ == "__main__":
    sys.exit(main())
