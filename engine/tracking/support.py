"""What the audio says about two readings of a value: the model's own probability of its answer with either in it.

Where two known values are equally like what the model wrote, the letters cannot decide between them, but the model can: it
has heard the turn. The answer is read again up to the value, once, and each candidate in its place is given a probability.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from engine.tracking.lanes import Feed, Lanes


class AnswerSupport:
    """A `engine.postprocess.Support` for one answer.

    Args:
        llm: whose attention `Lanes` may replace.
        prompt: called at the first question; ``(L, D)`` embeddings of the prompt with the speech in it.
        answer: the model's text, as it wrote it.
        block: see `Lanes`.
    """

    def __init__(
        self,
        llm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        prompt: Callable[[], Tensor],
        answer: str,
        block: int,
    ) -> None:
        self.llm, self.tokenizer, self.answer, self.block = llm, tokenizer, answer, block
        self._listen = prompt
        self._prompt: Tensor | None = None

    @torch.inference_mode()
    def __call__(self, domain: str, slot: str, entries: Sequence[str]) -> list[float] | None:
        """Natural log-probability of each entry, with the closing quotation mark, in place of the slot's value.

        None where the answer has no text for that slot under that name.
        """
        start = value_start(self.answer, domain, slot)
        if start is None:
            return None
        if self._prompt is None:
            self._prompt = self._listen()
        # Tokens are cut where they are the same for all, so that each candidate is read as the model would write it.
        rows = [self._tokens(self.answer[:start] + json.dumps(entry, ensure_ascii=False)) for entry in entries]
        shared = next((i for i, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1), min(map(len, rows)))
        shared = min(shared, len(self._tokens(self.answer[:start])))
        table = self.llm.get_input_embeddings()

        def embed(tokens: Sequence[int]) -> Tensor:
            return table(torch.tensor(tokens, dtype=torch.long, device=table.weight.device))

        read = torch.cat([self._prompt, embed(rows[0][:shared])])
        lanes = Lanes(self.llm, len(rows), self.block)
        lanes.read([Feed(0, read[:-1], 0)])
        lanes.copy([0] * (len(rows) - 1), range(1, len(rows)))
        feeds = [
            Feed(
                lane,
                torch.cat([read[-1:], embed(row[shared:-1])]),
                len(row) - shared,
                [self._only(token) for token in row[shared:]],
            )
            for lane, row in enumerate(rows)
        ]
        return [sum(best for (best,) in candidates.log_probs) for candidates in lanes.read(feeds)]

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def _only(self, token: int) -> Tensor:
        mask = torch.zeros(self.llm.get_input_embeddings().num_embeddings, dtype=torch.bool)
        mask[token] = True
        return mask


def value_start(answer: str, domain: str, slot: str) -> int | None:
    """Where a slot's value begins in an answer's ``"slots"``, at its quotation mark; None if it is not there or no text."""
    place = answer.find('"slots"')
    for name in (domain, slot):
        key = json.dumps(name, ensure_ascii=False) + ":"
        place = answer.find(key, place) if place >= 0 else -1
        place = place + len(key) if place >= 0 else -1
    if place < 0:
        return None
    start = len(answer) - len(answer[place:].lstrip())
    return start if answer[start : start + 1] == '"' else None
