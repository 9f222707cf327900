"""Turn-by-turn inference: what was heard, what is understood, how sure the model is."""

from engine.prompts import HistoryTurn
from engine.tracking.dialogues import TrackedTurn, evaluate_dialogues, track_dialogues
from engine.tracking.examples import answer_examples, evaluate_task
from engine.tracking.tracker import Tracker, TurnPrediction, TurnRequest

__all__ = [
    "HistoryTurn",
    "TrackedTurn",
    "Tracker",
    "TurnPrediction",
    "TurnRequest",
    "answer_examples",
    "evaluate_dialogues",
    "evaluate_task",
    "track_dialogues",
]
