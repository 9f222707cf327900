"""Following jobs that run in processes of their own."""

import time
from collections.abc import Callable

import psutil

from db.models import Job
from studio.services import training
from studio.services.training import JobView
from studio.workspace import Workspace

STAGES = ("align", "stage1", "stage2")
SLOW = {"FAKE_STEP": "0.2"}


def wait(
    ws: Workspace, job_id: int, until: Callable[[JobView], bool] = lambda job: not job.active, seconds: float = 300
) -> JobView:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        job = training.job_view(ws, job_id)
        if until(job):
            return job
        time.sleep(0.1)
    raise AssertionError(f"still {job.status}, {job.phase}, step {job.step}: {job.log_tail}")


def training_on(step: int) -> Callable[[JobView], bool]:
    return lambda job: job.status == "running" and job.step >= step


def process_of(ws: Workspace, job_id: int) -> psutil.Process:
    with ws.read() as session:
        return psutil.Process(session.get_one(Job, job_id).pid)
