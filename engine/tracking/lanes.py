"""Several sequences through one LLM, packed end to end into blocks of one fixed size.

A *lane* is one sequence with its keys and values. What the lanes have to read next is laid end to end and cut into blocks of
`block` tokens (the last one filled up), so there is no padding between lanes of different lengths, and every matrix product
has the same shape whatever the company. So a batch
decodes as its rows would alone: each lane's attention is computed over its own keys only, and a row of a matrix product does
not depend on the other rows. The same holds for reading a drafted answer at once and reading it token by token. In bfloat16 on
CPUs with AMX the results are equal to the last bit; float32 kernels may differ in the seventh digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel

_ATTENTION = "lanes"
_GROWTH = 128  # positions that the memory of all lanes grows by


@dataclass
class Feed:
    """What one lane reads next: ``(T, D)`` embeddings. The ``keep`` last of them predict a token that is asked for.

    ``allowed`` holds, for each of these, which tokens may follow ``(V,)``, or None where any may.
    """

    lane: int
    embeddings: Tensor
    keep: int
    allowed: Sequence[Tensor | None] = ()


@dataclass
class Candidates:
    """The best next tokens of a feed's kept places: ids and log-probabilities ``(keep, top)``, the best first.

    Log-probabilities are the model's own, over the whole vocabulary; of places with fewer allowed tokens they end in -inf.
    """

    ids: list[list[int]]
    log_probs: list[list[float]]


class Lanes:
    """The LLM and the keys and values of ``count`` lanes.

    Args:
        llm: a causal LLM whose attention transformers lets others replace; it stays set to this class's attention.
        block: tokens the LLM reads at once. Larger blocks use the machine better while prompts are read, and waste more when
            few tokens are left to read.

    Raises:
        ValueError: the LLM's attention cannot be replaced.
    """

    def __init__(self, llm: PreTrainedModel, count: int, block: int) -> None:
        AttentionInterface.register(_ATTENTION, _attend)
        llm.set_attn_implementation(_ATTENTION)
        if llm.config._attn_implementation != _ATTENTION:
            raise ValueError(f"{type(llm).__name__} computes its attention in a way of its own, which cannot decode in lanes")
        self.llm: Any = llm
        self.block = block
        self.lengths = [0] * count
        self._capacity = 0
        self._store: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def device(self) -> torch.device:
        return self.llm.get_input_embeddings().weight.device

    def read(self, feeds: Sequence[Feed], top: int = 1) -> list[Candidates]:
        """Append each feed to its lane and return the ``top`` candidates at its kept places."""
        self._reserve(max(self.lengths[feed.lane] + len(feed.embeddings) for feed in feeds))
        quiet, asked = [], []
        for feed in feeds:
            start, count = self.lengths[feed.lane], len(feed.embeddings)
            cut = count - feed.keep
            quiet.append((feed.lane, start, feed.embeddings[:cut]))
            asked.append((feed.lane, start + cut, feed.embeddings[cut:]))
            self.lengths[feed.lane] = start + count
        self._run(quiet, None, top)
        allowed = [mask for feed in feeds for mask in (feed.allowed or [None] * feed.keep)]
        ids, log_probs = self._run(asked, allowed, top)
        result, place = [], 0
        for feed in feeds:
            result.append(Candidates(ids[place : place + feed.keep], log_probs[place : place + feed.keep]))
            place += feed.keep
        return result

    def copy(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Make the lanes ``targets`` what the lanes ``sources`` are now, all at once."""
        lengths = [self.lengths[source] for source in sources]
        size = max(lengths)
        for stored in self._store.values():
            for tensor in stored:
                tensor[list(targets), :, :size] = tensor[list(sources), :, :size]
        for target, length in zip(targets, lengths, strict=True):
            self.lengths[target] = length

    def _reserve(self, size: int) -> None:
        if size <= self._capacity:
            return
        grown = -(-size // _GROWTH) * _GROWTH
        for layer, stored in self._store.items():
            keys, values = (torch.nn.functional.pad(tensor, (0, 0, 0, grown - self._capacity)) for tensor in stored)
            self._store[layer] = keys, values
        self._capacity = grown

    def _run(
        self, parts: Sequence[tuple[int, int, Tensor]], allowed: Sequence[Tensor | None] | None, top: int
    ) -> tuple[list[list[int]], list[list[float]]]:
        """Read parts (lane, first position, embeddings) block by block; candidates at every token if ``allowed`` is given."""
        embeddings = torch.cat([part for *_, part in parts])
        lanes = torch.cat([torch.full((len(part),), lane) for lane, _, part in parts])
        positions = torch.cat([torch.arange(first, first + len(part)) for _, first, part in parts])
        ids: list[list[int]] = []
        log_probs: list[list[float]] = []
        for start in range(0, len(embeddings), self.block):
            end = min(start + self.block, len(embeddings))
            places = _Places(self, lanes[start:end], positions[start:end])
            fill = self.block - (end - start)
            read = self.llm.base_model if allowed is None else self.llm
            output = read(
                inputs_embeds=torch.nn.functional.pad(embeddings[start:end], (0, 0, 0, fill))[None],
                position_ids=torch.nn.functional.pad(positions[start:end], (0, fill))[None].to(self.device),
                use_cache=False,
                lanes=places,
            )
            if allowed is None:
                continue
            scores = output.logits[0, : end - start].float().log_softmax(-1)
            for row, mask in enumerate(allowed[start:end]):
                if mask is not None:
                    scores[row, : len(mask)].masked_fill_(~mask.to(scores.device), -torch.inf)
                    scores[row, len(mask) :] = -torch.inf
            best = scores.max(-1, keepdim=True) if top == 1 else scores.topk(top, -1)
            ids += best.indices.tolist()
            log_probs += best.values.tolist()
        return ids, log_probs

    def _stored(self, layer: int, keys: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's keys and values ``(lanes, key heads, capacity, width)``."""
        if layer not in self._store:
            shape = (len(self.lengths), keys.shape[0], self._capacity, keys.shape[2])
            self._store[layer] = keys.new_zeros(shape), keys.new_zeros(shape)
        return self._store[layer]


class _Places:
    """Where a block's tokens belong: ``lanes`` and ``positions`` ``(N,)`` of its real tokens."""

    def __init__(self, owner: Lanes, lanes: Tensor, positions: Tensor) -> None:
        self.owner = owner
        present, self.row = lanes.unique_consecutive(return_inverse=True)
        counts = torch.bincount(self.row)
        # A lane occurs once in a block at most: a feed's tokens follow one another.
        self.column = torch.arange(len(lanes)) - (counts.cumsum(0) - counts)[self.row]
        self.shape = (len(present), int(counts.max()))
        self.length = int(positions.max()) + 1
        asked = torch.full(self.shape, -1)
        asked[self.row, self.column] = positions
        device = owner.device
        self.asked = asked.to(device)  # (rows, columns): each query's position, -1 where there is none
        self.distance = self.asked[:, :, None] - torch.arange(self.length, device=device)  # to each key, below 0: later
        self.lanes, self.positions, self.present = lanes.to(device), positions.to(device), present.to(device)
        self.row, self.column = self.row.to(device), self.column.to(device)


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    lanes: _Places,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of one block: ``(1, heads, N, width)`` queries and new keys and values -> ``(1, N, heads, width)``."""
    _, heads, size, width = query.shape
    count = len(lanes.positions)
    keys, values = lanes.owner._stored(module.layer_idx, key[0])
    keys[lanes.lanes, :, lanes.positions] = key[0, :, :count].transpose(0, 1)
    values[lanes.lanes, :, lanes.positions] = value[0, :, :count].transpose(0, 1)
    rows, columns = lanes.shape
    groups = heads // keys.shape[1]
    queries = query.new_zeros(rows, columns, heads, width)
    queries[lanes.row, lanes.column] = query[0, :, :count].transpose(0, 1)
    queries = queries.transpose(1, 2).reshape(rows, keys.shape[1], groups * columns, width)
    scores = torch.matmul(queries, keys[lanes.present, :, : lanes.length].transpose(2, 3)).float() * scaling
    if softcap:
        scores = torch.tanh(scores / softcap) * softcap
    hidden = lanes.distance < 0
    if sliding_window:
        hidden = hidden | (lanes.distance >= sliding_window)
    scores = scores.view(rows, heads, columns, lanes.length).masked_fill_(hidden[:, None], torch.finfo(torch.float32).min)
    weights = scores.softmax(-1).to(value.dtype).view(rows, keys.shape[1], groups * columns, lanes.length)
    mixed = torch.matmul(weights, values[lanes.present, :, : lanes.length]).view(rows, heads, columns, -1).transpose(1, 2)
    output = value.new_zeros(1, size, heads, mixed.shape[-1])
    output[0, :count] = mixed[lanes.row, lanes.column]
    return output, None
