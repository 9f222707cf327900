"""The audio's say between two readings of a value."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.dialogue import Ontology
from engine.postprocess import FuzzyMatcher
from engine.tracking.support import AnswerSupport, value_start

ANSWER = (
    ' {"transcript": "a hotel: \\"hotel\\": north", "domains": ["hotel"], "slots": {"hotel": {"area": "nor", "name": "the inn"}}}'
)


@pytest.fixture(scope="module", params=["llama-3.2", "gemma2"])
def llm(request, tiny):
    folder = tiny(request.param)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    return model, AutoTokenizer.from_pretrained(folder), folder


def prompt(model):
    torch.manual_seed(3)
    return torch.randn(30, model.config.hidden_size)


@torch.inference_mode()
def plain_log_probability(folder, tokenizer, start, text):
    """Of ``text`` after ``start``, token by token through the unchanged model."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    whole = tokenizer(start + text, add_special_tokens=False).input_ids
    embeddings = torch.cat([prompt(model), model.get_input_embeddings()(torch.tensor(whole))])
    scores = model(inputs_embeds=embeddings[None]).logits[0].log_softmax(-1)
    first = 30 + len(tokenizer(start, add_special_tokens=False).input_ids)
    return sum(scores[place - 1, whole[place - 30]].item() for place in range(first, 30 + len(whole)))


def test_scores_are_the_models_probabilities_of_the_answer_with_each_candidate(llm):
    model, tokenizer, folder = llm
    support = AnswerSupport(model, tokenizer, lambda: prompt(model), ANSWER, block=16)
    entries = ["south", "north east", "x"]
    scores = support("hotel", "area", entries)
    start = ANSWER[: value_start(ANSWER, "hotel", "area")]
    expected = [plain_log_probability(folder, tokenizer, start, f'"{entry}"') for entry in entries]
    # the cut may lie a token earlier, in what all candidates share: the differences are what counts
    assert [score - scores[0] for score in scores] == pytest.approx([value - expected[0] for value in expected], abs=1e-3)


def test_the_prompt_is_listened_to_once_and_only_when_asked(llm):
    model, tokenizer, _ = llm
    heard = []
    support = AnswerSupport(model, tokenizer, lambda: heard.append(1) or prompt(model), ANSWER, block=16)
    assert support("hotel", "stars", ["3", "4"]) is None
    assert heard == []
    assert support("hotel", "area", ["north", "south"]) == support("hotel", "area", ["north", "south"])
    assert heard == [1]


def test_the_matcher_takes_the_reading_the_model_prefers(llm):
    model, tokenizer, _ = llm
    support = AnswerSupport(model, tokenizer, lambda: prompt(model), ANSWER, block=16)
    names = ["the inn at north", "the inn at south"]
    matcher = FuzzyMatcher(Ontology({"hotel": {"name": names}}))
    assert matcher.apply({"hotel": {"name": "the inn"}})[1]["hotel"]["name"].accepted is False
    match = matcher.apply({"hotel": {"name": "the inn"}}, support)[1]["hotel"]["name"]
    scores = support("hotel", "name", names)
    assert (match.by_audio, match.value) == (True, names[scores.index(max(scores))])


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ('{"slots": {"hotel": {"area": "x"}}}', '"x"}}}'),
        ('{"transcript": "\\"area\\": ", "slots": {"hotel": {"area":"x"}}}', '"x"}}}'),
        ('{"slots": {"hotel": {"area": 4}}}', None),
        ('{"slots": {"taxi": {"area": "x"}}}', None),
        ("broken", None),
    ],
)
def test_where_a_value_begins(answer, found):
    start = value_start(answer, "hotel", "area")
    assert (None if start is None else answer[start:]) == found
