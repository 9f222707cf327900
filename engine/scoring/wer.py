"""Word error rate, with what kind of errors it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jiwer

from engine.data.spoken_form import comparable
from engine.scoring.bootstrap import Interval, bootstrap_interval

COMPARED_AS = "lower case, no punctuation but the apostrophe, every number read out in one way"


@dataclass(frozen=True)
class WerResult:
    """``wer`` in percent, over all reference words; None where the references hold no word. The rest are counts.

    ``nonspeech`` utterances have an empty reference: words written for them are ``nonspeech_insertions``, and are among
    ``insertions`` (and so in ``wer``) too. ``nonspeech_rate`` is the share of these utterances, in percent, for which
    anything was written; None where there is none. The intervals are of 95 %, over dialogues.
    """

    wer: float | None
    wer_interval: Interval | None
    utterances: int
    reference_words: int
    insertions: int
    deletions: int
    substitutions: int
    nonspeech: int
    nonspeech_insertions: int
    nonspeech_rate: float | None
    nonspeech_interval: Interval | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"compared_as": COMPARED_AS}


def wer(references: Sequence[str], hypotheses: Sequence[str], dialogues: Sequence[str] | None = None) -> WerResult:
    """Compare transcripts utterance by utterance, both sides as `comparable` writes them.

    Args:
        references: what was said; empty for noise or silence.
        hypotheses: what was recognised, in the same order.
        dialogues: the dialogue of each utterance, for the 95 % interval; without it each utterance stands for itself.

    Raises:
        ValueError: the sequences differ in length.
    """
    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} reference transcripts cannot be compared with {len(hypotheses)} hypotheses")
    said = [comparable(text) for text in references]
    heard = [comparable(text) for text in hypotheses]
    errors: dict[str, int] = {}
    words: dict[str, int] = {}
    kinds = {"insert": 0, "delete": 0, "substitute": 0}
    nonspeech_insertions = 0
    alignments = jiwer.process_words(said, heard).alignments if said else []
    groups = dialogues if dialogues is not None else [str(number) for number in range(len(said))]
    for reference, alignment, dialogue in zip(said, alignments, groups, strict=True):
        errors.setdefault(dialogue, 0)
        words[dialogue] = words.get(dialogue, 0) + len(reference.split())
        for chunk in alignment:
            if chunk.type == "equal":
                continue
            length = max(chunk.ref_end_idx - chunk.ref_start_idx, chunk.hyp_end_idx - chunk.hyp_start_idx)
            kinds[chunk.type] += length
            errors[dialogue] += length
            nonspeech_insertions += 0 if reference else length
    total = sum(words.values())
    silent = [hypothesis for reference, hypothesis in zip(said, heard, strict=True) if not reference]
    clips: dict[str, list[bool]] = {}  # of each dialogue the utterances without speech: whether words were written
    for reference, hypothesis, dialogue in zip(said, heard, groups, strict=True):
        if not reference:
            clips.setdefault(dialogue, []).append(bool(hypothesis))
    return WerResult(
        wer=100 * sum(errors.values()) / total if total else None,
        wer_interval=bootstrap_interval(list(errors.values()), list(words.values())),
        utterances=len(said),
        reference_words=total,
        insertions=kinds["insert"],
        deletions=kinds["delete"],
        substitutions=kinds["substitute"],
        nonspeech=len(silent),
        nonspeech_insertions=nonspeech_insertions,
        nonspeech_rate=100 * sum(map(bool, silent)) / len(silent) if silent else None,
        nonspeech_interval=bootstrap_interval([sum(found) for found in clips.values()], [len(found) for found in clips.values()]),
    )


def align_words(reference: str, hypothesis: str) -> list[tuple[str, str, str]]:
    """How `wer` pairs the words of one utterance: (kind, reference words, hypothesis words) from left to right.

    The kind is "equal", "substitute", "delete" or "insert"; the side without words is empty.
    """
    said, heard = comparable(reference), comparable(hypothesis)
    words, written = said.split(), heard.split()
    (alignment,) = jiwer.process_words([said], [heard]).alignments
    return [
        (
            chunk.type,
            " ".join(words[chunk.ref_start_idx : chunk.ref_end_idx]),
            " ".join(written[chunk.hyp_start_idx : chunk.hyp_end_idx]),
        )
        for chunk in alignment
    ]


def count_errors(alignment: Sequence[tuple[str, str, str]]) -> tuple[int, int]:
    """Wrong words and reference words of what `align_words` gave."""
    lengths = [(kind, len(said.split()), len(heard.split())) for kind, said, heard in alignment]
    return sum(max(said, heard) for kind, said, heard in lengths if kind != "equal"), sum(said for _, said, _ in lengths)
