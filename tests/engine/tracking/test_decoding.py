"""The search for answers, on tiny LLMs with random weights: company, drafts and lanes must not change an answer."""

import random

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine.config import DecodingConfig
from engine.tracking.constraints import NoRepeatedNgram
from engine.tracking.decoding import Decoder, Job
from engine.tracking.drafts import GuessedAnswer

END = 1


@pytest.fixture(scope="module", params=["llama-3.2", "gemma2"])
def folder(request, tiny):
    return tiny(request.param)


def load(folder, dtype=torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()


def prompts(llm, lengths=(5, 40, 17, 3, 70, 23)):
    torch.manual_seed(3)
    return [torch.randn(length, llm.config.hidden_size).to(llm.dtype) for length in lengths]


@torch.inference_mode()
def answers(folder, dtype=torch.float32, lanes=4, block=32, guess=None, constraint=None, **options):
    llm = load(folder, dtype)
    options = DecodingConfig(**{"max_new_tokens": 30} | options)
    jobs = [
        Job(key, prompt, options, constraint and constraint(), GuessedAnswer(guess[key]) if guess else None)
        for key, prompt in enumerate(prompts(llm))
    ]
    found = dict(Decoder(llm, END, lanes, block).run(jobs))
    return [found[key] for key in range(len(jobs))]


@torch.inference_mode()
def generated(folder, **options):
    """What transformers' own generate writes, one prompt at a time."""
    llm = load(folder)
    settings = {"max_new_tokens": 30, "do_sample": False, "eos_token_id": END, "pad_token_id": END} | options
    found = []
    for prompt in prompts(llm):
        mask = torch.ones(1, len(prompt), dtype=torch.long)
        tokens = llm.generate(inputs_embeds=prompt[None], attention_mask=mask, **settings)[0].tolist()
        found.append(tokens[: tokens.index(END)] if END in tokens else tokens)
    return found


def test_greedy_answers_are_those_of_transformers(folder):
    mine = answers(folder)
    assert [one.tokens for one in mine] == generated(folder)
    assert all(len(one.log_probs) == len(one.tokens) for one in mine)


def test_beams_with_a_length_penalty_are_those_of_transformers(folder):
    for penalty in (0.0, 1.0, 2.0):
        mine = [one.tokens for one in answers(folder, beams=2, length_penalty=penalty)]
        assert mine == generated(folder, num_beams=2, length_penalty=penalty), penalty


def test_blocked_repeats_are_those_of_transformers(folder):
    size = load(folder).config.vocab_size
    for beams in (1, 3):
        mine = answers(folder, beams=beams, constraint=lambda: NoRepeatedNgram(2, size), lanes=6)
        assert [one.tokens for one in mine] == generated(folder, num_beams=beams, no_repeat_ngram_size=2)


def same(some, others, exact):
    """The same tokens, and the same probabilities: to the last bit where bfloat16 products are exact sums."""
    if [one.tokens for one in some] != [one.tokens for one in others]:
        return False
    slack = 0.0 if exact and torch.cpu._is_amx_tile_supported() else 1e-4
    return all(one.log_probs == pytest.approx(other.log_probs, abs=slack) for one, other in zip(some, others, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_company_changes_nothing(folder, dtype):
    alone = answers(folder, dtype, lanes=1)
    for lanes in (2, 6):
        assert same(answers(folder, dtype, lanes=lanes), alone, dtype == torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drafts_right_or_wrong_change_nothing_but_the_number_of_passes(folder, dtype):
    plain = answers(folder, dtype)
    chance = random.Random(4)
    right = [one.tokens for one in plain]
    spoiled = [[token if chance.random() < 0.8 else chance.randrange(300) for token in tokens] for tokens in right]
    for guess in (right, spoiled, [[7, 8, 9]] * len(right)):
        assert same(answers(folder, dtype, guess=guess), plain, dtype == torch.bfloat16)
    assert sum(one.passes for one in answers(folder, dtype, guess=right)) < sum(one.passes for one in plain) / 3
