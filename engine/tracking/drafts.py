"""Guesses at answers that a model then only has to check: greedy decoding gives the same answer in a fraction of the passes.

The connector's own CTC output is close to the transcript (where a stage trained it), half of all turns leave the dialogue state
as it was, and most others add a value that was just said. So the guess is the answer made of what CTC reads, and of the state
before the turn with the ontology's values that occur in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from engine.data.spoken_form import normalise_transcript
from engine.dialogue import Ontology, State
from engine.model import SpeechLLM
from engine.prompts import dst_target

_PHRASE = 12  # tokens of a phrase proposed at once: longer than a name and what follows it is guesswork
_SPOKEN = re.compile(r"[ĠĊ▁ ]?[a-z']+")  # transcripts are in spoken form: words, or pieces of words


class GuessedAnswer:
    """Proposes the continuation of a guessed token sequence from the place that what was written last points to.

    Args:
        guess: the whole answer, as guessed.
        phrases: token sequences of which any may turn up, such as the names of all slots; looked up where the guess fails.
    """

    def __init__(self, guess: Sequence[int], phrases: Sequence[int] = ()) -> None:
        self._guess = list(guess)
        self._phrases = list(phrases)
        self._expected = 0
        self._seen = 0

    def propose(self, written: Sequence[int], limit: int) -> list[int]:
        """At most ``limit`` tokens. Where the last tokens written occur several times in the guess, the place nearest to
        the expected one counts; where they do not occur, the model wrote another word than the one guessed."""
        self._expected += len(written) - self._seen
        self._seen = len(written)
        for size in (3, 2):
            place = self._find(self._guess, written[-size:], size)
            if place is not None:
                self._expected = place
                return self._guess[place : place + limit]
        for size in (2, 1):
            place = self._find(self._phrases, written[-size:], size)
            if place is not None and (size == 2 or self._find(self._guess, written[-1:], 1) is None):
                return self._phrases[place : place + min(limit, _PHRASE)]
        place = self._find(self._guess, written[-1:], 1)
        if place is not None:
            self._expected = place
        return self._guess[self._expected : self._expected + limit]

    def _find(self, sequence: list[int], tail: Sequence[int], size: int) -> int | None:
        """The place after ``tail`` in the sequence, nearest to the expected one."""
        if len(tail) < size:
            return None
        tail = list(tail)
        ends = [end for end in range(size, len(sequence) + 1) if sequence[end - size : end] == tail]
        return min(ends, key=lambda end: abs(end - self._expected)) if ends else None


class Mentions:
    """Which of an ontology's values a transcript mentions, to guess the state after it."""

    def __init__(self, ontology: Ontology) -> None:
        self._places: dict[str, list[tuple[str, str, str]]] = {}
        for domain, slots in ontology.values.items():
            for slot, known in slots.items():
                for value in known:
                    self._places.setdefault(normalise_transcript(value), []).append((domain, slot, value))
        self._slots = [(domain, slot) for domain, slots in ontology.values.items() for slot in slots]
        self._longest = max((len(text.split()) for text in self._places), default=0)

    def state(self, transcript: str, previous: State) -> State:
        """The previous state with the values that the transcript mentions; of several domains, one that is under way."""
        words = transcript.split()
        found = {(domain, slot): value for domain, slots in previous.items() for slot, value in slots.items()}
        for size in range(min(self._longest, len(words)), 0, -1):  # a longer value wins over one of its words
            for start in range(len(words) - size + 1):
                places = self._places.get(" ".join(words[start : start + size]), [])
                places = [place for place in places if place[0] in previous] or places
                for domain, slot, value in places[:1]:
                    found[domain, slot] = value
                    words[start : start + size] = [""] * size
        state: State = {}
        for domain, slot in dict.fromkeys([*self._slots, *found]):
            if (domain, slot) in found:
                state.setdefault(domain, {})[slot] = found[domain, slot]
        return state


class Guesses:
    """Makes guesses for one model and ontology."""

    def __init__(self, model: SpeechLLM, ontology: Ontology) -> None:
        self._model = model
        self._mentions = Mentions(ontology)
        schema: State = {domain: dict.fromkeys(slots, "") for domain, slots in ontology.values.items()}
        self._phrases = model.token_ids(dst_target("", schema))

    def answer(self, heard: str, previous: State) -> GuessedAnswer:
        """The answer to a turn in which ``heard`` was said."""
        guess = self._model.token_ids(dst_target(heard, self._mentions.state(heard, previous)))
        return GuessedAnswer([*guess, self._model.tokenizer.eos_token_id], self._phrases)


class CtcReader:
    """What the connector's outputs say by themselves: each compared with the LLM's embeddings of the tokens of spoken words."""

    def __init__(self, model: SpeechLLM) -> None:
        self._model = model
        vocabulary = model.tokenizer.get_vocab()
        ids = sorted(number for token, number in vocabulary.items() if _SPOKEN.fullmatch(token))
        self._ids = torch.tensor(ids)
        table = model.llm.get_input_embeddings().weight.detach()[self._ids.to(model.device)].float()
        entries = torch.cat([model.ctc.blank.detach()[None].float(), table])
        self._entries = torch.nn.functional.normalize(entries, dim=-1)

    def read(self, speech: Tensor) -> str:
        """The likeliest token at each of ``(S, D)`` positions, repeats and blanks taken out, as text."""
        best = (speech.float() @ self._entries.T).argmax(-1).tolist()
        tokens = [int(self._ids[now - 1]) for before, now in zip([0, *best], best, strict=False) if now and now != before]
        return self._model.tokenizer.decode(tokens).strip()
