"""The job process, ``python -m studio.worker JOB_ID --home HOME``: claim the job, have it done, start the next one.

It is started by ``scheduling.start_next`` in a session of its own and needs nothing of the studio but the workspace: the
studio may end meanwhile. What it does is in the database (status and phase) and the job's folder. What is done for a job of
each kind is in ``studio.jobs``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from socket import gethostname

import psutil

from db.models import JobKind, JobStatus
from db.repositories import jobs
from studio.backends import LostError, SilentError
from studio.backends.local import MARK, mark
from studio.errors import StudioError
from studio.jobs import evaluate, own, train, waiting
from studio.jobs.shell import PATIENCE, Ended, GivenUpError, Shell
from studio.services import deaths, failures, lease, runs, training
from studio.workspace import attach

KINDS: dict[JobKind, Callable[[Shell], Ended]] = {
    JobKind.TRAIN: train.run,
    JobKind.EVALUATE: evaluate.run,
    JobKind.PREDICT: own.run,
    JobKind.IMPORT: own.run,
}


def main() -> int:
    """Claim the job and run it; do nothing when another process has it or it is another's turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job_id", type=int)
    parser.add_argument("--home", required=True)
    arguments = parser.parse_args()
    ws = attach(arguments.home, PATIENCE)
    started = runs.started_at(psutil.Process())
    os.environ[MARK] = mark(os.getpid(), started)
    waiting.until_it_can_begin(ws, arguments.job_id)
    with ws.write() as session:  # where this fails the job stays in the queue: whoever looks at jobs starts another process
        job = jobs.claim(session, arguments.job_id, gethostname(), os.getpid(), started)
        if job is not None:
            with suppress(OSError):  # a first sign, before others can look for one
                (ws.path(job.folder) / runs.HEARTBEAT).touch()
    if job is None:
        training.start_next(ws)  # the one it waited for may have been stopped
        return 0
    try:
        shell = Shell(ws, arguments.job_id)
        with shell.alive():
            _carry_out(shell, KINDS[job.kind])
    except GivenUpError as error:
        print(error, flush=True)
    finally:
        lease.release(ws)
        training.start_next(ws)
    return 0


def _carry_out(shell: Shell, run: Callable[[Shell], Ended]) -> None:
    """Have it done, and write down how it ended."""
    shell.reserve()
    deaths.note_kills(shell.folder)
    try:
        shell.end(run(shell))
    except GivenUpError:
        raise
    except SilentError:
        if (ended := shell.put_back()) is not None:
            shell.end(ended)
    except LostError as error:
        shell.end(Ended(JobStatus.INTERRUPTED, str(error)))
    except Exception as error:
        shell.end(Ended(JobStatus.FAILED, *failures.of(error)))
        if not isinstance(error, StudioError):
            raise


if __name__ == "__main__":
    sys.exit(main())
