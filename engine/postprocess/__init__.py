"""From what the model wrote to what the application works with: normal forms, and matches with the ontology."""

from engine.postprocess.fuzzy import FuzzyMatcher, FuzzyMode, Match, MatchError, Support
from engine.postprocess.normalise import normalise_slot, normalise_state, normalise_value, slot_type
from engine.postprocess.value_lists import read_value_lists

__all__ = [
    "FuzzyMatcher",
    "FuzzyMode",
    "Match",
    "MatchError",
    "Support",
    "normalise_slot",
    "normalise_state",
    "normalise_value",
    "read_value_lists",
    "slot_type",
]
