"""Answering examples of any task, each on its own: what `engine.tasks` asks for is decoded in batches and scored."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress

from engine.audio import SAMPLE_RATE
from engine.config import TaskName
from engine.data.frames import load_turn, turn_seconds
from engine.dialogue import Dialogue
from engine.tasks import TASKS, Answer, DataError, Example, IndependentTask
from engine.tracking.constraints import Constraint, NoRepeatedNgram, Together
from engine.tracking.decoding import Job
from engine.tracking.tracker import Tracker


def answer_examples(
    tracker: Tracker, examples: Sequence[Example], *, batch: int = 16, each: Callable[[], None] = lambda: None
) -> list[Answer]:
    """The tracker's answers in the order of the examples; turns of similar length are decoded together, and ``each`` is called
    after every batch.

    Raises:
        AudioError: a recording is missing or cannot be used; found before the decoding begins.
    """
    seconds = [turn_seconds(example.turn) for example in examples]
    order = sorted(range(len(examples)), key=seconds.__getitem__)
    answers: dict[int, Answer] = {}
    with Progress(console=Console(stderr=True), disable=len(examples) < batch) as progress:
        bar = progress.add_task("Answering", total=len(examples))
        for start in range(0, len(order), batch):
            places = order[start : start + batch]
            for place, text in zip(places, _answers(tracker, [examples[place] for place in places]), strict=True):
                answers[place] = Answer(examples[place], text)
            progress.advance(bar, len(places))
            each()
    return [answers[place] for place in range(len(examples))]


def evaluate_task(
    tracker: Tracker, dialogues: Sequence[Dialogue], name: TaskName, *, batch: int = 16
) -> tuple[dict[str, Any], list[Answer]]:
    """Answer and score every example that the dialogues hold for a task; the report and the answers it was made from.

    Raises:
        DataError: the dialogues hold none, or the task's answers build on one another (see `evaluate_dialogues`).
        ScoreError: what the scores are computed with is missing.
    """
    task = TASKS[name]
    if not isinstance(task, IndependentTask):
        raise DataError(f"the answers of task {name} build on one another: they are scored dialogue by dialogue")
    task.ready()
    examples = [example for dialogue in dialogues for example in task.examples(dialogue, tracker.info.prompt)]
    if not examples:
        raise DataError(f"no user turn has audio and {task.needs}: there is nothing to score for task {name!r}")
    begun = time.perf_counter()
    answers = answer_examples(tracker, examples, batch=batch)
    report = {"task": name} | task.report(answers, tracker.ontology)
    return report | {"history_text": tracker.info.prompt.history_text, "compute_seconds": time.perf_counter() - begun}, answers


@torch.inference_mode()
def _answers(tracker: Tracker, examples: Sequence[Example]) -> list[str]:
    """Answers of one batch; all its examples are of one task."""
    task, tokenizer = TASKS[examples[0].task], tracker.model.tokenizer
    decoding = tracker.decoding(task.name)
    jobs = []
    for place, example in enumerate(examples):
        samples = load_turn(example.turn)
        prompt, _ = tracker.listen(samples, task.prompt(tracker.info.prompt, example))
        constraints: list[Constraint] = []
        if task.name == "asr":
            constraints.append(tracker.limits.text(len(samples) / SAMPLE_RATE))
        if decoding.no_repeat_ngram:
            constraints.append(NoRepeatedNgram(decoding.no_repeat_ngram, len(tokenizer)))
        jobs.append(Job(place, prompt, decoding, Together(constraints)))
    found = dict(tracker.decoder(len(jobs) * decoding.beams).run(jobs))
    return [tokenizer.decode(found[place].tokens).strip() for place in range(len(examples))]
