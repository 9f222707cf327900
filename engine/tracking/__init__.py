"""Turn-by-turn inference: what was heard, what is understood, how sure the model is."""

from engine.prompts import HistoryTurn
from engine.tracking.dialogues import evaluate_dialogues, track_dialogues
from engine.tracking.examples import answer_examples, evaluate_task
from engine.tracking.history import History, oracle_history, read_history
from engine.tracking.predictions import TrackedTurn
from engine.tracking.tracker import Tracker, TurnPrediction, TurnRequest

__all__ = [
    "History",
    "HistoryTurn",
    "TrackedTurn",
    "Tracker",
    "TurnPrediction",
    "TurnRequest",
    "answer_examples",
    "evaluate_dialogues",
    "evaluate_task",
    "oracle_history",
    "read_history",
    "track_dialogues",
]
