"""Checkpoints and how they scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.models import Checkpoint, Dialogue, Evaluation, Job, JobKind, Project, Snapshot, Split

Both = tuple[dict[str, Any] | None, dict[str, Any] | None]


def load_many(session: Session) -> Sequence[Checkpoint]:
    """Checkpoints that were not deleted, newest first."""
    return session.scalars(select(Checkpoint).where(Checkpoint.deleted.is_(None)).order_by(Checkpoint.id.desc())).all()


def deleted(session: Session) -> Sequence[Checkpoint]:
    """What is left of checkpoints that were deleted, newest deletion first."""
    return session.scalars(select(Checkpoint).where(Checkpoint.deleted.is_not(None)).order_by(Checkpoint.deleted.desc())).all()


def below(session: Session, folder: str) -> Sequence[Checkpoint]:
    """Those of them whose files lie in a folder of the workspace."""
    return [found for found in load_many(session) if found.path is not None and found.path.startswith(f"{folder}/")]


def child(session: Session, checkpoint_id: int) -> Checkpoint | None:
    """One of them that was trained from the checkpoint."""
    return next((found for found in load_many(session) if found.parent_id == checkpoint_id), None)


def forget_answers(session: Session, folder: str) -> None:
    """Have evaluations know no more of answers that lie in a folder of the workspace; the scores stay."""
    for found in session.scalars(select(Evaluation).where(Evaluation.predictions.startswith(f"{folder}/", autoescape=True))):
        found.predictions = None


def names(session: Session) -> set[str]:
    """The names of all checkpoints there ever were."""
    return set(session.scalars(select(Checkpoint.name)))


def demo(session: Session) -> Checkpoint | None:
    """The checkpoint that comes with the package."""
    return session.scalar(select(Checkpoint).where(Checkpoint.path.is_(None)))


def named(session: Session, name: str) -> Checkpoint | None:
    """The checkpoint of that name."""
    return session.scalar(select(Checkpoint).where(Checkpoint.name == name))


def scores(session: Session, checkpoint_id: int, manifest_sha256: str) -> dict[str, Any] | None:
    """How the checkpoint scored on that manifest, if it was evaluated."""
    found = evaluation(session, checkpoint_id, manifest_sha256)
    return found.told if found is not None else None


def evaluation(session: Session, checkpoint_id: int, manifest_sha256: str) -> Evaluation | None:
    """A checkpoint's evaluation on a manifest."""
    return session.scalar(
        select(Evaluation).where(Evaluation.checkpoint_id == checkpoint_id, Evaluation.manifest_sha256 == manifest_sha256)
    )


def newest_evaluations(session: Session, limit: int) -> Sequence[tuple[Checkpoint, Evaluation]]:
    """What was scored last of checkpoints that were not deleted, with those, newest first."""
    query = select(Checkpoint, Evaluation).join(Evaluation).where(Checkpoint.deleted.is_(None))
    query = query.order_by(Evaluation.id.desc()).limit(limit)
    return [(checkpoint, evaluation) for checkpoint, evaluation in session.execute(query)]


def common(
    session: Session, first_id: int, second_id: int, answered: bool = False, project_id: int | None = None
) -> tuple[Evaluation, Evaluation] | None:
    """Evaluations of two checkpoints on the newest manifest that both were scored on; newest by the second's.

    With ``answered`` only those whose answers were kept, with ``project_id`` only on that project's dialogues.
    """
    of_second = select(Evaluation).where(Evaluation.checkpoint_id == second_id).order_by(Evaluation.id.desc())
    if project_id is not None:
        of_project = select(Snapshot.held_out_sha256).where(Snapshot.project_id == project_id)
        of_second = of_second.where(Evaluation.manifest_sha256.in_(of_project))
    for found in session.scalars(of_second):
        other = evaluation(session, first_id, found.manifest_sha256)
        if other is not None and not (answered and None in (other.predictions, found.predictions)):
            return other, found
    return None


def common_by_project(session: Session, first_id: int, second_id: int) -> list[tuple[str, Evaluation, Evaluation]]:
    """Evaluations of two checkpoints on the newest manifest of each project that both were scored on, by the project's name.

    Newest by the second's. A manifest that no snapshot knows, of an older version, has no project and the name "".
    """
    found: dict[str, tuple[str, Evaluation, Evaluation]] = {}
    of_second = select(Evaluation).where(Evaluation.checkpoint_id == second_id).order_by(Evaluation.id.desc())
    for after in session.scalars(of_second):
        before = evaluation(session, first_id, after.manifest_sha256)
        if before is not None:
            of_manifest = select(Project.name).join(Snapshot).where(Snapshot.held_out_sha256 == after.manifest_sha256).distinct()
            for name in session.scalars(of_manifest).all() or [""]:
                found.setdefault(name, (name, before, after))
    return sorted(found.values(), key=lambda pair: pair[0])


def projects_scored_on(session: Session, checkpoint_id: int) -> Sequence[Project]:
    """The projects on whose held-out dialogues the checkpoint was ever scored and that have some today, by name."""
    scored = select(Snapshot.project_id).join(Evaluation, Evaluation.manifest_sha256 == Snapshot.held_out_sha256)
    held_out = select(Dialogue.project_id).where(Dialogue.split == Split.TEST)
    query = select(Project).where(Project.id.in_(scored.where(Evaluation.checkpoint_id == checkpoint_id)))
    return session.scalars(query.where(Project.id.in_(held_out)).order_by(Project.name)).all()


def compare(session: Session, checkpoint: Checkpoint) -> Both:
    """The checkpoint's scores and its parent's, on the newest manifest that both were scored on; else its newest alone."""
    if checkpoint.parent_id is not None:
        for evaluation in reversed(checkpoint.evaluations):
            before = scores(session, checkpoint.parent_id, evaluation.manifest_sha256)
            if before is not None:
                return evaluation.told, before
    return checkpoint.evaluations[-1].told if checkpoint.evaluations else None, None


def of_job(session: Session, job: Job) -> Both:
    """How the job's base and its checkpoint scored on what the job itself held out; of a job that only scores, its
    checkpoint's parent and the checkpoint."""
    manifest = job.snapshot.held_out_sha256 if job.snapshot is not None else None
    before, after = job.base, job.checkpoint
    if job.kind == JobKind.EVALUATE:
        before, after = job.base.parent if job.base is not None else None, job.base
    if manifest is None or after is None:
        return None, None
    return scores(session, before.id, manifest) if before is not None else None, scores(session, after.id, manifest)
