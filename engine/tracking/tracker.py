"""The tracker: a checkpoint ready to answer turns."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import audio
from engine.checkpoints import DEMO, CheckpointError, CheckpointInfo, load_checkpoint
from engine.config import DecodingConfig, TaskName, check_decoding
from engine.data.spoken_form import to_spoken
from engine.dialogue import Ontology, State, Value, accepted, iterate_slots, with_values
from engine.lora import merged
from engine.model import SpeechLLM, pick_device
from engine.prompts import HistoryTurn, Prompt, dst_prompt, parse_output
from engine.tasks import TASKS
from engine.tracking.calibration import Calibration, read_calibration
from engine.tracking.confidence import slot_confidence, transcript_confidence
from engine.tracking.constraints import Constraint, Given, Pinned, Together, TranscriptLimits
from engine.tracking.decoding import Decoder, Generated, Job
from engine.tracking.drafts import CtcReader, Guesses
from engine.tracking.grammar import GrammarError, StateGrammar
from engine.tracking.guard import holds_no_speech
from engine.tracking.support import AnswerSupport


@dataclass(frozen=True)
class TurnRequest:
    """One user turn to answer. ``audio`` is a path or a float32 mono 16 kHz array; ``start`` and ``end`` are seconds.

    ``transcript`` is what was said, if it is known: then only the state is asked for. ``pinned`` are values that are settled
    (``{domain: {slot: value}}``): the answer holds them, and what the model writes behind them knows them; None for a slot that
    has no value.
    """

    audio: str | Path | np.ndarray
    history: Sequence[HistoryTurn] = ()
    previous: State | None = None
    start: float | None = None
    end: float | None = None
    channel: int | None = None
    transcript: str | None = None
    pinned: Mapping[str, Mapping[str, Value | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class TurnPrediction:
    """What the model heard and understood.

    ``valid`` is False when ``raw`` is not the JSON it should be; ``state`` is then the previous state with what is pinned.
    ``seconds`` is the computing time; of what several turns share, each bears an equal part. ``guarded``: the recording holds no
    speech, so the model was not asked. ``calibrated``: the checkpoint has a calibration, which ``confidence`` went through.
    ``transcript_confidence`` (0..1) is that of the least sure word; ``None`` where it wrote none of its own. ``ctc_transcript``
    is what the connector's outputs say by themselves, a second opinion on the words; ``None`` where no stage trained its CTC.
    """

    transcript: str
    state: State
    confidence: dict[str, dict[str, float]]
    raw: str
    valid: bool
    seconds: float
    guarded: bool = False
    calibrated: bool = False
    transcript_confidence: float | None = None
    ctc_transcript: str | None = None


class Tracker:
    """Answers user turns with a checkpoint: one JSON object a turn (paper 1, section on inference).

    Args:
        decoding: how the answers of each task are searched for; the checkpoint's own settings where not given.
        calibration: what makes confidences honest; see `engine.tracking.calibration`.
        guard: answer recordings without speech with no words and an unchanged state (tasks dst and asr).
        drafts: guess answers and check them, which is several times faster than token by token and gives the same answers.
        merge: fold LoRA into the LLM, which is faster; a model that goes on training must not be.

    Raises:
        ValueError: decoding settings that do not suit their task.
    """

    def __init__(
        self,
        model: SpeechLLM,
        info: CheckpointInfo,
        device: str = "auto",
        *,
        decoding: Mapping[TaskName, DecodingConfig] | None = None,
        calibration: Calibration | None = None,
        guard: bool = True,
        drafts: bool = True,
        merge: bool = True,
    ) -> None:
        if merge and model.config.quantization == "none":  # merging into 4-bit weights would round the adapters away
            model.llm = merged(model.llm)
            model.encoder.backbone = merged(model.encoder.backbone)
        self.model = model.to(pick_device(device)).eval()
        self.info = info
        self._decoding = decoding or {}
        self.calibration = calibration
        self.guard = guard
        self.drafts = drafts
        self.reader = CtcReader(self.model)
        self.limits = TranscriptLimits(model.tokenizer)
        self.guesses = Guesses(model, info.ontology)

    @classmethod
    def load(
        cls, checkpoint: str | Path | None = None, device: str = "auto", *, calibrated: bool = True, **options: Any
    ) -> Tracker:
        """Load a checkpoint folder; ``None`` is the demo checkpoint. ``options`` as for the class.

        Raises:
            CheckpointError: not a usable checkpoint.
            BaseModelError: a base model is neither here nor to be had.
        """
        folder = Path(checkpoint) if checkpoint is not None else DEMO
        model, info = load_checkpoint(folder)
        return cls(model, info, device, calibration=read_calibration(folder) if calibrated else None, **options)

    @property
    def ontology(self) -> Ontology:
        """Slots and values the checkpoint was trained on."""
        return self.info.ontology

    def decoding(self, task: TaskName) -> DecodingConfig:
        """How the task's answers are searched for."""
        own = self.info.decoding.get(task, TASKS[task].decoding)
        return check_decoding(task, self._decoding.get(task, own))

    def settings(self, task: TaskName = "dst") -> dict[str, Any]:
        """What the text of a task's answers depends on beside their history, to be recorded with them."""
        return {
            "checkpoint": self.info.name,
            "checkpoint_hash": self.info.weights,
            "speakers": self.info.prompt.history,
            "decoding": self.decoding(task).model_dump() | {"guard": self.guard and TASKS[task].guarded},
        }

    @cached_property
    def grammar(self) -> StateGrammar:
        """The ontology's grammar, built when it is first asked for.

        Raises:
            CheckpointError: the ontology makes no grammar.
        """
        try:
            return StateGrammar(self.model.tokenizer, self.ontology, self.decoding("dst").max_new_tokens)
        except GrammarError as error:
            raise CheckpointError(f"{self.info.name}: {error}") from error

    def listen(self, samples: np.ndarray, prompt: Prompt) -> tuple[Tensor, Tensor]:
        """Embeddings ``(L, D)`` of a prompt with the speech in it, and the speech's alone ``(S, D)``.

        One recording at a time: in company its numbers would differ in the last bits, and so might answers.
        """
        model = self.model
        batch = model.collate([model.row(prompt, model.encode([samples])[0])]).to(model.device)
        speech, valid = model.speech(batch.frames, batch.valid)
        return model.embed(batch, speech, valid)[0], speech[0][valid[0]]

    def support(self, request: TurnRequest, raw: str) -> AnswerSupport:
        """What the audio of a turn says about readings of its values, for fuzzy matching; ``raw`` is the answer to it."""

        def prompt() -> Tensor:
            return self.listen(_samples(request), dst_prompt(self.info.prompt, request.history))[0]

        return AnswerSupport(self.model.llm, self.model.tokenizer, prompt, f" {raw}", self._block)

    @property
    def _block(self) -> int:
        """Tokens the LLM reads at once: as few as keep the units busy that multiply them."""
        if self.model.device.type != "cpu":
            return 1024
        return 128 if self.model.llm.dtype == torch.bfloat16 else 48

    def decoder(self, lanes: int) -> Decoder:
        """A decoder of this tracker's LLM.

        Raises:
            CheckpointError: the LLM cannot decode in lanes.
        """
        try:
            return Decoder(self.model.llm, self.model.tokenizer.eos_token_id, lanes, self._block)
        except ValueError as error:
            raise CheckpointError(f"{self.info.model.llm}: {error}") from error

    def turn(
        self,
        audio: str | Path | np.ndarray,
        history: Sequence[HistoryTurn] = (),
        previous: State | None = None,
        start: float | None = None,
        end: float | None = None,
        **known: Any,
    ) -> TurnPrediction:
        """Answer one user turn. ``history`` holds the earlier turns, ``previous`` the state before this turn; ``known`` is
        what else a `TurnRequest` may say.

        Raises:
            AudioError: the recording cannot be used.
        """
        return self.turns([TurnRequest(audio, history, previous, start, end, **known)])[0]

    def turns(self, requests: Sequence[TurnRequest]) -> list[TurnPrediction]:
        """Answer several turns side by side; each answer is the one that `turn` gives."""
        work = TurnQueue(self, len(requests))
        answers: dict[int, TurnPrediction] = {}
        for number, request in enumerate(requests):
            work.add(number, request)
        while work.active:
            answers |= dict(work.step())
        return [answers[number] for number in range(len(requests))]


class TurnQueue:
    """Turns under way: add one whenever there is room, take the finished ones as they come.

    Args:
        room: how many turns may be under way at once.
    """

    def __init__(self, tracker: Tracker, room: int) -> None:
        self.tracker = tracker
        self.room = room
        self._decoding = tracker.decoding("dst")
        self._decoder = tracker.decoder(room * self._decoding.beams)
        self._requests: dict[Any, TurnRequest] = {}
        self._seconds: dict[Any, float] = {}
        self._read: dict[Any, str] = {}
        self._guarded: list[tuple[Any, TurnPrediction]] = []

    @property
    def active(self) -> int:
        """Turns under way."""
        return len(self._requests) + len(self._guarded)

    @property
    def full(self) -> bool:
        return self.active >= self.room

    @torch.inference_mode()
    def add(self, key: Any, request: TurnRequest) -> None:
        """Listen to a turn and start to answer it.

        Raises:
            AudioError: the recording cannot be used.
        """
        begun = time.perf_counter()
        tracker = self.tracker
        samples = _samples(request)
        if tracker.guard and request.transcript is None and holds_no_speech(samples):
            seconds = time.perf_counter() - begun
            calibrated = tracker.calibration is not None
            self._guarded.append(
                (key, TurnPrediction("", _with_pinned(request.previous, request), {}, "", True, seconds, True, calibrated))
            )
            return
        prompt, speech = tracker.listen(samples, dst_prompt(tracker.info.prompt, request.history))
        constraint = Together(self._constraints(request, len(samples) / audio.SAMPLE_RATE))
        heard = tracker.reader.read(speech) if request.transcript is None else to_spoken(request.transcript)
        if request.transcript is None and tracker.model.ctc.trained:
            self._read[key] = heard
        draft = tracker.guesses.answer(heard, _with_pinned(request.previous, request)) if tracker.drafts else None
        self._decoder.start(Job(key, prompt, self._decoding, constraint, draft))
        self._requests[key] = request
        self._seconds[key] = time.perf_counter() - begun

    def _constraints(self, request: TurnRequest, seconds: float) -> list[Constraint]:
        """What the answer to a turn may not become."""
        tracker = self.tracker
        model = tracker.model
        parts: list[Constraint] = []
        if request.transcript is None:
            parts.append(tracker.limits.json(seconds))
        else:
            said = json.dumps(to_spoken(request.transcript), ensure_ascii=False)
            parts.append(Given(model.token_ids(f' {{"transcript": {said}, "domains":')))
        if values := {(d, s): accepted(v)[0] for d, slots in request.pinned.items() for s, v in slots.items() if v is not None}:
            parts.append(Pinned(model.tokenizer, values))
        # What people settled may be a value or a length of words that the grammar does not know: theirs counts.
        if self._decoding.grammar and request.transcript is None and not values:
            parts.append(tracker.grammar.start())
        return parts

    @torch.inference_mode()
    def step(self) -> list[tuple[Any, TurnPrediction]]:
        """One pass of the LLM over all turns under way; those that it finished."""
        done, self._guarded = self._guarded, []
        if not self._requests:
            return done
        begun = time.perf_counter()
        finished = self._decoder.step()
        share = (time.perf_counter() - begun) / len(self._requests)
        for key in self._requests:
            self._seconds[key] += share
        for key, answer in finished:
            prediction = self._prediction(answer, self._requests.pop(key), self._seconds.pop(key))
            done.append((key, replace(prediction, ctc_transcript=self._read.pop(key, None))))
        return done

    def _prediction(self, answer: Generated, request: TurnRequest, seconds: float) -> TurnPrediction:
        tokenizer, calibration = self.tracker.model.tokenizer, self.tracker.calibration
        raw = tokenizer.decode(answer.tokens).strip()
        parsed = parse_output(raw)
        heard = None
        if request.transcript is None:
            heard = transcript_confidence(tokenizer, answer.tokens, answer.log_probs, parsed.transcript)
        calibrated = calibration is not None
        if parsed.state is None:
            return TurnPrediction(
                parsed.transcript, _with_pinned(request.previous, request), {}, raw, False, seconds, False, calibrated, heard
            )
        confidence = slot_confidence(tokenizer, answer.tokens, answer.log_probs, parsed.state)
        if calibration is not None:
            confidence = calibration.apply(confidence)
        state = _with_pinned(parsed.state, request)
        for domain, slots in request.pinned.items():
            for slot in slots:
                confidence.get(domain, {}).pop(slot, None)  # what is settled is not the model's to be sure of
        return TurnPrediction(parsed.transcript, state, confidence, raw, True, seconds, False, calibrated, heard)


def _with_pinned(state: State | None, request: TurnRequest) -> State:
    return with_values(state or {}, {(domain, slot): value for domain, slot, value in iterate_slots(request.pinned)})


def _samples(request: TurnRequest) -> np.ndarray:
    limit = audio.MAX_TURN_SECONDS
    if not isinstance(request.audio, np.ndarray):
        return audio.load(request.audio, request.start, request.end, request.channel, max_seconds=limit)
    first, last = (None if edge is None else round(edge * audio.SAMPLE_RATE) for edge in (request.start, request.end))
    samples = request.audio[first:last].astype(np.float32)
    if not 0 < len(samples) <= limit * audio.SAMPLE_RATE:
        raise audio.AudioError(f"{len(samples)} samples are no turn: between one and {limit:.0f} s of samples are needed")
    return samples
