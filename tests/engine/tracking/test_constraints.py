"""What an answer may not become: run-on transcripts are closed where the model itself would close them."""

import pytest
from transformers import AutoTokenizer

from engine.prompts import dst_target, parse_output
from engine.tracking.constraints import Pinned, Together, TranscriptLimits


@pytest.fixture(scope="module")
def tokenizer(tiny):
    return AutoTokenizer.from_pretrained(tiny("llama-3.2"))


def follow(limit, tokens):
    """Write the tokens, or what is forced in their place; the text written."""
    written = []
    for token in tokens:
        allowed = limit.allowed()
        if allowed is not None:
            (token,) = allowed.nonzero().flatten().tolist()
        written.append(token)
        limit.push(token)
    return written


def ids(tokenizer, text):
    return tokenizer(text, add_special_tokens=False).input_ids


def test_a_transcript_longer_than_its_speech_is_closed_and_the_answer_goes_on(tokenizer):
    limits = TranscriptLimits(tokenizer)
    said = "a cheap hotel in the north of cambridge on friday and a table for two near it " * 3
    written = tokenizer.decode(follow(limits.json(1.0), ids(tokenizer, dst_target(said, {}))))
    assert 6 + 8 <= len(ids(tokenizer, parse_output(written).transcript)) <= 6 + 8 + 1
    assert written.startswith(' {"transcript": "a cheap') and '", "domains":' in written


def test_a_transcript_that_goes_round_in_circles_is_closed(tokenizer):
    limits = TranscriptLimits(tokenizer)
    written = tokenizer.decode(follow(limits.json(100.0), ids(tokenizer, dst_target("in the north of town " * 40, {}))))
    assert 3 <= parse_output(written).transcript.count("in the north") <= 5
    text = limits.text(100.0)
    ended = follow(text, ids(tokenizer, " one two" * 60))
    assert tokenizer.eos_token_id in ended


def test_ordinary_answers_are_left_alone(tokenizer):
    limits = TranscriptLimits(tokenizer)
    for said in ("", "no no no no thank you", "my number is oh one two two three three three", "i need a cheap hotel"):
        tokens = ids(tokenizer, dst_target(said, {"hotel": {"area": "north", "name": "a b a b a b a b a b a b a b a b"}}))
        limit = Together([limits.json(len(tokens) / 8)])
        for token in tokens:
            assert limit.allowed() is None
            limit.push(token)


def test_a_fork_goes_its_own_way(tokenizer):
    limit = TranscriptLimits(tokenizer).text(0.0)
    tokens = ids(tokenizer, " cambridge north cheap hotel restaurant train")
    follow(limit, tokens[:3])
    other = limit.fork()
    follow(other, tokens[3:6])
    assert limit.allowed() is None and other.allowed() is not None


def test_a_pinned_value_is_written_in_place_of_another_and_only_in_its_slot(tokenizer):
    pinned = Pinned(tokenizer, {("hotel", "area"): "east"})
    state = {"train": {"area": "north"}, "hotel": {"name": "area", "area": "north"}}
    written: list[int] = []
    for token in ids(tokenizer, dst_target('the "area": of "hotel": {', state)):
        allowed = pinned.fork().allowed()
        if allowed is not None and not (token < len(allowed) and allowed[token]):
            break
        written.append(token)
        pinned.push(token)
    while (allowed := pinned.allowed()) is not None and int(allowed.sum()) == 1:
        written.append(int(allowed.nonzero()[0, 0]))
        pinned.push(written[-1])
    assert tokenizer.decode(written).endswith('"area": "north"}, "hotel": {"name": "area", "area": "east')
    assert all(tokenizer.convert_ids_to_tokens(int(token)).startswith('"') for token in allowed.nonzero())
