"""A job as the Train and Data pages tell of it."""

from __future__ import annotations

from studio.pages import shared
from studio.services.training import JobView

SETTLED = 5  # steps after which the pace is known
STATUS_TEXT = {
    "queued": "waiting for its turn",
    "running": "running",
    "saving": "saving",
    "finished": "finished",
    "stopped": "stopped: resume to go on",
    "failed": "failed",
    "interrupted": "interrupted: resume to go on from its last saved step",
}


def progress_html(item: JobView) -> str:
    """How far a job is, in words, numbers and a bar."""
    total = item.total_steps or 0
    share = 1.0 if item.status == "finished" else item.step / total if total else 0.0
    facts = [f"{item.unit} {item.step} of {total}"] if total else [f"no {item.unit} yet"] if item.status == "running" else []
    if item.stage and item.active:
        facts.append(f"stage {shared.escape(item.stage)}")
    if item.loss is not None:
        facts.append(f"loss {item.loss:.3f}")
    if item.left is not None:
        settling = " by the first steps" if item.step < SETTLED else ""
        facts.append(f"{item.left}{settling}")
    if item.queue_position:
        facts.append(f"number {item.queue_position} in the queue")
    if item.waits_for:
        facts.append(shared.escape(item.waits_for))
    made = {item.checkpoint: item.checkpoint_id} if item.checkpoint else {}
    for name, checkpoint_id in (made | item.kept).items():
        text = shared.escape(name)
        link = f"<a href='models?checkpoint={checkpoint_id}'>{text}</a>" if checkpoint_id is not None else text
        facts.append(f"checkpoint {link}")
    problem = shared.alert(item.error) if item.error else ""
    problem += shared.alert(item.silence.sentence) if item.silence else ""
    gate = f"<p>{shared.escape(item.gate)}</p>" if item.gate else ""
    gate += f"<p>{shared.escape(item.reproduction['sentence'])}</p>" if item.reproduction else ""
    phase = f": {shared.escape(item.phase)}" if item.active and item.status != "queued" else ""
    return (
        f"<h3>Job {item.id} <span class='dst-status {item.status}'>{STATUS_TEXT[item.status]}{phase}</span></h3>"
        f"<progress max='1' value='{share:.4f}' aria-label='progress'></progress>"
        f"<small>{' · '.join(facts)}</small>{people_html(item)}{problem}{gate}"
    )


def people_html(item: JobView) -> str:
    """Who did what to a job, where anybody has a name."""
    named = [event for event in item.events if event.author]
    told = (f"{event.kind} by {shared.escape(event.author)}, {shared.day_clock(event.created)}" for event in named)
    return f"<p><small>{' · '.join(told)}</small></p>" if named else ""
