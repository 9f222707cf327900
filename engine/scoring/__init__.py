"""Scores of tracked dialogues: WER of transcripts; JGA, SER and slot F1 of states, plain and with fuzzy matching."""

from engine.scoring.bootstrap import bootstrap_interval
from engine.scoring.profiles import PROFILES, Profile
from engine.scoring.report import TurnResult, report
from engine.scoring.states import ScoreError, StateScores, Tally, score_states
from engine.scoring.wer import WerResult, wer

__all__ = [
    "PROFILES",
    "Profile",
    "ScoreError",
    "StateScores",
    "Tally",
    "TurnResult",
    "WerResult",
    "bootstrap_interval",
    "report",
    "score_states",
    "wer",
]
