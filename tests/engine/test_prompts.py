"""Prompt layouts and the JSON target, character by character."""

import json

import pytest

from engine.config import PromptConfig, load_recipe
from engine.prompts import (
    HistoryTurn,
    Prompt,
    asr_prompt,
    asr_target,
    ast_prompt,
    dst_prompt,
    dst_target,
    instruction_prompt,
    parse_output,
    parse_slots,
)

HISTORY = [HistoryTurn("user", "A cheap hotel."), HistoryTurn("agent", 'the "Acorn", for 2')]


def test_paper_layout_is_speech_then_history():
    prompt = dst_prompt(PromptConfig(), HISTORY)
    assert prompt.prefix == ""
    assert prompt.suffix == ' {"dialogue_history": "USER: a cheap hotel AGENT: the acorn for two", "current_turn":'


@pytest.mark.parametrize("layout", ["paper", "history_first"])
def test_prompt_and_target_together_are_one_json_object(layout):
    prompt = dst_prompt(PromptConfig(layout=layout), HISTORY)
    speech = '"<speech>"' if layout == "history_first" else ""
    target = dst_target("in the north", {"hotel": {"area": "north"}})
    whole = json.loads(prompt.prefix + speech + prompt.suffix + target + "}")
    assert whole["dialogue_history"] == "USER: a cheap hotel AGENT: the acorn for two"
    assert whole["current_turn"]["slots"] == {"hotel": {"area": "north"}}


def test_user_history_leaves_the_agent_out():
    assert "AGENT" not in dst_prompt(PromptConfig(history="user"), HISTORY).suffix


def test_target_order_and_canonical_value():
    target = dst_target("at eight", {"restaurant": {"time": ["20:00", "8pm"]}, "taxi": {}})
    expected = {
        "transcript": "at eight",
        "domains": ["restaurant", "taxi"],
        "slots": {"restaurant": {"time": "20:00"}, "taxi": {}},
    }
    assert target == " " + json.dumps(expected)


def test_output_round_trip_with_the_transcript_in_spoken_form():
    parsed = parse_output(dst_target('Say "hi" at 2!', {"hotel": {"name": 'é "x"'}}))
    assert parsed.transcript == "say hi at two" and parsed.state == {"hotel": {"name": 'é "x"'}}


@pytest.mark.parametrize(
    ("text", "transcript"),
    [
        ('{"transcript": "a b", "domains": ["hotel"], "slots": {"hotel": {"are', "a b"),
        ('{"transcript": "a b", "slots": {"hotel": "north"}}', "a b"),
        ('{"transcript": "a b", "slots": {"hotel": {"stars": 4}}}', "a b"),
        ('["transcript"]', ""),
        ("garbage", ""),
        ('{"transcript": "broken', ""),
    ],
)
def test_broken_output_has_no_state_but_keeps_the_transcript(text, transcript):
    parsed = parse_output(text)
    assert parsed.state is None and parsed.transcript == transcript


def test_paper_wording_gives_asr_and_dst_their_sentences_and_the_history_its_place():
    paper = PromptConfig(wording="paper")
    assert dst_prompt(paper, HISTORY).prefix.endswith("infer the dialogue state domains and slots in JSON format: ")
    assert dst_prompt(paper, HISTORY).suffix == dst_prompt(PromptConfig(), HISTORY).suffix
    start = "Transcribe the rest of the conversation given the following conversation history: "
    assert asr_prompt(paper, HISTORY) == Prompt(start + '"" ', " Continued transcript:")
    last = PromptConfig(wording="paper", asr_history=1)
    assert asr_prompt(last, HISTORY).prefix == start + '"AGENT: the acorn for two" '
    assert asr_prompt(PromptConfig(), HISTORY) == Prompt("", " Transcript:")


def test_a_base_models_own_markers_of_audio_are_around_the_speech_in_every_task():
    marked = load_recipe("qwen2-audio").prompt
    prompts = [asr_prompt(marked), ast_prompt(marked, "German"), dst_prompt(marked, HISTORY), instruction_prompt(marked, "Who?")]
    assert all(prompt.prefix.endswith("<|audio_bos|>") and prompt.suffix.startswith("<|audio_eos|>") for prompt in prompts)


@pytest.mark.parametrize("bad", [{"wording": "paper", "dst_prefix": "Track: "}, {"asr_history": 2}])
def test_prompt_settings_that_would_be_ignored_are_refused(bad):
    with pytest.raises(ValueError, match="wording"):
        PromptConfig(**bad)


def test_a_clip_without_speech_is_answered_with_nothing():
    assert asr_target("...") == "" and asr_target("Hi!") == " hi"


@pytest.mark.parametrize("text", ['["a"]', '{"a": 1}', '{"a": {"b": "c"}}', '{"a": "b"', ""])
def test_slots_that_are_no_object_of_texts_are_not_read(text):
    assert parse_slots(text) is None
