"""Corpus folders in their published layout, read into dialogues.

Every reader is a function ``read(folder, split) -> (dialogues, report)``; one whose audio lies in containers that no audio
library opens takes a third argument, the folder to extract it to. Audio stays where it is: turns point into the corpus
with start, end and channel. Transcripts of typed corpora are in spoken form (`engine.data.spoken_form`), those of recorded
ones as they were said, normalised; states are cumulative and in written form. What a reader drops or mends is in its report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tarfile import TarError
from typing import Any

from engine.data.spoken_form import to_spoken
from engine.dialogue import Dialogue, check_state

AS_SAID = "as_said"  # key that this package's writers give an entry whose words reading them out would change
_EXAMPLES = 5  # places a report names for each finding


class CorpusError(ValueError):
    """A folder that does not hold the corpus. The message says what was expected and what was found."""


class NotHereError(CorpusError):
    """The folder lacks the corpus or the split that was asked for; what else it holds may be in order."""


@dataclass
class PreparationReport:
    """What one reader read, dropped and mended. Keys of ``dropped`` and ``mended`` are reasons, values are counts."""

    corpus: str
    split: str
    dialogues: int = 0
    user_turns: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    mended: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    where: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def drop(self, reason: str, where: str = "") -> None:
        """Count something left out; the first few places are named in the report."""
        self._find(self.dropped, reason, where)

    def mend(self, reason: str, where: str = "") -> None:
        """Count something put right."""
        self._find(self.mended, reason, where)

    def note(self, text: str) -> None:
        """Say once what a reader of the manifest must know."""
        if text not in self.notes:
            self.notes.append(text)

    def count(self, dialogues: list[Dialogue]) -> None:
        """Count what is left after dropping."""
        self.dialogues = len(dialogues)
        self.user_turns = sum(len(dialogue.user_turns()) for dialogue in dialogues)

    def lines(self) -> list[str]:
        """The report for people, one finding a line."""
        head = f"{self.corpus} {self.split}: {self.dialogues} dialogues, {self.user_turns} user turns"
        found = [("dropped", self.dropped), ("mended", self.mended)]
        findings = [
            f"  {what} {n}: {reason}{self._places(reason, n)}" for what, counts in found for reason, n in sorted(counts.items())
        ]
        return [head, *findings, *(f"  note: {note}" for note in self.notes)]

    def _find(self, counts: Counter[str], reason: str, where: str) -> None:
        counts[reason] += 1
        places = self.where.setdefault(reason, [])
        if where and len(places) < _EXAMPLES:
            places.append(where)

    def _places(self, reason: str, count: int) -> str:
        places = self.where.get(reason)
        return f" ({', '.join(places)}{', ...' if count > len(places) else ''})" if places else ""


Reading = tuple[list[Dialogue], PreparationReport]


@dataclass(frozen=True)
class Corpus:
    """A corpus this package reads: one line about it, and its reader; ``extracts`` if that needs a folder for audio."""

    summary: str
    reader: Callable[..., Reading]
    extracts: bool = False

    def read(self, folder: Path, split: str, extracted: Path) -> Reading:
        """Read one split, ``train``, ``dev``, ``test`` or the corpus's own name of a part, with audio below ``extracted``
        where it cannot stay in the corpus.

        Raises:
            CorpusError: the folder does not hold the corpus, or there is no such split.
        """
        if not folder.is_dir():
            raise CorpusError(f"{folder}: no such folder; give the one the corpus was unpacked to ({self.summary})")
        dialogues, report = self.reader(folder, split, extracted) if self.extracts else self.reader(folder, split)
        seen: Counter[str] = Counter()
        for dialogue in dialogues:
            with in_layout(f"{folder}, dialogue {dialogue.dialogue_id}", self.summary.partition(":")[0]):
                for turn in dialogue.turns:
                    check_state(turn.state or {})
            seen[dialogue.dialogue_id] += 1
            if (times := seen[dialogue.dialogue_id]) > 1:
                report.mend("name occurs twice: numbered", dialogue.dialogue_id)
                dialogue.dialogue_id += f"-{times}"
        return dialogues, report


def corpora() -> dict[str, Corpus]:
    """Every corpus this package reads, by name."""
    from engine.data.readers import (
        convlab,
        covost2,
        dstc11,
        fisher,
        fluent,
        kaldi,
        librispeech,
        multiwoz,
        noise,
        recordings,
        sgd,
        slurp,
        spokenwoz,
        switchboard,
        table,
        woz20,
    )

    return {
        "spokenwoz": Corpus("SpokenWOZ: spoken task dialogues with states, or a sample of it", spokenwoz.read),
        "dstc11": Corpus("speech-aware MultiWOZ (DSTC11): task dialogues with states, user turns spoken", dstc11.read, True),
        "multiwoz": Corpus("MultiWOZ 2.1: typed task dialogues with states", partial(multiwoz.read, version="2.1")),
        "multiwoz22": Corpus("MultiWOZ 2.2: the same in SGD's layout", multiwoz.read_22),
        "multiwoz23": Corpus("MultiWOZ 2.3: 2.1 with corrected states", partial(multiwoz.read, version="2.3")),
        "multiwoz24": Corpus("MultiWOZ 2.4: 2.1 with cleaned dev and test states", partial(multiwoz.read, version="2.4")),
        "sgd": Corpus("Schema-Guided Dialogue: typed task dialogues with states", sgd.read),
        "woz20": Corpus("WOZ 2.0: typed restaurant dialogues with states", woz20.read),
        "convlab": Corpus("a data set of ConvLab-3 in its unified format: typed task dialogues with states", convlab.read),
        "slurp": Corpus("SLURP: spoken commands with intents and entities", slurp.read),
        "fluent": Corpus("Fluent Speech Commands: spoken commands with action, object and location", fluent.read),
        "librispeech": Corpus("LibriSpeech: read books", librispeech.read),
        "fisher": Corpus("Fisher English, parts 1 and 2: telephone conversations", fisher.read),
        "switchboard": Corpus("Switchboard-1 release 2, and Hub5'00: telephone conversations", switchboard.read),
        "how2": Corpus("How2: instructional videos, with translations", partial(kaldi.read, how2=True)),
        "kaldi": Corpus("any Kaldi data folders: text, segments, wav.scp", kaldi.read),
        "covost2": Corpus("CoVoST 2: Common Voice sentences with translations", covost2.read),
        "table": Corpus("dialogues of your own: a table of turns, turns.csv, beside recordings", table.read),
        "recordings": Corpus("any folder of recordings with a table transcripts.tsv", recordings.read),
        "noise": Corpus("any folder of sounds without speech", noise.read),
    }


def corpus_named(name: str) -> Corpus:
    """The corpus of this name.

    Raises:
        CorpusError: there is none; the message lists them.
    """
    known = corpora()
    if name not in known:
        raise CorpusError(f"no reader for {name!r}; choose of {', '.join(known)}")
    return known[name]


def own_split(names: Mapping[str, Sequence[str]], asked: str) -> tuple[str, list[str]]:
    """The split (``train``, ``dev`` or ``test``) and the corpus's own names of the parts that ``asked`` stands for.

    Args:
        names: the corpus's own names by split; a split the corpus lacks is left out.
        asked: one of the three splits, for all its parts, or one of the corpus's own names.

    Raises:
        NotHereError: there is no such split; the message lists them.
    """
    if asked in names:
        return asked, list(names[asked])
    for split, parts in names.items():
        if asked in parts:
            return split, [asked]
    known = dict.fromkeys([*names, *(part for parts in names.values() for part in parts)])
    raise NotHereError(f"no split {asked!r}; choose of {', '.join(known)}")


def require(folder: Path, *names: str, depth: int = 0) -> Path:
    """The first of ``names`` (they may hold wildcards) that exists in ``folder``, or up to ``depth`` folders below it.

    Raises:
        NotHereError: there is no such folder, or none of the names is in it.
    """
    for name in names:
        for level in range(depth + 1):
            for path in sorted(folder.glob("*/" * level + name)):
                if not path.name.startswith("."):  # archives made on a Mac hold "._" copies of every file
                    return path
    raise not_found(folder, " or ".join(names))


def not_found(folder: Path, expected: str) -> NotHereError:
    """The error for a folder without ``expected``; it lists what is there instead."""
    if not folder.is_dir():
        return NotHereError(f"{folder}: no such folder; expected one with {expected}")
    found = sorted(path.name for path in folder.iterdir())
    listing = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "") if found else "nothing"
    return NotHereError(f"{folder}: expected {expected}, found {listing}")


@contextmanager
def in_layout(path: Path | str, corpus: str) -> Iterator[None]:
    """What goes wrong in here is the file's fault: it is not what its corpus publishes.

    Raises:
        CorpusError: in place of the exceptions that data of another shape gives; it names the file and `within` what of it.
    """
    try:
        yield
    except CorpusError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, EOFError, TarError) as error:
        reason = f"the key {error} is missing" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        place = ", ".join([str(path), *reversed(getattr(error, "__notes__", []))])
        raise CorpusError(
            f"{place}: not in the layout of {corpus} ({reason}); mend it there, or unpack the published archive again"
        ) from error


@contextmanager
def within(part: str) -> Iterator[None]:
    """The part of a file that is read in here, a dialogue or a turn; where `in_layout` refuses the file, it names the part."""
    try:
        yield
    except Exception as error:
        error.add_note(part)
        raise


def each_dialogue(entries: Iterable[Any], parse: Callable[[Any], Dialogue | None], key: str = "dialogue_id") -> list[Dialogue]:
    """The dialogues of a file's list, each read `within` its name, which stands under ``key``, or else its place from 1.

    What ``parse`` gives ``None`` for is left out.
    """
    dialogues = []
    for number, entry in enumerate(entries, 1):
        named = isinstance(entry, dict) and key in entry
        with within(f"dialogue {entry[key]}" if named else f"dialogue number {number}"):
            if (dialogue := parse(entry)) is not None:
                dialogues.append(dialogue)
    return dialogues


UNSET = frozenset({"", "not mentioned", "none", "not given"})
_DONTCARE = {"dont care", "don't care", "do n't care", "do nt care", "do not care", "doesn't care"}


def state_value(raw: Any, report: PreparationReport, unset: Collection[str] = UNSET) -> str | list[str] | None:
    """A value of MultiWOZ's family of corpora in the manifest's form; None if the slot is unset.

    Lower-case; every spelling of "don't care" is ``dontcare``; "a|b", "a>b" and a list are several accepted forms.

    Args:
        unset: what says that there is no value.
    """
    values = raw if isinstance(raw, list) else raw.replace(">", "|").replace("<", "|").split("|")
    forms = [" ".join(value.lower().split()) for value in values]
    forms = list(dict.fromkeys(form for form in forms if form not in unset))
    for index, form in enumerate(forms):
        if form in _DONTCARE:
            report.mend(f"value {form!r} is 'dontcare'")
            forms[index] = "dontcare"
    if len(forms) > 1:
        report.mend("value with several forms")
    return (forms[0] if len(forms) == 1 else forms) if forms else None


def words(entry: Mapping[str, Any], text: str, seed: str) -> str:
    """An entry's text in spoken form (``seed``: as `to_spoken`); as it stands where it was written as it was said."""
    return text if entry.get(AS_SAID) else to_spoken(text, seed)
