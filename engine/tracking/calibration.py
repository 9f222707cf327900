"""Confidences that mean what they say: fitted on turns that people corrected."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from engine.checkpoints import CheckpointError, read_info, weights_hash
from engine.dialogue import Dialogue, ManifestError, State, accepted, iterate_slots
from engine.postprocess import normalise_slot, normalise_state, normalise_value
from engine.scoring.provenance import same_recording
from engine.scoring.reliability import ece
from engine.tracking.history import OWN
from engine.tracking.predictions import TrackedTurn

CALIBRATION = "calibration.json"
_FEWEST_SLOTS = 50


@dataclass(frozen=True)
class Calibration:
    """Turns a model's own probability into how often slots of that probability are right (Platt 1999, over the log-odds).

    ``slots`` and ``right`` count what it was fitted on, ``ece_before`` and ``ece_after`` (0 to 1) say what it gained there,
    ``fitted_on`` names the manifests.
    """

    slope: float
    intercept: float
    slots: int
    right: int
    ece_before: float
    ece_after: float
    fitted_on: tuple[str, ...] = ()

    def apply(self, confidence: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        """Every slot's probability, calibrated."""
        return {domain: {slot: self(value) for slot, value in slots.items()} for domain, slots in confidence.items()}

    def __call__(self, probability: float) -> float:
        return _sigmoid(self.slope * _log_odds(probability) + self.intercept)


def fit_calibration(confidences: Sequence[float], right: Sequence[bool], fitted_on: Sequence[str] = ()) -> Calibration:
    """Fit slope and intercept by Newton's method, on Platt's smoothed targets, so that few or perfect slots stay finite.

    Raises:
        ValueError: fewer than 50 slots, or all of them right, or none: there is nothing to learn from.
    """
    total, good = len(right), sum(right)
    if total < _FEWEST_SLOTS or good in (0, total):
        raise ValueError(
            f"{total} slots, {good} of them right, are no base for a calibration: {_FEWEST_SLOTS} are needed, right and wrong"
        )
    odds = np.array([_log_odds(value) for value in confidences])
    targets = np.where(right, (good + 1) / (good + 2), 1 / (total - good + 2))
    features = np.stack([odds, np.ones(total)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(100):
        predicted = 1 / (1 + np.exp(-features @ weights))
        gradient = features.T @ (predicted - targets)
        hessian = (features * (predicted * (1 - predicted))[:, None]).T @ features + 1e-6 * np.eye(2)
        change = np.linalg.solve(hessian, gradient)
        weights = weights - change / max(1.0, float(np.abs(change).max()))  # far from the optimum Newton's step overshoots
        if np.abs(change).max() < 1e-9:
            break
    slope, intercept = map(float, weights)
    after = [_sigmoid(slope * value + intercept) for value in odds]
    return Calibration(slope, intercept, total, good, ece(confidences, right), ece(after, right), tuple(fitted_on))


def judged_slots(state: State, confidence: Mapping[str, Mapping[str, float]], gold: State) -> list[tuple[float, bool]]:
    """Each predicted slot's confidence, and whether gold has it with this value (names and values in normal form)."""
    wanted = normalise_state(gold)
    judged = []
    for domain, slot, value in iterate_slots(state):
        if slot in confidence.get(domain, {}):
            forms = accepted(wanted.get(normalise_slot(domain), {}).get(normalise_slot(slot), []))
            judged.append((confidence[domain][slot], normalise_value(accepted(value)[0], slot) in forms))
    return judged


def calibrate_on(turns: Sequence[TrackedTurn], dialogues: Sequence[Dialogue], names: Sequence[str]) -> Calibration:
    """Fit on predictions with the models' own confidences, made without a calibration, and the states they should have been.

    Raises:
        ValueError: predictions that were calibrated already, read another history than the own or are not of these dialogues;
            or too few slots.
    """
    gold = {(dialogue.dialogue_id, turn.turn_id): turn for dialogue in dialogues for turn in dialogue.user_turns()}
    judged: list[tuple[float, bool]] = []
    for turn in turns:
        asked = gold.get((turn.dialogue_id, turn.turn_id))
        if asked is None or not same_recording(vars(asked), vars(turn)):
            raise ValueError(
                f"turn {turn.turn_id} of dialogue {turn.dialogue_id!r} was predicted, and is not there as it was heard"
            )
        if turn.calibrated:
            raise ValueError("the predictions hold calibrated confidences; make them anew, or leave --predictions out")
        if turn.history != OWN.name:
            raise ValueError(f"the predictions read the history {turn.history!r}, and in use a model reads its own words")
        if asked.state is not None:
            judged += judged_slots(turn.state, turn.confidence, asked.state)
    return fit_calibration([value for value, _ in judged], [right for _, right in judged], names)


def refuse_test_split(dialogues: Sequence[Dialogue]) -> None:
    """Asked before the tracking.

    Raises:
        ManifestError: a dialogue is of the split test: what is fitted on it cannot be tested with it.
    """
    for dialogue in dialogues:
        if dialogue.split == "test":
            raise ManifestError(f"dialogue {dialogue.dialogue_id!r} is of the split test; calibrate on others that are held out")


def check_checkpoint(turns: Sequence[TrackedTurn], folder: Path) -> None:
    """See to it that predictions are a checkpoint's own; of before hashes were kept its name must do.

    Raises:
        CheckpointError: no checkpoint, or another's predictions.
    """
    name, weights = read_info(folder).name, weights_hash(folder)
    for turn in turns:
        if turn.checkpoint != name or (turn.checkpoint_hash or weights) != weights:
            made = f"{turn.checkpoint!r} ({turn.checkpoint_hash})" if turn.checkpoint_hash else repr(turn.checkpoint)
            raise CheckpointError(f"{folder} holds checkpoint {name!r} ({weights}), and the predictions were made with {made}")


def read_calibration(folder: Path) -> Calibration | None:
    """A checkpoint folder's calibration; None where it has none.

    Raises:
        CheckpointError: ``calibration.json`` is damaged.
    """
    path = folder / CALIBRATION
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Calibration(**data | {"fitted_on": tuple(data["fitted_on"])})
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged ({error}); remove it, or make it again with `calibrate`") from error


def write_calibration(folder: Path, calibration: Calibration) -> Path:
    """Write ``calibration.json`` into a checkpoint folder, atomically."""
    path = folder / CALIBRATION
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(asdict(calibration), indent=1) + "\n", encoding="utf-8")
    partial.replace(path)
    return path


def _log_odds(probability: float) -> float:
    kept = min(max(probability, 1e-6), 1 - 1e-6)
    return math.log(kept / (1 - kept))


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))
