"""Tracking with the demo checkpoint: what is promised of every answer."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from engine.audio import AudioError
from engine.checkpoints import DEMO, load_weights, read_info
from engine.config import DecodingConfig
from engine.model import SpeechLLM
from engine.prompts import HistoryTurn, dst_target
from engine.scoring.wer import wer
from engine.tracking import Tracker, TurnPrediction, TurnRequest, evaluate_dialogues, track_dialogues
from engine.tracking.confidence import slot_confidence
from engine.tracking.dialogues import _Thread


@pytest.fixture(scope="module")
def tracker(base_models) -> Tracker:
    return Tracker.load()


@pytest.fixture(scope="module")
def exact(base_models) -> Tracker:
    """The demo checkpoint with the LLM in float32, where batched and single sums can be compared."""
    info = read_info(DEMO)
    model = SpeechLLM(info.model.model_copy(update={"llm_dtype": "float32"}))
    load_weights(model, DEMO)
    return Tracker(model, info)


def test_the_demo_model_hears_the_sample_and_answers_with_json(tracker, dialogues):
    turns = [turn for dialogue in dialogues for turn in dialogue.user_turns()[:1]]
    answers = [tracker.turn(turn.audio) for turn in turns]
    assert wer([turn.transcript for turn in turns], [answer.transcript for answer in answers]).wer < 40
    for answer in answers:
        assert answer.valid and json.loads(answer.raw)["slots"] == answer.state
        for domain, slots in answer.state.items():
            for slot in slots:
                assert 0 < answer.confidence[domain][slot] <= 1


def test_batched_tracking_equals_one_dialogue_at_a_time(exact, dialogues):
    some = dialogues[:3]
    together = {(t.dialogue_id, t.turn_id): (t.transcript, t.state) for t in track_dialogues(exact, some, batch=3)}
    alone = {(t.dialogue_id, t.turn_id): (t.transcript, t.state) for t in track_dialogues(exact, some, batch=1)}
    assert together == alone and len(alone) == sum(len(dialogue.user_turns()) for dialogue in some)


def test_history_holds_own_transcripts_and_the_agents_text_unless_oracle(dialogues):
    heard = TurnPrediction("what was heard", {}, {}, "", True, 0.0)
    for oracle in (False, True):
        thread = _Thread(dialogues[0], oracle)
        first = thread.next_user_turn()
        thread.answer(first, heard)
        thread.next_user_turn()
        own, agent = thread.history[:2]
        assert own == HistoryTurn("user", first.transcript if oracle else "what was heard")
        assert agent == HistoryTurn("agent", dialogues[0].turns[1].transcript)


def test_output_that_is_not_json_keeps_the_previous_state_and_is_counted(exact, dialogues, monkeypatch):
    short = {"dst": DecodingConfig(max_new_tokens=3)}  # every answer breaks off
    monkeypatch.setattr(exact, "info", replace(exact.info, decoding=short))
    previous = {"restaurant": {"area": "north"}}
    answer = exact.turns([TurnRequest(dialogues[0].user_turns()[0].audio, previous=previous)])[0]
    assert not answer.valid and answer.state == previous and answer.raw.startswith('{"')
    report, turns = evaluate_dialogues(exact, dialogues[:1])
    assert report["invalid_outputs"] == len(turns) > 0


def test_one_answer_for_a_path_an_array_and_a_segment(exact, dialogues):
    from engine import audio

    turn = dialogues[0].user_turns()[0]
    whole = exact.turn(turn.audio)
    assert replace(exact.turn(audio.load(turn.audio)), seconds=0) == replace(whole, seconds=0)
    assert replace(exact.turn(turn.audio, start=0.0, end=audio.duration(turn.audio)), seconds=0) == replace(whole, seconds=0)


def test_a_very_short_clip_is_answered_and_an_empty_file_refused(tracker, tmp_path):
    assert isinstance(tracker.turn(np.zeros(800, np.float32)), TurnPrediction)
    with pytest.raises(AudioError, match="no turn"):
        tracker.turn(np.zeros(16000 * 121, np.float32))
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError):
        tracker.turn(tmp_path / "empty.wav")


def test_confidence_is_the_product_over_the_values_tokens(model):
    state = {"restaurant": {"area": "north", "food": "north american"}}
    tokens = model.token_ids(dst_target("north", state))
    certain = [0.0] * len(tokens)
    assert slot_confidence(model.tokenizer, tokens, certain, state) == {"restaurant": {"area": 1.0, "food": 1.0}}
    american = max(place for place, token in enumerate(tokens) if "american" in model.tokenizer.decode([token]))
    doubtful = [math.log(0.25) if place == american else 0.0 for place in range(len(tokens))]
    confidence = slot_confidence(model.tokenizer, tokens, doubtful, state)
    assert confidence == {"restaurant": {"area": 1.0, "food": pytest.approx(0.25)}}
