"""The registry: which turns give examples of a task, what the model reads, and what it is to answer."""

import json
from dataclasses import replace
from typing import get_args

import pytest

from engine.config import PromptConfig, TaskName
from engine.dialogue import Dialogue, Instruction, Ontology, Turn
from engine.tasks import TASKS, Answer, DataError
from engine.tasks.base import IndependentTask

FILL = Instruction("slot-filling", "Fill.\n- hotel-area: part of town", {"hotel-area": ["north", "n"], "hotel-name": ""}, 2)
TALK = Dialogue(
    "d",
    [
        Turn(0, "user", "a hotel please", "0.wav", state={}, heard="hotel peas"),
        Turn(1, "agent", "Which part of town?"),
        Turn(
            *(2, "user", "the north", "2.wav"),
            state={"hotel": {"area": ["north", "n"]}},
            heard="the nor",
            translation={"fr": "le nord", "de": "im Norden"},
            instructions=[FILL, Instruction("sit", "Loud or quiet?", "Quiet."), Instruction("sqit", "", "I will look.\n")],
        ),
        Turn(3, "user", "", "3.wav", heard=""),
        Turn(4, "user", "typed only", state={}),
    ],
)
PROMPTS = PromptConfig()


def rows(task, prompts=PROMPTS, dialogue=TALK):
    task = TASKS[task]
    return [(task.prompt(prompts, example), task.target(example)) for example in task.examples(dialogue, prompts)]


def test_every_task_a_recipe_may_name_is_registered_under_its_name():
    assert set(TASKS) == set(get_args(TaskName))
    assert all(name == task.name and task.needs for name, task in TASKS.items())


def test_recognition_has_noise_too_and_no_history():
    assert [target for _, target in rows("asr")] == [" a hotel please", " the north", ""]
    assert {prompt.prefix for prompt, _ in rows("asr")} == {""}


def test_tracking_takes_turns_with_words_and_a_state():
    (_, first), (prompt, second) = rows("dst")
    assert json.loads(first)["slots"] == {} and json.loads(second)["slots"] == {"hotel": {"area": "north"}}
    assert '"USER: a hotel please AGENT: which part of town"' in prompt.suffix


def test_translation_gives_one_example_a_language():
    (german, deutsch), (french, francais) = rows("ast")
    assert german.suffix == " Translation into German:" and french.suffix == " Translation into French:"
    assert (deutsch, francais) == (" im Norden", " le nord")


def test_slot_filling_shows_context_and_descriptions_before_the_speech():
    ((prompt, target),) = rows("slot-filling")
    assert prompt.prefix == (
        "Context: USER: a hotel please AGENT: which part of town\nFill.\n- hotel-area: part of town\nSpeech:"
    )
    assert prompt.suffix == "\nResponse:" and json.loads(target) == {"hotel-area": "north", "hotel-name": ""}
    none = replace(TALK, turns=[replace(turn, instructions=[replace(FILL, context=0)]) for turn in TALK.turns])
    assert all(prompt.prefix.startswith("Fill.") for prompt, _ in rows("slot-filling", dialogue=none))


def test_spoken_instructions_and_spoken_queries_are_answered_with_text():
    assert [(p.prefix, target) for p, target in rows("sit")] == [("Loud or quiet?\nSpeech:", " Quiet.")]
    assert [(p.prefix, target) for p, target in rows("sqit")] == [("Speech:", " I will look.")]


def test_a_chat_template_can_be_put_around_an_instruction():
    ((prompt, _),) = rows("sit", PromptConfig(instruction_prefix="<user>", instruction_suffix="</user>"))
    assert prompt.prefix.startswith("<user>Loud") and prompt.suffix == "</user>"


def test_a_history_of_own_transcripts_holds_what_a_recogniser_heard():
    own = PromptConfig(history_text="own")
    assert '"USER: hotel peas AGENT: which part of town"' in rows("dst", own)[1][0].suffix
    assert rows("dst", own)[1][1] == rows("dst")[1][1], "what is to be answered stays as it was transcribed"
    unheard = replace(TALK, turns=[replace(turn, heard=None) for turn in TALK.turns])
    with pytest.raises(DataError, match="turn 0 has no 'heard'"):
        rows("dst", own, unheard)
    assert len(rows("asr", own, unheard)) == 3, "a prompt without history needs none"


@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if isinstance(task, IndependentTask) and name != "ast"])
def test_a_models_own_targets_score_full_marks(task):
    answers = [Answer(example, TASKS[task].target(example)) for example in TASKS[task].examples(TALK, PROMPTS)]
    report = TASKS[task].report(answers, Ontology())
    best = {"asr": ("wer", 0.0), "slot-filling": ("perfect", 100.0), "sit": ("exact", 100.0), "sqit": ("exact", 100.0)}
    assert report[best[task][0]] == best[task][1]
    wrong = [replace(answer, text="something else") for answer in answers]
    assert TASKS[task].report(wrong, Ontology())[best[task][0]] != best[task][1]
