"""Tasks over what a turn says: recognition, translation, dialogue state tracking."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.config import DecodingConfig, PromptConfig
from engine.dialogue import Dialogue, Ontology
from engine.prompts import Prompt, asr_prompt, asr_target, dst_prompt, dst_target
from engine.scoring.wer import wer
from engine.tasks.base import Answer, Example, IndependentTask, Task, turns_with_history


class Recognition(IndependentTask):
    """Automatic speech recognition (stage 1). An empty transcript teaches to write nothing for noise (paper 3)."""

    name = "asr"
    needs = "a transcript"
    guarded = True
    decoding = DecodingConfig(max_new_tokens=200)

    def examples(self, dialogue: Dialogue, prompts: PromptConfig) -> Iterator[Example]:
        for turn, history in turns_with_history(dialogue, prompts, prompts.asr_history):
            if turn.transcript is not None:
                yield Example(self.name, dialogue.dialogue_id, turn, history)

    def prompt(self, prompts: PromptConfig, example: Example) -> Prompt:
        return asr_prompt(prompts, example.history)

    def target(self, example: Example) -> str:
        return asr_target(example.turn.transcript or "")

    def report(self, answers: Sequence[Answer], ontology: Ontology) -> dict[str, Any]:
        """WER, see `engine.scoring.WerResult`."""
        said = [answer.example.turn.transcript or "" for answer in answers]
        return wer(said, [a.text for a in answers], [a.example.dialogue_id for a in answers]).to_json()


class StateTracking(Task):
    """Joint ASR and dialogue state tracking (stage 2): transcript and cumulative state as one JSON object.

    An empty transcript with the state of the turn before teaches to change nothing for noise.
    """

    name = "dst"
    needs = "a transcript and a state"
    guarded = True

    def examples(self, dialogue: Dialogue, prompts: PromptConfig) -> Iterator[Example]:
        for turn, history in turns_with_history(dialogue, prompts):
            if turn.transcript is not None and turn.state is not None:
                yield Example(self.name, dialogue.dialogue_id, turn, history)

    def prompt(self, prompts: PromptConfig, example: Example) -> Prompt:
        return dst_prompt(prompts, example.history)

    def target(self, example: Example) -> str:
        return dst_target(example.turn.transcript or "", example.turn.state or {})
