"""Tracking with the demo checkpoint: what is promised of every answer."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from engine.audio import AudioError
from engine.config import DecodingConfig
from engine.prompts import dst_target
from engine.scoring.wer import wer
from engine.tracking import Tracker, TurnPrediction, TurnRequest, evaluate_dialogues, track_dialogues
from engine.tracking.confidence import slot_confidence, transcript_confidence


@pytest.fixture(scope="module")
def tracker(base_models) -> Tracker:
    return Tracker.load()


def test_the_demo_model_hears_the_sample_and_answers_with_json(tracker, dialogues):
    turns = [turn for dialogue in dialogues for turn in dialogue.user_turns()[:1]]
    answers = [tracker.turn(turn.audio) for turn in turns]
    for heard in ([answer.transcript for answer in answers], [answer.ctc_transcript for answer in answers]):
        assert wer([turn.transcript for turn in turns], heard).wer < 40
    for answer in answers:
        assert answer.valid and not answer.guarded and json.loads(answer.raw)["slots"] == answer.state
        assert 0 < answer.transcript_confidence <= 1
        for domain, slots in answer.state.items():
            for slot in slots:
                assert 0 < answer.confidence[domain][slot] <= 1


def test_batched_tracking_equals_one_dialogue_at_a_time_and_drafts_change_nothing(tracker, dialogues, monkeypatch):
    def answers(some, batch):
        found = track_dialogues(tracker, some, batch=batch)
        return {(turn.dialogue_id, turn.turn_id): (turn.raw, turn.state) for turn in found}

    # two user turns of one dialogue and three of another
    some = [replace(dialogue, turns=dialogue.turns[:size]) for dialogue, size in zip(dialogues[:2], (3, 5), strict=True)]
    together = answers(some, 2)
    assert answers(some, 1) == together
    assert len(together) == 5
    monkeypatch.setattr(tracker, "drafts", False)
    assert answers([replace(some[0], turns=some[0].turns[:1])], 1).items() <= together.items()  # slow: one turn


def test_output_that_is_not_json_keeps_the_previous_state_and_is_counted(tracker, dialogues, monkeypatch):
    monkeypatch.setattr(tracker, "_decoding", {"dst": DecodingConfig(max_new_tokens=3)})  # every answer breaks off
    previous = {"restaurant": {"area": "north"}}
    answer = tracker.turns([TurnRequest(dialogues[0].user_turns()[0].audio, previous=previous)])[0]
    assert not answer.valid and answer.state == previous and answer.raw.startswith('{"')
    report, turns = evaluate_dialogues(tracker, dialogues[:1])
    assert report["invalid_outputs"] == len(turns) > 0 and report["decoding"]["max_new_tokens"] == 3


def test_one_answer_for_a_path_an_array_and_a_segment(tracker, dialogues):
    from engine import audio

    turn = dialogues[0].user_turns()[0]
    whole = tracker.turn(turn.audio)
    assert replace(tracker.turn(audio.load(turn.audio)), seconds=0) == replace(whole, seconds=0)
    assert replace(tracker.turn(turn.audio, start=0.0, end=audio.duration(turn.audio)), seconds=0) == replace(whole, seconds=0)


def test_silence_gives_no_words_and_an_unchanged_state_and_quiet_speech_is_heard(tracker, dialogues):
    previous = {"restaurant": {"area": "north"}}
    answer = tracker.turns([TurnRequest(np.zeros(16000, np.float32), previous=previous)])[0]
    assert answer.guarded and (answer.transcript, answer.state, answer.valid) == ("", previous, True)
    from engine import audio

    spoken = audio.load(dialogues[0].user_turns()[0].audio)
    quiet = tracker.turn(spoken * 0.01)
    assert not quiet.guarded and quiet.transcript


def test_a_very_short_clip_is_answered_and_an_empty_file_refused(tracker, tmp_path):
    assert isinstance(tracker.turn(np.zeros(800, np.float32)), TurnPrediction)
    with pytest.raises(AudioError, match="no turn"):
        tracker.turn(np.zeros(16000 * 121, np.float32))
    (tmp_path / "empty.wav").touch()
    with pytest.raises(AudioError):
        tracker.turn(tmp_path / "empty.wav")


def test_confidence_is_the_product_over_the_values_tokens(tracker):
    state = {"restaurant": {"area": "north", "food": "north american"}}
    tokenizer = tracker.model.tokenizer
    tokens = tokenizer(dst_target("north", state), add_special_tokens=False).input_ids
    certain = [0.0] * len(tokens)
    assert slot_confidence(tokenizer, tokens, certain, state) == {"restaurant": {"area": 1.0, "food": 1.0}}
    american = max(place for place, token in enumerate(tokens) if "american" in tokenizer.decode([token]))
    doubtful = [math.log(0.25) if place == american else 0.0 for place in range(len(tokens))]
    confidence = slot_confidence(tokenizer, tokens, doubtful, state)
    assert confidence == {"restaurant": {"area": 1.0, "food": pytest.approx(0.25)}}


def test_the_words_are_as_sure_as_the_least_sure_of_them(tracker):
    tokenizer = tracker.model.tokenizer
    tokens = tokenizer(dst_target("t is it chiquito", {}), add_special_tokens=False).input_ids
    pieces = [tokenizer.decode([token]) for token in tokens]
    name = range(
        next(place for place, piece in enumerate(pieces) if piece.startswith(" ch")), tokens.index(tokenizer('",').input_ids[0])
    )
    assert len(name) > 1
    log_probs = [math.log(0.5) if place in name else math.log(0.9) for place in range(len(tokens))]
    assert transcript_confidence(tokenizer, tokens, log_probs, "t is it chiquito") == pytest.approx(0.5 ** len(name))
    assert transcript_confidence(tokenizer, tokens, log_probs, "t is it") == pytest.approx(0.9)
    assert transcript_confidence(tokenizer, tokens, log_probs, "") is None


def test_with_the_words_given_only_the_state_is_asked_for(tracker, dialogues):
    turn = dialogues[0].user_turns()[0]
    answer = tracker.turn(turn.audio, transcript='i want "cheap" Korean food in the east')
    assert answer.transcript == "i want cheap korean food in the east"
    assert (answer.transcript_confidence, answer.ctc_transcript) == (None, None)
    assert answer.state == {"restaurant": {"area": "east", "food": "korean", "pricerange": "cheap"}}
    assert tracker.turn(np.zeros(16000, np.float32), transcript="i want korean food").state == {"restaurant": {"food": "korean"}}


def test_pinned_values_stand_wherever_the_model_writes_them_and_where_it_does_not(tracker, dialogues):
    turn = dialogues[0].user_turns()[0]
    free = tracker.turn(turn.audio)
    domain = next(iter(free.state))
    first, *others = free.state[domain]
    answer = tracker.turn(turn.audio, pinned={domain: {first: "somewhere else", "phone": '01223 "3"'}})
    assert json.loads(answer.raw)["slots"][domain][first] == "somewhere else"
    assert answer.state[domain] == free.state[domain] | {first: "somewhere else", "phone": '01223 "3"'}
    assert set(answer.confidence[domain]) == set(others), "what is settled is not the model's to be sure of"
    assert first not in tracker.turn(turn.audio, pinned={domain: {first: None}}).state.get(domain, {})


def test_what_people_settled_counts_before_the_grammar(tracker, dialogues, monkeypatch):
    turn = dialogues[0].user_turns()[0]
    domain, slots = next(iter(tracker.turn(turn.audio).state.items()))
    first = next(iter(slots))
    monkeypatch.setattr(tracker, "_decoding", {"dst": DecodingConfig(grammar=True)})
    answer = tracker.turn(turn.audio, pinned={domain: {first: "nobody's value"}})
    assert answer.valid
    assert answer.state[domain] == slots | {first: "nobody's value"}
