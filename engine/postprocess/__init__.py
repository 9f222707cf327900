"""From what the model wrote to what the application works with: normal forms, and matches with the ontology."""

from engine.postprocess.fuzzy import FuzzyMatcher, FuzzyMode, Match
from engine.postprocess.normalise import normalise_slot, normalise_state, normalise_value, slot_type

__all__ = ["FuzzyMatcher", "FuzzyMode", "Match", "normalise_slot", "normalise_state", "normalise_value", "slot_type"]
