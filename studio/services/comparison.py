"""Two checkpoints on the same held-out turns: what the second fixed and broke, by slot and turn, and whether that may be chance.

Nothing is inferred again: the answers were kept when the checkpoints were scored.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from db.models import Checkpoint, Evaluation, Project, Snapshot
from db.repositories import checkpoints as checkpoint_rows
from db.repositories import snapshots
from studio.errors import StudioError
from studio.services.provenance import RECIPE
from studio.workspace import Workspace, disk_errors

if TYPE_CHECKING:
    from engine.scoring import Profile
    from engine.scoring.align import AlignedTurns

NOT_ANSWERED = ": train from one of them with some dialogues held out, then both are scored on those."


@dataclass(frozen=True)
class Change:
    """One slot of one held-out turn that at least one of the two had wrong.

    ``kind`` is fixed, broken or still wrong; ``turn_id`` the turn in the database (``None``: it is gone), ``number`` its
    number in the dialogue. Values are texts, ``None`` for no value.
    """

    slot: str
    kind: str
    dialogue: str
    number: int
    turn_id: int | None
    audio: str | None
    gold: str | None
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Comparison:
    """``project`` is the name of the one whose held-out dialogues were answered, ``figures`` what
    `engine.scoring.compare_systems` returns; ``recipe`` lists (key, before, after) where they differ.
    """

    project: str
    baseline: str
    system: str
    figures: dict[str, Any]
    wer: tuple[float | None, float | None]
    changes: tuple[Change, ...]
    recipe: tuple[tuple[str, Any, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Everything, for programs."""
        return asdict(self)


@dataclass(frozen=True)
class _Pair:
    """Files of a comparison: the reference and both checkpoints' answers."""

    names: tuple[str, str]
    manifest: Path
    predictions: tuple[Path, Path]
    evaluations: tuple[Evaluation, Evaluation]
    snapshot: Snapshot


def compare(ws: Workspace, baseline_id: int, checkpoint_id: int, project_id: int | None = None) -> Comparison:
    """Compare two checkpoints on the newest held-out dialogues that both answered, of a project or (``None``) of any.

    Raises:
        StudioError: no such checkpoint, the same one twice, or there are no such dialogues.
    """
    from engine.scoring.compare import compare_systems

    with ws.read() as session:
        pair = _pair(ws, session, baseline_id, checkpoint_id, project_id)
        profile, first, second = _aligned(pair)
        figures = compare_systems(first, second, profile)
        places = snapshots.turns(session, pair.snapshot)
        recipes = [_recipe(ws, session.get_one(Checkpoint, found)) for found in (baseline_id, checkpoint_id)]
        project = session.get_one(Project, pair.snapshot.project_id).name
        before, after = (evaluation.scores.get("wer") for evaluation in pair.evaluations)
    changes = []
    for found in _changes(profile, first, second):
        turn_id, audio = places.get((found.dialogue, found.number), (None, None))
        changes.append(replace(found, turn_id=turn_id, audio=str(ws.path(audio)) if audio else None))
    return Comparison(project, *pair.names, figures, (before, after), tuple(changes), recipe_changes(*recipes))


def fixed_and_broken(ws: Workspace, baseline_id: int, checkpoint_id: int, project_id: int) -> tuple[Counter[str], Counter[str]]:
    """By slot, how often the second of two checkpoints has right what the first had wrong in held-out turns, and the reverse.

    Raises:
        StudioError: see `compare`.
    """
    with ws.read() as session:
        found = list(_changes(*_aligned(_pair(ws, session, baseline_id, checkpoint_id, project_id))))
    fixed, broken = (Counter(change.slot for change in found if change.kind == kind) for kind in ("fixed", "broken"))
    return fixed, broken


def report(ws: Workspace, baseline_id: int, checkpoint_id: int, project_id: int | None = None) -> Path:
    """Write the engine's HTML page that compares the two, with the recordings of the wrong turns; its path.

    Raises:
        StudioError: see `compare`; or the disk is full.
    """
    from engine.report.build import Options, build
    from engine.report.page import render
    from engine.scoring import PROFILES

    with ws.read() as session:
        pair = _pair(ws, session, baseline_id, checkpoint_id, project_id)
        options = Options(PROFILES[pair.evaluations[1].scores.get("profile", "strict")], None, audio="wrong")
    page = render(build(pair.manifest, pair.predictions, pair.names, options))
    out = ws.download(f"{pair.names[0]}-and-{pair.names[1]}.html")
    with disk_errors(ws.home):
        out.write_text(page, encoding="utf-8")
    return out


def recipe_changes(before: dict[str, Any], after: dict[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    """The keys in which two recipes differ, with both values; ``None`` where one has none."""
    old, new = dict(_flat(before)), dict(_flat(after))
    return tuple((key, old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new]) if old.get(key) != new.get(key))


def _pair(ws: Workspace, session: Session, baseline_id: int, checkpoint_id: int, project_id: int | None) -> _Pair:
    found = [session.get(Checkpoint, wanted) for wanted in (baseline_id, checkpoint_id)]
    if found[0] is None or found[1] is None or baseline_id == checkpoint_id:
        raise StudioError("A comparison takes two different checkpoints: choose another one.")
    both = checkpoint_rows.common(session, baseline_id, checkpoint_id, answered=True, project_id=project_id)
    snapshot = snapshots.held_out(session, both[0].manifest_sha256, project_id) if both is not None else None
    if both is None or snapshot is None:
        project = session.get(Project, project_id) if project_id is not None else None
        raise StudioError(
            f"{found[0].name} and {found[1].name} did not answer the same held-out dialogues"
            + (f" of {project.name}: score both on them, or choose another project." if project is not None else NOT_ANSWERED)
        )
    manifest = ws.path(snapshot.path).parents[1] / "held_out" / "manifest.jsonl"
    predictions = ws.path(str(both[0].predictions)), ws.path(str(both[1].predictions))
    for file in (manifest, *predictions):
        if not file.is_file():
            raise StudioError(f"{file} is gone, so there is nothing to compare by: train again to have it scored.")
    return _Pair((found[0].name, found[1].name), manifest, predictions, both, snapshot)


def _aligned(pair: _Pair) -> tuple[Profile, AlignedTurns, AlignedTurns]:
    from engine.json_text import FileError
    from engine.scoring import PROFILES
    from engine.scoring.align import align
    from engine.scoring.files import read_predictions, read_reference

    profile = PROFILES[pair.evaluations[1].scores.get("profile", "strict")]
    try:
        reference = read_reference(pair.manifest)
        first, second = (align(reference, read_predictions(file), profile) for file in pair.predictions)
    except FileError as error:
        raise StudioError(str(error)) from error
    return profile, first, second


def _changes(profile: Profile, first: AlignedTurns, second: AlignedTurns) -> Iterator[Change]:
    """Every slot that one of the two had wrong; where its turn is in the database is not known here."""
    from engine.scoring.states import judge_turn

    kinds = {(True, False): "fixed", (False, True): "broken", (True, True): "still wrong"}
    for name, pairs in second.turns.items():
        for place, ((gold, new), (_, old)) in enumerate(zip(pairs, first.turns[name], strict=True)):
            if gold.state is None or new is None or old is None or gold.turn_id is None:
                continue
            wrong = [
                {outcome.slot for outcome in judge_turn(profile, gold.state, state, name, place) if not outcome.same}
                for state in (old.state, new.state)
            ]
            values = profile.gold(gold.state), profile.predicted(old.state), profile.predicted(new.state)
            for slot in sorted(wrong[0] | wrong[1]):
                texts = [None if slot not in state else _text(state[slot]) for state in values]
                kind = kinds[slot in wrong[0], slot in wrong[1]]
                yield Change("-".join(slot), kind, gold.dialogue, gold.turn_id, None, None, *texts)


def _text(value: Any) -> str:
    return " | ".join(map(str, value)) if isinstance(value, list) else str(value)


def _recipe(ws: Workspace, checkpoint: Checkpoint) -> dict[str, Any]:
    """The recipe a checkpoint was trained with; empty where that is not known, as for the demo."""
    if checkpoint.run is None:
        return {}
    try:
        return tomllib.loads((ws.path(checkpoint.run.folder) / RECIPE).read_text(encoding="utf-8"))
    except OSError:
        return {}


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Keys as the command line writes them; a stage by its name."""
    for key, found in value.items():
        if isinstance(found, dict):
            yield from _flat(found, f"{prefix}{key}.")
        elif key == "stages" and not prefix:
            for stage in found:
                yield from _flat(stage, f"{stage['name']}.")
        else:
            yield f"{prefix}{key}", found
