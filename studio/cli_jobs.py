"""``dst-studio jobs``: fine-tuning and other long work from the shell, by the same services as the pages.

With ``--json`` every command prints one JSON document.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from studio.cli_common import (
    AsJson,
    CheckpointName,
    Home,
    ProjectName,
    checkpoint_named,
    print_json,
    project_named,
    say,
    sentences,
    who,
)
from studio.errors import StudioError
from studio.workspace import open_workspace

jobs = typer.Typer(no_args_is_help=True, help="Jobs: train, score, answer, import; watch, compare, put in use.")

JobId = Annotated[int, typer.Argument(metavar="JOB", help="The job's number, as jobs list shows it.")]
KEPT_BACK = ("log_tail",)  # of a job in lists


@jobs.command("list")
def list_jobs(project: ProjectName = None, as_json: AsJson = False, home: Home = None) -> None:
    """Print the jobs, newest first."""
    from studio.services import training

    with sentences():
        ws = open_workspace(home)
        found = training.list_jobs(ws, project_named(ws, project) if project is not None else None)
        if as_json:
            print_json([{key: value for key, value in asdict(job).items() if key not in KEPT_BACK} for job in found])
            return
        for job in found:
            print(_line(job))


@jobs.command()
def start(
    recipe: Annotated[str, typer.Argument(help="A recipe's name, or a TOML file.")] = "adapt",
    project: ProjectName = None,
    base: Annotated[str | None, typer.Option(help="The checkpoint to start from; the one in use if not given.")] = None,
    from_scratch: Annotated[bool, typer.Option("--from-scratch", help="Start from the recipe's base models alone.")] = False,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, for instance adapt.steps=20")] = None,
    stages: Annotated[list[str] | None, typer.Option("--stage", help="Run only these stages of the recipe.")] = None,
    use: Annotated[bool, typer.Option(help="Put the checkpoint in use when it is finished and passes the gate.")] = True,
    backend: Annotated[str | None, typer.Option(help="Where it runs: local, torchrun:2 and others; as set if not given.")] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Freeze a project's corrections and train on them; the job goes on without this command."""
    from studio.services import checkpoints, training

    with sentences():
        ws = open_workspace(home)
        if from_scratch and base is not None:
            raise StudioError("Give --base or --from-scratch, not both.")
        base_id = checkpoint_named(ws, base) if base is not None else None if from_scratch else checkpoints.in_use(ws).id
        job = training.start_job(ws, project_named(ws, project), base_id, recipe, overrides or (), use, backend, stages, by=who())
        _show(job, as_json)


@jobs.command()
def evaluate(
    checkpoint: Annotated[str | None, typer.Option(help="The checkpoint to score; the one in use if not given.")] = None,
    project: ProjectName = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Score a checkpoint on a project's held-out dialogues; the job goes on without this command."""
    from studio.services import checkpoints, queueing

    with sentences():
        ws = open_workspace(home)
        chosen = checkpoints.in_use(ws).id if checkpoint is None else checkpoint_named(ws, checkpoint)
        _show(queueing.start_evaluation(ws, project_named(ws, project), chosen, who()), as_json)


@jobs.command()
def predict(
    project: ProjectName = None,
    dialogue: Annotated[list[str] | None, typer.Option(help="Only this dialogue; can be given several times.")] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Have the checkpoint in use answer every recorded turn that waits for it; the job goes on without this command."""
    from studio.services import dialogues, queueing

    with sentences():
        ws = open_workspace(home)
        project_id = project_named(ws, project)
        chosen = [dialogues.dialogue_named(ws, project_id, name) for name in dialogue] if dialogue else None
        _show(queueing.start_prediction(ws, project_id, chosen, who()), as_json)


@jobs.command("import")
def import_dialogues(
    source: Annotated[str, typer.Argument(metavar="[FORMAT]", help="As of dst-studio import; manifest if left out.")],
    path: Annotated[Path | None, typer.Argument(help="A file, a folder, or an archive of one.", show_default=False)] = None,
    project: ProjectName = None,
    split: Annotated[list[str] | None, typer.Option(help="Only this split; can be given several times.")] = None,
    rename: Annotated[bool, typer.Option("--rename", help="Give a new name to what has another dialogue's.")] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Bring dialogues of a manifest or corpus into a project; the job goes on without this command."""
    from studio.services import exchange, queueing

    with sentences():
        ws = open_workspace(home)
        name, place = (source, path) if path is not None else (exchange.MANIFEST, Path(source))
        project_id, by = project_named(ws, project), who()
        _show(queueing.start_import(ws, project_id, place, name, split or (), rename, by, by=by), as_json)


@jobs.command()
def stop(job: JobId, as_json: AsJson = False, home: Home = None) -> None:
    """Ask a job to save and end."""
    from studio.services import training

    with sentences():
        _show(training.stop_job(open_workspace(home), job, who()), as_json)


@jobs.command()
def resume(
    job: JobId,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="key=value of how it trains on: STAGE.max_positions, model.activation_checkpointing, checkpoint_every, threads.",
        ),
    ] = None,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Go on with a stopped, failed or interrupted job."""
    from studio.services import training

    with sentences():
        _show(training.resume_job(open_workspace(home), job, overrides or (), who()), as_json)


@jobs.command()
def keep(job: JobId, as_json: AsJson = False, home: Home = None) -> None:
    """Have a checkpoint made of what a stopped, failed or interrupted training saved last."""
    from studio.services import training

    with sentences():
        _show(training.keep_last_save(open_workspace(home), job, who()), as_json)


@jobs.command()
def rerun(job: JobId, as_json: AsJson = False, home: Home = None) -> None:
    """Run a finished job again from its frozen snapshot; jobs log then says whether it came to the same."""
    from studio.services import training

    with sentences():
        _show(training.rerun_job(open_workspace(home), job, who()), as_json)


@jobs.command()
def delete(job: JobId, as_json: AsJson = False, home: Home = None) -> None:
    """Delete a job that has ended for good, with its folder and checkpoint."""
    from studio.services import deleting

    with sentences():
        deleting.delete_job(open_workspace(home), job, who())
        if as_json:
            print_json({"id": job, "deleted": True})
        else:
            say(f"Job {job} is deleted")


@jobs.command()
def log(job: JobId, as_json: AsJson = False, home: Home = None) -> None:
    """Print how a job stands and the end of its log; with --json everything about it."""
    from studio.services import live, provenance, training

    with sentences():
        ws = open_workspace(home)
        found = training.job_view(ws, job)
        if as_json:
            used = [asdict(correction) for correction in provenance.corrections_of(ws, job)]
            print_json(asdict(found) | {"corrections": used, "live": asdict(live.live_view(ws, job))})
            return
        print(_line(found))
        for sentence in (found.error, found.gate, found.reproduction and found.reproduction["sentence"]):
            if sentence:
                print(sentence)
        print(found.log_tail)


@jobs.command()
def compare(
    baseline: CheckpointName,
    checkpoint: CheckpointName,
    project: Annotated[
        str | None, typer.Option(help="The project whose held-out dialogues count; the newest of any if not given.")
    ] = None,
    report: Annotated[bool, typer.Option("--report", help="Also write the HTML page of the turns; its path.")] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Compare two checkpoints on the same held-out dialogues."""
    from studio.services import comparison

    with sentences():
        ws = open_workspace(home)
        pair = checkpoint_named(ws, baseline), checkpoint_named(ws, checkpoint)
        project_id = project_named(ws, project) if project is not None else None
        found = comparison.compare(ws, *pair, project_id)
        page = comparison.report(ws, *pair, project_id) if report else None
        if as_json:
            print_json(found.to_json() | ({"report": page} if page is not None else {}))
            return
        print(f"on held-out dialogues of {found.project}")
        for name, score in found.figures["scores"].items():
            print(
                f"{name:14} {score['baseline']:.2f} % -> {score['system']:.2f} %, {score['difference']:+.2f}"
                + ("" if score["interval"] is None else " ({:+.2f} to {:+.2f})".format(*score["interval"]))
                + ("" if score["p_value"] is None else f", p = {score['p_value']:.4f}")
            )
        for slot, changes in found.figures["per_slot"].items():
            print(f"{slot:32} " + ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in changes.items()))
        if page is not None:
            print(page)


@jobs.command()
def promote(
    checkpoint: CheckpointName,
    reason: Annotated[str, typer.Option(help="Why it is put in use although the gate refuses it.")] = "",
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Put a checkpoint in use, if the gate lets it pass."""
    from studio.services import promotion

    with sentences():
        ws = open_workspace(home)
        _show_step(promotion.promote(ws, checkpoint_named(ws, checkpoint), who(), reason, from_shell=True), as_json)


@jobs.command()
def rollback(as_json: AsJson = False, home: Home = None) -> None:
    """Put back in use what was before the newest promotion."""
    from studio.services import promotion

    with sentences():
        _show_step(promotion.rollback(open_workspace(home), who(), from_shell=True), as_json)


def _line(job: Any) -> str:
    steps = f", {job.unit} {job.step} of {job.total_steps}" if job.total_steps else ""
    made = "".join(f" -> {name}" for name in (job.checkpoint, *job.kept) if name)
    by = job.author and f"by {job.author}"
    more = "".join(f", {text}" for text in (by, job.left, job.waits_for, job.silence and job.silence.sentence) if text)
    return f"{job.id:>4}  {job.status:12} {job.title}{made}{steps}{more}"


def _show(job: Any, as_json: bool) -> None:
    if as_json:
        print_json(asdict(job))
    else:
        print(_line(job))


def _show_step(step: Any, as_json: bool) -> None:
    if as_json:
        print_json(asdict(step))
    else:
        say(f"{step.target} answers from now on; before: {step.source}")
