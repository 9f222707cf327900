"""Answers as a grammar: with it a model can write nothing but a state's JSON, with the ontology's domains and slots.

llguidance (https://github.com/guidance-ai/llguidance) says which tokens may come next. Domains and slots come in any order,
as in training. A slot with known values that is closed (`CLOSED`) takes one of these or ``dontcare``, an open one any text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import llguidance
import llguidance.hf
import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from engine.dialogue import DONTCARE, Ontology
from engine.postprocess import normalise_slot

# Slots whose few values a database fixes; of all others the ontology knows some values only.
CLOSED = frozenset({"area", "pricerange", "day", "stars", "parking", "internet"})
_TEXT = r'TEXT: /"([^"\\\x00-\x1f]|\\["\\\/bfnrt]|\\u[0-9a-fA-F]{4}){0,200}"/'
# What may finish an answer, from wherever it stands.
_ENDINGS = ("", "}", "}}", '"}}}', '"], "slots": {}}', '], "slots": {}}', ' [], "slots": {}}', '", "domains": [], "slots": {}}')


class GrammarError(RuntimeError):
    """The grammar library refused a grammar or a token that the grammar allows."""


class StateGrammar:
    """The grammar of one ontology for one tokenizer; takes a second to build, so build it once.

    Args:
        longest: tokens an answer may have. Shortly before, only what finishes it is allowed, so that it always parses.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, ontology: Ontology, longest: int) -> None:
        self.tokenizer = llguidance.hf.from_tokenizer(tokenizer)
        self.grammar = llguidance.LLMatcher.grammar_from_lark(lark(ontology))
        fault = llguidance.LLMatcher.validate_grammar(self.grammar, self.tokenizer)
        if fault:
            raise GrammarError(f"the ontology makes no grammar: {fault}")
        self.longest = longest
        self.endings = [self.tokenizer.tokenize_str(text) for text in _ENDINGS]
        # A name or value that has begun is finished first, at worst byte by byte; then the longest ending follows.
        names = [name for domain, slots in ontology.values.items() for name in (domain, *slots)]
        values = [value for slots in ontology.values.values() for known in slots.values() for value in known]
        self.reserve = max(map(len, self.endings)) + max((len(json.dumps(text)) for text in [*names, *values]), default=0) + 32

    def start(self) -> GrammarState:
        """The beginning of an answer, as a constraint."""
        return GrammarState(self, llguidance.LLMatcher(self.tokenizer, self.grammar))


class GrammarState:
    """One answer's way through the grammar; a `Constraint`."""

    def __init__(self, owner: StateGrammar, matcher: llguidance.LLMatcher, count: int = 0) -> None:
        self._owner = owner
        self._matcher = matcher
        self._count = count
        self._ending: list[int] | None = None

    def allowed(self) -> Tensor | None:
        owner = self._owner
        if self._ending is None and self._count + owner.reserve >= owner.longest:
            self._ending = self._find_ending()
        if self._ending is not None:
            mask = torch.zeros(owner.tokenizer.vocab_size, dtype=torch.bool)
            mask[self._ending[0] if self._ending else owner.tokenizer.eos_token] = True
            return mask
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        return torch.from_numpy(np.unpackbits(bits, bitorder="little")[: owner.tokenizer.vocab_size].astype(bool))

    def push(self, token: int) -> None:
        self._count += 1
        if self._ending:
            self._ending = self._ending[1:]
        if not self._matcher.consume_token(token):
            raise GrammarError(self._matcher.get_error() or f"token {token} does not continue the answer")

    def fork(self) -> GrammarState:
        copy = GrammarState(self._owner, self._matcher.deep_copy(), self._count)
        copy._ending = None if self._ending is None else list(self._ending)
        return copy

    def _find_ending(self) -> list[int] | None:
        """The shortest ending that fits here; None within a name or closed value, which has to be finished first."""
        for ending in sorted(self._owner.endings, key=len):
            trial = self._matcher.deep_copy()
            if trial.try_consume_tokens(ending) == len(ending) and trial.is_accepting():
                return list(ending)
        return None


def lark(ontology: Ontology) -> str:
    """The grammar in llguidance's Lark dialect; the text is what `engine.prompts.dst_target` writes."""
    opening, domains, slots, closing = map(_said, (' {"transcript": ', ', "domains": [', '], "slots": {', "}}"))
    rules = [
        f"start: {opening} TEXT {domains} names {slots} states {closing}",
        f"names: {_list(' | '.join(_said(_json(domain)) for domain in ontology.values))}",
    ]
    states = []
    for number, (domain, known_slots) in enumerate(ontology.values.items()):
        pairs = " | ".join(f"{_said(_json(slot) + ': ')} {_value(slot, known)}" for slot, known in known_slots.items())
        rules.append(f"state_{number}: {_said(_json(domain) + ': {')} {_list(pairs)} {_said('}')}")
        states.append(f"state_{number}")
    return "\n".join([*rules, f"states: {_list(' | '.join(states))}", _TEXT])


def _list(choices: str) -> str:
    """Any number of choices, none included, with a comma and a blank between."""
    return f'(({choices}) (", " ({choices}))*)?' if choices else '""'


def _value(slot: str, known: Sequence[str]) -> str:
    if not known or normalise_slot(slot) not in CLOSED:
        return "TEXT"
    return f"({' | '.join(_said(_json(value)) for value in [*known, DONTCARE])})"


def _said(text: str) -> str:
    """``text`` as a string of the grammar."""
    return json.dumps(text, ensure_ascii=False)


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
