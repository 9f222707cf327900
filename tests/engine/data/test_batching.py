"""Batches: shares of tasks and sources, and a start that opens no files."""

import time

import pytest

from engine.config import PromptConfig, StageConfig
from engine.data.batching import BUCKET_BATCHES, Sampler
from engine.dialogue import Dialogue, Turn


def stage(**keys):
    return StageConfig(**({"name": "s", "trainable": ["x"], "tasks": {"asr": 1.0}, "steps": 1} | keys))


def dialogue(name, source, turns, state=None):
    spoken = [Turn(n, "user", f"words of {name} {n}", f"/{name}.wav", n, n + 1.0 + n % 7, state=state) for n in range(turns)]
    return Dialogue(name, spoken, "train", source)


@pytest.fixture
def corpora():
    return [
        *(dialogue(f"sw{n}", "spokenwoz", 5, {}) for n in range(20)),
        *(dialogue(f"mw{n}", "sa-multiwoz", 5, {}) for n in range(4)),
        *(dialogue(f"ls{n}", "librispeech", 1) for n in range(30)),
        *(dialogue(f"no{n}", "noise", 1) for n in range(3)),
    ]


def sources(sampler, step):
    found = {}
    for example in sampler.batch(step):
        name = example.task + " " + example.dialogue_id[:2]
        found[name] = found.get(name, 0) + 1
    return found


def test_each_source_gets_its_share_of_every_batch_whatever_its_size(corpora):
    mix = stage(batch=20, sources={"noise": 0.1, "librispeech": 0.4, "woz$": 0.5})
    sampler = Sampler(corpora, mix, PromptConfig(), 1)
    for step in range(3):
        found = sources(sampler, step)
        assert (found["asr no"], found["asr ls"], found["asr sw"] + found.get("asr mw", 0)) == (2, 8, 10)


def test_tasks_and_sources_multiply_where_both_have_examples(corpora):
    """LibriSpeech has no states: all its rows are ASR, and the batch is full all the same."""
    mix = stage(batch=16, tasks={"asr": 1.0, "dst": 1.0}, sources={"spokenwoz": 1.0, "librispeech": 1.0})
    found = sources(Sampler(corpora, mix, PromptConfig(), 1), 0)
    assert found.keys() == {"asr sw", "dst sw", "asr ls"} and sum(found.values()) == 16 and max(found.values()) == 6


def test_a_stage_on_one_corpus_sees_nothing_else(corpora):
    """Paper 1's FT-sw: one recipe, several manifests, one source selected by its name."""
    sampler = Sampler(corpora, stage(tasks={"dst": 1.0}, sources={"^spokenwoz$": 1.0}), PromptConfig(), 1)
    assert {example.dialogue_id[:2] for example in sampler.examples()} == {"sw"} and len(sampler.examples()) == 100


def test_many_small_shares_never_overfill_a_batch(corpora):
    shares = {"noise": 1.0, "librispeech": 1.0, "sa-": 1.0, "spokenwoz": 1.7}
    assert len(Sampler(corpora, stage(batch=4, sources=shares), PromptConfig(), 1).batch(0)) == 4


def test_rows_of_a_step_are_of_similar_length(corpora):
    sampler = Sampler(corpora, stage(batch=5, sources={"spokenwoz": 1.0}), PromptConfig(), 1)
    spreads = []
    for step in range(20):
        seconds = [example.turn.end - example.turn.start for example in sampler.batch(step)]
        spreads.append(max(seconds) - min(seconds))
    assert sum(spreads) / len(spreads) < 1.5  # five turns drawn at random span 3


def test_200_000_turns_are_no_hour_to_start_with(monkeypatch):
    """Only the first bucket's recordings are asked for their length, and none is decoded."""
    asked = []
    monkeypatch.setattr("engine.data.batching.turn_seconds", lambda turn: asked.append(turn) or 1.0)
    corpora = [dialogue(f"sw{n}", "spokenwoz", 20, {}) for n in range(10_000)]
    begun = time.process_time()
    sampler = Sampler(corpora, stage(batch=16, tasks={"dst": 1.0}), PromptConfig(), 1)
    sampler.batch(0)
    sampler.batch(100_000)  # a run that resumes far on starts as quickly
    assert len(sampler.examples()) == 200_000 and len(asked) == 2 * 16 * BUCKET_BATCHES
    assert time.process_time() - begun < 20
