"""Paper 2's tasks (arXiv 2510.15851): an instruction, a turn's speech, a response.

The paper's whole text was not to be had; where its summary is silent, this is how we read it:

- ``slot-filling``: the instruction lists slots with their descriptions, those the turn gives a value for among distractors it
  does not; the response is a JSON object of all of them, the distractors' values empty.
- ``sit``, speech instruction tuning: the instruction is text, and the speech is what it is about.
- ``sqit``, spoken query instruction tuning: the speech asks; the instruction, which may be empty, says how to answer.
- ``ast``, automatic speech translation, from a turn's ``translation``.

`engine.data.triplets` makes triplets of dialogues; a manifest may hold any others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.config import DecodingConfig, PromptConfig, TaskName
from engine.dialogue import Dialogue, Ontology
from engine.prompts import (
    Prompt,
    ast_prompt,
    instruction_prompt,
    parse_slots,
    slots_target,
    text_target,
)
from engine.scoring.text import language_name, require_sacrebleu, score_texts, score_translations
from engine.scoring.triplets import FilledSlots, score_slot_filling
from engine.tasks.base import Answer, Example, IndependentTask, turns_with_history


class Translation(IndependentTask):
    """Speech to text in another language; a turn gives one example for each of its translations."""

    name = "ast"
    needs = "a translation"
    decoding = DecodingConfig(max_new_tokens=200)

    def examples(self, dialogue: Dialogue, prompts: PromptConfig) -> Iterator[Example]:
        for turn, _ in turns_with_history(dialogue, prompts, 0):
            for language in sorted(turn.translation or {}):
                yield Example(self.name, dialogue.dialogue_id, turn, language=language)

    def prompt(self, prompts: PromptConfig, example: Example) -> Prompt:
        return ast_prompt(prompts, language_name(example.language))

    def target(self, example: Example) -> str:
        return text_target(self._reference(example))

    def ready(self) -> None:
        require_sacrebleu()

    def report(self, answers: Sequence[Answer], ontology: Ontology) -> dict[str, Any]:
        """BLEU and chrF of each language, see `engine.scoring.text.score_translations`."""
        pairs: dict[str, list[tuple[str, str]]] = {}
        for answer in answers:
            pairs.setdefault(answer.example.language, []).append((self._reference(answer.example), answer.text))
        return {"languages": {language: score_translations(pairs[language], language) for language in sorted(pairs)}}

    def _reference(self, example: Example) -> str:
        return (example.turn.translation or {})[example.language]


class _Triplets(IndependentTask):
    """A task whose examples are a turn's triplets of the task's name."""

    decoding = DecodingConfig(max_new_tokens=256)

    def examples(self, dialogue: Dialogue, prompts: PromptConfig) -> Iterator[Example]:
        for turn, history in turns_with_history(dialogue, prompts):
            for triplet in turn.instructions or ():
                if triplet.task == self.name:
                    context = history[len(history) - min(triplet.context, len(history)) :]
                    yield Example(self.name, dialogue.dialogue_id, turn, context, triplet)

    def prompt(self, prompts: PromptConfig, example: Example) -> Prompt:
        assert example.instruction is not None
        return instruction_prompt(prompts, example.instruction.instruction, example.history)


class SlotFilling(_Triplets):
    """Slots described in the prompt, filled from the turn's speech; slots never trained on are described alike (zero-shot)."""

    name = "slot-filling"
    needs = "instructions for slot-filling, which python -m engine prepare triplets makes of dialogue states"

    def target(self, example: Example) -> str:
        return slots_target(_asked(example))

    def report(self, answers: Sequence[Answer], ontology: Ontology) -> dict[str, Any]:
        """Partial and exact precision, recall and F1, see `score_slot_filling`."""
        filled = [FilledSlots(_asked(a.example), parse_slots(a.text), len(a.example.history)) for a in answers]
        return score_slot_filling(filled, ontology)


class FreeText(_Triplets):
    """A task whose response is text."""

    def __init__(self, name: TaskName) -> None:
        self.name = name
        self.needs = f"instructions for {name}"

    def target(self, example: Example) -> str:
        return text_target(_response(example))

    def report(self, answers: Sequence[Answer], ontology: Ontology) -> dict[str, Any]:
        """Exact match and token F1, see `engine.scoring.text.score_texts`."""
        return score_texts([(_response(answer.example), answer.text) for answer in answers])


def _asked(example: Example) -> dict[str, Any]:
    assert example.instruction is not None and isinstance(example.instruction.response, dict)
    return example.instruction.response


def _response(example: Example) -> str:
    assert example.instruction is not None and isinstance(example.instruction.response, str)
    return example.instruction.response
