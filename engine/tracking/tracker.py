"""The tracker: a checkpoint ready to answer turns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from engine import audio
from engine.checkpoints import CheckpointInfo, load_checkpoint
from engine.config import DecodingConfig
from engine.dialogue import Ontology, State
from engine.model import SpeechLLM, pick_device
from engine.prompts import HistoryTurn, dst_prompt, parse_output
from engine.tracking.confidence import slot_confidence


@dataclass(frozen=True)
class TurnRequest:
    """One user turn to answer. ``audio`` is a path or a float32 mono 16 kHz array; ``start`` and ``end`` are seconds."""

    audio: str | Path | np.ndarray
    history: Sequence[HistoryTurn] = ()
    previous: State | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None


@dataclass(frozen=True)
class TurnPrediction:
    """What the model heard and understood.

    ``valid`` is False when ``raw`` is not the JSON it should be; ``state`` is then the previous state.
    ``seconds`` is the computing time, shared evenly over a batch.
    """

    transcript: str
    state: State
    confidence: dict[str, dict[str, float]]
    raw: str
    valid: bool
    seconds: float


class Tracker:
    """Answers user turns with a checkpoint: greedy decoding of one JSON object a turn (paper 1, section on inference)."""

    def __init__(self, model: SpeechLLM, info: CheckpointInfo, device: str = "auto") -> None:
        if info.model.lora.rank:
            model.llm = model.llm.merge_and_unload()
        self.model = model.to(pick_device(device)).eval()
        self.info = info

    @classmethod
    def load(cls, checkpoint: str | Path | None = None, device: str = "auto") -> Tracker:
        """Load a checkpoint folder; ``None`` is the demo checkpoint.

        Raises:
            CheckpointError: not a usable checkpoint.
            BaseModelError: a base model is neither here nor to be had.
        """
        model, info = load_checkpoint(checkpoint)
        return cls(model, info, device)

    @property
    def ontology(self) -> Ontology:
        """Slots and values the checkpoint was trained on."""
        return self.info.ontology

    def turn(
        self,
        audio: str | Path | np.ndarray,
        history: Sequence[HistoryTurn] = (),
        previous: State | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> TurnPrediction:
        """Answer one user turn. ``history`` holds the earlier turns, ``previous`` the state before this turn.

        Raises:
            AudioError: the recording cannot be used.
        """
        return self.turns([TurnRequest(audio, history, previous, start, end)])[0]

    @torch.inference_mode()
    def turns(self, requests: Sequence[TurnRequest]) -> list[TurnPrediction]:
        """Answer several turns as one batch."""
        begun = time.perf_counter()
        model, tokenizer = self.model, self.model.tokenizer
        frames = model.encode([_samples(request) for request in requests])
        rows = []
        for request, row_frames in zip(requests, frames, strict=True):
            rows.append(model.row(dst_prompt(self.info.prompt, request.history), row_frames))
        batch = model.collate(rows, left=True).to(model.device)
        speech, valid = model.speech(batch.frames, batch.valid)
        output = model.llm.generate(
            inputs_embeds=model.embed(batch, speech, valid),
            attention_mask=batch.attention.long(),
            max_new_tokens=self.info.decoding.get("dst", DecodingConfig()).max_new_tokens,
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
            output_logits=True,
            return_dict_in_generate=True,
        )
        steps = torch.stack([logits.float().log_softmax(-1).amax(-1) for logits in output.logits], dim=1).tolist()
        seconds = (time.perf_counter() - begun) / len(requests)
        return [
            self._prediction(tokens, log_probs, request, seconds)
            for tokens, log_probs, request in zip(output.sequences.tolist(), steps, requests, strict=True)
        ]

    def _prediction(
        self, tokens: list[int], log_probs: list[float], request: TurnRequest, seconds: float
    ) -> TurnPrediction:
        tokenizer = self.model.tokenizer
        if tokenizer.eos_token_id in tokens:
            tokens = tokens[: tokens.index(tokenizer.eos_token_id)]
        raw = tokenizer.decode(tokens).strip()
        parsed = parse_output(raw)
        if parsed.state is None:
            return TurnPrediction(parsed.transcript, request.previous or {}, {}, raw, False, seconds)
        confidence = slot_confidence(tokenizer, tokens, log_probs[: len(tokens)], parsed.state)
        return TurnPrediction(parsed.transcript, parsed.state, confidence, raw, True, seconds)


def _samples(request: TurnRequest) -> np.ndarray:
    limit = audio.MAX_TURN_SECONDS
    if not isinstance(request.audio, np.ndarray):
        return audio.load(request.audio, request.start, request.end, request.channel, max_seconds=limit)
    first, last = (None if edge is None else round(edge * audio.SAMPLE_RATE) for edge in (request.start, request.end))
    samples = request.audio[first:last].astype(np.float32)
    if not 0 < len(samples) <= limit * audio.SAMPLE_RATE:
        raise audio.AudioError(f"{len(samples)} samples are no turn: between one and {limit:.0f} s of samples are needed")
    return samples
