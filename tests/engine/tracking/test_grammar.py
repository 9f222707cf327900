"""Answers under a grammar: whatever the model would rather write, the answer is a state of the ontology."""

import json
from collections import deque

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.config import DecodingConfig
from engine.dialogue import Ontology
from engine.prompts import dst_target, parse_output
from engine.tracking.decoding import Decoder, Job
from engine.tracking.grammar import GrammarError, StateGrammar

ONTOLOGY = Ontology(
    {
        "restaurant": {"area": ["north", "south"], "food": ["thai", "north american"], "pricerange": ["cheap"]},
        "hotel": {"name": [], "stars": ["3", "4"], 'the "best" slot': []},
    }
)


@pytest.fixture(scope="module")
def folder(tiny):
    return tiny("llama-3.2")


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@torch.inference_mode()
def write(folder, tokenizer, beams, longest, seeds=range(6)):
    """What a model of random weights writes under the grammar."""
    llm = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    grammar = StateGrammar(tokenizer, ONTOLOGY, longest)
    options = DecodingConfig(beams=beams, grammar=True, max_new_tokens=longest)
    jobs = []
    for seed in seeds:
        torch.manual_seed(seed)
        jobs.append(Job(seed, torch.randn(9, llm.config.hidden_size), options, grammar.start()))
    found = dict(Decoder(llm, tokenizer.eos_token_id, 6, 64).run(jobs))
    return [found[seed] for seed in seeds]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_random_model_writes_nothing_but_states_of_the_ontology(folder, tokenizer, beams):
    for answer in write(folder, tokenizer, beams, longest=260):
        assert answer.finished
        parsed = parse_output(tokenizer.decode(answer.tokens).strip())
        assert parsed.state is not None
        for domain, slots in parsed.state.items():
            assert slots.keys() <= ONTOLOGY.values[domain].keys()
            for slot, value in slots.items():
                if slot in ("area", "pricerange", "stars"):
                    assert value in [*ONTOLOGY.values[domain][slot], "dontcare"]


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"restaurant": {"pricerange": "cheap", "area": "north"}},
        {"hotel": {"name": 'the "corner" café', 'the "best" slot': "x"}, "restaurant": {"pricerange": "dontcare"}},
    ],
)
def test_what_training_teaches_is_in_the_grammar_in_any_order(tokenizer, state):
    grammar = StateGrammar(tokenizer, ONTOLOGY, 400).start()
    for token in tokenizer(dst_target("i'd like a room", state), add_special_tokens=False).input_ids:
        assert grammar.allowed()[token]
        grammar.push(token)
    assert grammar.allowed()[tokenizer.eos_token_id]


def test_what_the_ontology_lacks_is_not(tokenizer):
    for state in ({"taxi": {"name": "a"}}, {"restaurant": {"phone": "1"}}, {"restaurant": {"area": "east"}}):
        grammar = StateGrammar(tokenizer, ONTOLOGY, 400).start()
        tokens = tokenizer(dst_target("", state), add_special_tokens=False).input_ids
        with pytest.raises(GrammarError):
            deque(map(grammar.push, tokens), maxlen=0)


def test_an_ontology_without_slots_still_has_a_grammar(tokenizer):
    grammar = StateGrammar(tokenizer, Ontology(), 400).start()
    text = dst_target("hello", {})
    for token in tokenizer(text, add_special_tokens=False).input_ids:
        grammar.push(token)
    assert json.loads(text)["slots"] == {} and grammar.allowed()[tokenizer.eos_token_id]
