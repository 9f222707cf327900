"""Whole turns through tiny models with random weights: every way of decoding, in company and alone."""

from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
import torch

from engine.checkpoints import CheckpointInfo
from engine.config import DecodingConfig, ModelConfig, PromptConfig
from engine.connector_config import StackedTransformerConfig
from engine.dialogue import Dialogue, Ontology, Turn
from engine.model import SpeechLLM
from engine.tracking import Tracker, TurnRequest, track_dialogues
from engine.tracking.calibration import Calibration

ONTOLOGY = Ontology({"hotel": {"area": ["north", "south"], "name": []}, "train": {"day": ["friday"]}})


@pytest.fixture(scope="module")
def parts(tiny):
    connector = StackedTransformerConfig(stack=4, width=32, heads=2, ffn=32, layers=1)
    config = ModelConfig(encoder=str(tiny("whisper")), llm=str(tiny("llama-3.2")), llm_tuning="frozen", connector=connector)
    torch.manual_seed(1)
    return SpeechLLM(config), CheckpointInfo("tiny", config, PromptConfig(), ONTOLOGY)


def tracker(parts, drafts=True, guard=False, **settings):
    decoding = {"dst": DecodingConfig(**{"max_new_tokens": 60} | settings)}
    return Tracker(*parts, "cpu", decoding=decoding, drafts=drafts, guard=guard)


@pytest.fixture(scope="module")
def dialogues(tmp_path_factory):
    import soundfile

    folder = tmp_path_factory.mktemp("clips")
    noise = np.random.default_rng(0)
    found = []
    for name, turns in (("a", 3), ("b", 1), ("c", 2), ("d", 2)):
        dialogue = Dialogue(name, [], "test")
        for number in range(turns):
            path = folder / f"{name}{number}.wav"
            soundfile.write(path, 0.1 * noise.standard_normal(int(noise.integers(4000, 30000))), 16000)
            dialogue.turns += [Turn(2 * number, "user", audio=str(path)), Turn(2 * number + 1, "agent", f"for friday {name}?")]
        found.append(dialogue)
    return found


def answers(tracker, dialogues, batch):
    return {
        (turn.dialogue_id, turn.turn_id): replace(turn, seconds=0) for turn in track_dialogues(tracker, dialogues, batch=batch)
    }


@pytest.mark.parametrize("settings", [{}, {"beams": 2, "length_penalty": 0.5}, {"grammar": True, "max_new_tokens": 200}])
def test_a_batch_of_dialogues_is_answered_as_one_dialogue_at_a_time(parts, dialogues, settings):
    alone = answers(tracker(parts, **settings), dialogues, 1)
    together = answers(tracker(parts, **settings), dialogues, 3)
    assert len(alone) == 8 and {key: one.raw for key, one in together.items()} == {key: one.raw for key, one in alone.items()}
    if torch.cpu._is_amx_tile_supported():
        assert together == alone  # probabilities too
    plain = answers(tracker(parts, drafts=False, **settings), dialogues, 3)
    assert {key: one.raw for key, one in plain.items()} == {key: one.raw for key, one in alone.items()}
    assert next(iter(alone.values())).decoding == DecodingConfig(**{"max_new_tokens": 60} | settings).model_dump() | {
        "guard": False
    }


def test_under_the_grammar_every_answer_is_a_state(parts, dialogues):
    for beams in (1, 2):
        for one in answers(tracker(parts, grammar=True, beams=beams, max_new_tokens=200), dialogues, 4).values():
            assert one.valid and one.state.keys() <= ONTOLOGY.values.keys()


def test_silence_is_not_decoded_and_the_dialogue_goes_on(parts):
    speech = next((resources.files("studio") / "assets" / "sample" / "audio").iterdir())
    asked = tracker(parts, guard=True)
    previous = {"hotel": {"area": "north"}}
    requests = [TurnRequest(np.zeros(16000, np.float32), previous=previous), TurnRequest(speech)]
    silent, spoken = asked.turns(requests)
    assert silent.guarded and (silent.transcript, silent.state, silent.raw, silent.valid) == ("", previous, "", True)
    assert not spoken.guarded and spoken.raw and spoken.ctc_transcript is None, "no stage has trained its CTC"
    assert not tracker(parts).turns(requests)[0].guarded


def test_every_turn_of_a_calibrated_checkpoint_says_so_also_without_an_answer(parts):
    """One guarded turn, or one that is not JSON, and the report's head no longer said "calibrated"."""
    speech = next((resources.files("studio") / "assets" / "sample" / "audio").iterdir())
    asked = tracker(parts, guard=True, max_new_tokens=3)
    asked.calibration = Calibration(1.0, 0.0, 100, 50, 0.1, 0.1)
    silent, broken = asked.turns([TurnRequest(np.zeros(16000, np.float32)), TurnRequest(speech)])
    assert silent.guarded and not broken.valid and silent.calibrated and broken.calibrated


def test_what_is_pinned_stands_also_without_an_answer(parts):
    speech = next((resources.files("studio") / "assets" / "sample" / "audio").iterdir())
    asked = tracker(parts, guard=True, max_new_tokens=3)
    known = {
        "previous": {"hotel": {"area": "north", "stars": "4"}},
        "pinned": {"hotel": {"area": "south", "stars": None}, "taxi": {"day": "monday"}},
    }
    for answer in asked.turns([TurnRequest(np.zeros(16000, np.float32), **known), TurnRequest(speech, **known)]):
        assert answer.guarded != (not answer.valid)
        assert answer.state == {"hotel": {"area": "south"}, "taxi": {"day": "monday"}}


def test_the_memory_of_an_answer_is_given_back(parts, dialogues):
    """Logits of a whole batch were kept until its end: 2 GB for 32 rows."""
    asked = tracker(parts)
    from engine.tracking.tracker import TurnQueue

    work = TurnQueue(asked, 2)
    for number in range(6):
        work.add(number, TurnRequest(dialogues[number % 4].turns[0].audio))
        while work.full:
            work.step()
    stored = sum(tensor.numel() for pair in work._decoder.lanes._store.values() for tensor in pair)
    positions = stored / (2 * 2 * 2 * 16)  # layers, keys and values, key heads, width
    assert positions <= 2 * 512  # two lanes, whatever came through them
