"""MultiWOZ 2.1: ``data.json``, ``valListFile.txt``, ``testListFile.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.data.readers import PreparationReport
from engine.data.writers import as_said, by_split, joined, no_values, positions, text_only, write_json
from engine.dialogue import Dialogue, State

# Slots a domain always names, unset or not; of these the ones under "book".
_DOMAINS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "taxi": (("leaveAt", "destination", "departure", "arriveBy"), ()),
    "police": ((), ()),
    "restaurant": (("food", "pricerange", "name", "area"), ("time", "day", "people")),
    "hospital": (("department",), ()),
    "hotel": (("name", "area", "parking", "pricerange", "stars", "internet", "type"), ("stay", "day", "people")),
    "attraction": (("type", "name", "area"), ()),
    "train": (("leaveAt", "destination", "day", "arriveBy", "departure"), ("people",)),
}


def write(folder: Path, dialogues: Sequence[Dialogue]) -> PreparationReport:
    """Write all splits into one ``data.json``; the state of a user turn goes into the system turn after it."""
    report = PreparationReport("MultiWOZ 2.1", "all splits")
    text_only(report, dialogues, needs_state=False)
    no_values(report, dialogues)
    data = {_name(dialogue): {"goal": {}, "log": _log(dialogue)} for dialogue in dialogues}
    write_json(folder / "data.json", data)
    parts = by_split(dialogues)
    for split, name in (("dev", "valListFile.txt"), ("test", "testListFile.txt")):
        listed = "".join(f"{_name(dialogue)}\n" for dialogue in parts.get(split, []))
        (folder / name).write_text(listed, encoding="utf-8")
    report.count(list(dialogues))
    return report


def _name(dialogue: Dialogue) -> str:
    """The reader's "multiwoz-sng0001" was "SNG0001.json"; other names stay."""
    own = dialogue.dialogue_id.removeprefix("multiwoz-")
    return f"{own.upper() if own != dialogue.dialogue_id else own}.json"


def _log(dialogue: Dialogue) -> list[dict[str, Any]]:
    log: list[dict[str, Any]] = []
    state: State | None = None
    for turn in positions(dialogue, alternate=True):
        text = turn.transcript or ""
        log.append({"text": text, "metadata": {}, "dialog_act": {}, "span_info": []} | as_said(text))
        if turn.speaker == "user":
            state = turn.state
        else:
            log[-1]["metadata"] = metadata(state)
    if len(log) % 2:
        log.append({"text": "", "metadata": metadata(state), "dialog_act": {}, "span_info": []})
    return log


def metadata(state: State | None) -> dict[str, Any]:
    """A state as the corpus's logs hold it: what is booked and what is looked for, unset slots as well. Nothing where nobody
    labelled the turn, which is not the same as an empty state."""
    if state is None:
        return {}
    found: dict[str, Any] = {}
    for domain in [*_DOMAINS, *(domain for domain in state if domain not in _DOMAINS)]:
        semi, book = _DOMAINS.get(domain, ((), ()))
        parts: dict[str, dict[str, Any]] = {"book": {"booked": []}, "semi": {}}
        parts["book"] |= dict.fromkeys(book, "")
        parts["semi"] |= dict.fromkeys(semi, "")
        spelled = {slot.lower(): slot for slot in (*semi, *book)}
        for slot, value in state.get(domain, {}).items():
            name = spelled.get(slot, slot)
            parts["book" if name in book else "semi"][name] = joined(value)
        found[domain] = parts
    return found
