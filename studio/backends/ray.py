"""On a Ray cluster (extra ``ray``), through the Jobs API of its dashboard.

Every node sees the workspace and this program's environment under the same paths: the engine reads its snapshot, writes its
log and metrics, and hears a wish to stop in the job's folder, as anywhere else.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import time
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from studio import backends
from studio.backends import LostError, SilentError
from studio.errors import StudioError

POLL_SECONDS = 1.0  # how often the cluster is asked
QUIET_SECONDS = 600.0  # without a sign from cluster and engine, after which the engine counts as dead
SIGNS = ("log.txt", "train", "train/metrics.jsonl", "train/samples.json", "train/resume")  # what the engine writes
ANSWER_SECONDS = 5.0  # what its dashboard gets to say that it is there, or how a job is
DO_SECONDS = 30.0  # what it gets to start or stop a job
NOT_INSTALLED = "Ray is not installed here: pip install 'spoken-dst-studio[ray]'."
RECORD = "ray.json"  # which job of which cluster runs for the folder


class RayJob:
    """A submitted job.

    A cluster that does not answer may be on its way back, and its engine at work: nobody knows. The engine's own word in the
    job's folder counts. It is known to have died when the cluster is there and knows nothing of it, for then it was started anew
    (Ray ends what it ran when it goes down), or when neither cluster nor folder has given a sign for ten minutes. A job that Ray
    calls failed without an exit code did not fail itself: its node died, or Ray could not begin it.
    """

    def __init__(self, address: str, client: Any, submission: str, folder: Path) -> None:
        self._address, self._client, self._submission, self._folder = address, client, submission, folder
        self._asked = self._heard = time.monotonic()
        self.trouble: str | None = None

    def poll(self) -> int | None:
        if time.monotonic() - self._asked < POLL_SECONDS:
            return None
        self._asked = time.monotonic()
        try:
            info = self._client.get_job_info(self._submission)
        except Exception as error:  # its HTTP client's, and RuntimeError for what the dashboard answers
            return self._without_answer(error)
        self._heard, self.trouble = self._asked, None
        if not info.status.is_terminal():
            return None
        if info.status.value == "SUCCEEDED":
            return 0
        if info.driver_exit_code is not None:
            return info.driver_exit_code
        if info.status.value == "STOPPED":
            return -signal.SIGTERM
        if (code := self._told()) is not None:
            return code
        why = _first_line(info.message)
        raise LostError(f"The Ray cluster at {self._address} lost it ({why}): see that the cluster is whole, and resume it.")

    def _without_answer(self, error: Exception) -> int | None:
        """What can be told of it all the same."""
        if (code := self._told()) is not None:
            return code
        if "does not exist" in str(error) and answers(self._address):
            raise LostError(f"The Ray cluster at {self._address} was started again while it ran, and ended it; resume it.")
        silent = self._asked - self._heard
        if self.trouble is None and silent > ANSWER_SECONDS:
            self.trouble = backends.silent(self._address, datetime.now(), "the job may be running")
        if silent > QUIET_SECONDS and time.time() - self._sign() > QUIET_SECONDS:
            raise LostError(
                f"Neither the Ray cluster at {self._address} nor the engine gave a sign for {QUIET_SECONDS / 60:.0f} minutes "
                f"({_first_line(error)}): start the cluster again and resume."
            )
        return None

    def _told(self) -> int | None:
        """The exit code by what the engine left itself."""
        try:
            return backends.CODES.get(json.loads((self._folder / backends.RESULT).read_text(encoding="utf-8"))["status"])
        except (OSError, ValueError, KeyError):
            return None

    def _sign(self) -> float:
        """When the engine wrote into the job's folder last."""
        signs = [self._folder / name for name in SIGNS]
        return max((path.stat().st_mtime for path in signs if path.exists()), default=0.0)

    def end(self) -> None:
        with suppress(Exception):  # a cluster that cannot be reached has nothing left to end
            _stop(self._client, self._submission)


def check(address: str) -> None:
    """Ask the cluster's dashboard for its version.

    Raises:
        StudioError: no Ray here, or no cluster there.
    """
    if find_spec("ray") is None:
        raise StudioError(NOT_INSTALLED)
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/api/version", timeout=ANSWER_SECONDS) as answer:
            json.load(answer)["ray_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unreachable(address, error) from error


def answers(address: str) -> bool:
    """Whether the cluster's dashboard lists its jobs, as it does only where the rest of the cluster is there too. Where Ray is
    not installed nobody needs to wait for that.
    """
    if find_spec("ray") is None:
        return True
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/api/jobs/", timeout=ANSWER_SECONDS) as answer:
            return isinstance(json.load(answer), list)
    except (OSError, ValueError):
        return False


def start(address: str, command: Sequence[str], folder: Path, *, cpus: int = 0, gpus: int = 0) -> RayJob:
    """Submit the command, to run where that many CPUs or GPUs are free.

    Raises:
        SilentError: no cluster answers there.
        StudioError: no Ray here, or the cluster refuses.
    """
    if not answers(address):
        raise SilentError(f"The Ray cluster at {address} does not answer: start it again.")
    client = _client(address)
    end_left(folder)
    kept = {key: value for key, value in os.environ.items() if key in ("PYTHONPATH", "PYTHONUNBUFFERED")}
    kept |= {key: value for key, value in os.environ.items() if key.startswith("DST_STUDIO_") and key != "DST_STUDIO_DATABASE"}
    submission = f"dst-studio-{folder.name}-{time.time_ns()}"
    (folder / RECORD).write_text(json.dumps({"address": address, "submission": submission}), encoding="utf-8")
    try:
        client.submit_job(
            entrypoint=f"{shlex.join(command)} >> {shlex.quote(str(folder / 'log.txt'))} 2>&1",
            submission_id=submission,
            runtime_env={"env_vars": kept},
            entrypoint_num_cpus=cpus,
            entrypoint_num_gpus=gpus,
        )
    except Exception as error:
        if not answers(address):
            raise SilentError(f"The Ray cluster at {address} does not answer any more: start it again.") from error
        raise StudioError(f"The Ray cluster at {address} refused the job: {_first_line(error)}.") from error
    return RayJob(address, client, submission, folder)


def end_left(folder: Path) -> None:
    """Stop the job that was submitted for the folder, if there is one and its cluster can be reached."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        _stop(_client(record["address"]), record["submission"])
    except FileNotFoundError:
        return
    except Exception as error:
        raise StudioError(f"What Ray still runs for {folder.name} cannot be stopped ({_first_line(error)}).") from error
    (folder / RECORD).unlink(missing_ok=True)


def _client(address: str) -> Any:
    try:
        from ray.job_submission import JobSubmissionClient
    except ModuleNotFoundError as error:
        raise StudioError(NOT_INSTALLED) from error

    class Impatient(JobSubmissionClient):  # type: ignore[misc, unused-ignore]
        """Ray's own waits for ever for a dashboard that takes a question and never answers, and with it whoever asks."""

        def _do_request(self, method: str, *arguments: Any, **options: Any) -> Any:
            seconds = ANSWER_SECONDS if method == "GET" else DO_SECONDS
            return super()._do_request(method, *arguments, timeout=seconds, **options)

    try:
        return Impatient(address)
    except Exception as error:
        raise _unreachable(address, error) from error


def _unreachable(address: str, error: Exception) -> StudioError:
    return StudioError(
        f"There is no Ray cluster at {address} ({_first_line(error)}): start one with ray start --head, or choose another "
        "backend."
    )


def _stop(client: Any, submission: str) -> None:
    """Stop a job and wait until its processes are gone."""
    if submission not in {job.submission_id for job in client.list_jobs()}:
        return
    client.stop_job(submission)
    deadline = time.monotonic() + 30
    while not client.get_job_status(submission).is_terminal() and time.monotonic() < deadline:
        time.sleep(0.2)


def _first_line(error: Exception | str) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__)[:200].rstrip(".")
