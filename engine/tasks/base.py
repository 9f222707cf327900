"""What a task is: which turns give examples, what the model reads before and after their speech, and what it is to answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.config import DecodingConfig, PromptConfig, TaskName
from engine.dialogue import Dialogue, Instruction, Ontology, Turn
from engine.prompts import HistoryTurn, Prompt


class DataError(ValueError):
    """Manifests that cannot be used for a task; the message says what is missing."""


@dataclass(frozen=True)
class Example:
    """One turn's speech for one task, with the turns before it that the prompt shows.

    ``instruction`` is what the turn's triplet asks (an instruction task); ``language`` is what is translated into (``ast``).
    """

    task: TaskName
    dialogue_id: str
    turn: Turn
    history: tuple[HistoryTurn, ...] = ()
    instruction: Instruction | None = None
    language: str = ""


@dataclass(frozen=True)
class Answer:
    """What a model wrote for an example; ``guarded``: the recording holds no speech, so the model was not asked."""

    example: Example
    text: str
    guarded: bool = False

    def to_json(self) -> dict[str, Any]:
        example = self.example
        head = {"dialogue_id": example.dialogue_id, "turn_id": example.turn.turn_id, "task": example.task}
        asked = {"language": example.language} if example.language else {}
        asked |= asdict(example.instruction) if example.instruction else {}
        return head | asked | {"answer": self.text, "guarded": self.guarded}


class Task(ABC):
    """One task; `engine.tasks.TASKS` holds one of each, and data, training and tracking ask it."""

    name: TaskName
    needs: str  # what a turn must carry, as a message says it
    guarded = False  # whether a recording without speech has an answer of its own: no words
    decoding = DecodingConfig()  # unless recipe, checkpoint or command say otherwise

    @abstractmethod
    def examples(self, dialogue: Dialogue, prompts: PromptConfig) -> Iterator[Example]:
        """The dialogue's examples, in speaking order.

        Raises:
            DataError: a turn lacks what the prompt's settings want of it.
        """

    @abstractmethod
    def prompt(self, prompts: PromptConfig, example: Example) -> Prompt:
        """The text around the example's speech."""

    @abstractmethod
    def target(self, example: Example) -> str:
        """What is to follow the prompt's suffix directly."""


class IndependentTask(Task):
    """A task whose examples are answered and scored each on its own; of a dialogue's states each builds on the one before."""

    def ready(self) -> None:
        """Asked before hours of decoding.

        Raises:
            ScoreError: what the scores are computed with is missing.
        """
        return

    @abstractmethod
    def report(self, answers: Sequence[Answer], ontology: Ontology) -> dict[str, Any]:
        """Scores, a JSON object; ``ontology`` holds the slots that the model was trained on."""


def turns_with_history(
    dialogue: Dialogue, prompts: PromptConfig, limit: int | None = None
) -> Iterator[tuple[Turn, tuple[HistoryTurn, ...]]]:
    """Each user turn that has audio, with the ``limit`` turns before it (None: all), worded as the settings want.

    Raises:
        DataError: a recogniser's words are wanted and a spoken turn has none.
    """
    history: list[HistoryTurn] = []
    for turn in dialogue.turns:
        spoken = turn.speaker == "user" and turn.audio is not None
        if spoken:
            yield turn, tuple(history if limit is None else history[len(history) - min(limit, len(history)) :])
        text = turn.transcript
        if spoken and prompts.history_text == "own" and limit != 0:
            if turn.heard is None:
                raise DataError(
                    f"dialogue {dialogue.dialogue_id}, turn {turn.turn_id} has no 'heard', which a history of own "
                    "transcripts is made of; write it with python -m engine prepare heard"
                )
            text = turn.heard
        if text:
            history.append(HistoryTurn(turn.speaker, text))
