"""The read-only pieces of the Correct page."""

from __future__ import annotations

import json
from collections.abc import Sequence

from db.repositories.queue import Entry
from engine.dialogue import State, Value, accepted, check_state, iterate_slots
from studio.errors import ConflictError
from studio.pages import shared
from studio.services import doubt
from studio.services.drafts import Kept
from studio.services.following import Waiting
from studio.services.lint import Hint
from studio.services.propagation import Moved
from studio.services.verdicts import Verdict
from studio.services.views import DialogueRow, RevisionView, TurnView

MARKS = {"new": "○", "predicted": "◐", "corrected": "●", "reviewed": "◉", "final": "✓"}
SPLITS = {"train": "", "dev": " · dev", "test": " · held out"}
STATUS_TEXT = {
    "new": "not understood yet",
    "predicted": "to be checked",
    "corrected": "corrected",
    "reviewed": "reviewed",
    "final": "final",
}


def dialogue_label(row: DialogueRow) -> str:
    """One line of the dialogue list."""
    return f"{MARKS[row.status]} {row.name} · {row.corrected}/{row.user_turns} corrected{SPLITS[row.split]}"


def entry_label(entry: Entry, drawn: bool) -> str:
    """One line of the queue: how doubtful and why, its first words, where it is; whether it came by lot."""
    degree = "new" if entry.doubt is None else f"{entry.doubt:.0%}".replace("%", " %") + f" {entry.why or 'doubt'}"
    said = entry.words.partition("\n")[0]
    words = said if len(said) <= 48 else f"{said[:48]}…"
    where = f"{entry.dialogue} {entry.number + 1}{' · by lot' if drawn else ''}"
    return f"{MARKS[entry.status]} {degree} · {words or '(not transcribed)'} · {where}"


def turn_label(turn: TurnView) -> str:
    """One line of the turn list: its place, speaker and first words."""
    words = turn.transcript or "(not transcribed)"
    mark = MARKS[turn.status] if turn.speaker == "user" else "–"
    return f"{mark} {turn.turn_id + 1} {turn.speaker}: {words[:60]}{'…' if len(words) > 60 else ''}"


def title_html(turn: TurnView, waits: bool) -> str:
    """Which turn this is, who said it, how far it is, and which checkpoint answered; whether later turns wait for the model."""
    by = f" · answered by {shared.escape(turn.checkpoint)}" if turn.checkpoint else ""
    took = f" in {shared.duration(turn.compute_seconds)}" if turn.compute_seconds is not None else ""
    status = "" if turn.speaker == "agent" else f"<span class='dst-status {turn.status}'>{STATUS_TEXT[turn.status]}</span>"
    facts = f"{shared.duration(turn.seconds)} of speech{by}{took}" if turn.seconds is not None else "no recording"
    facts += " · <b>later turns wait to be decoded again</b>" if waits else ""
    return f"<h3>Turn {turn.turn_id + 1} · {turn.speaker} {status}</h3><small class='dst-muted'>{facts}</small>"


def unfollowed_html(waiting: Waiting) -> str:
    """Why a dialogue did not follow what was changed in it; empty where it did, or has yet to be tried."""
    if waiting.problem is None:
        return ""
    sentence = f"What follows from the change of {_turns(waiting.turns)} is not decoded again yet. {waiting.problem}"
    return f"<div class='dst-alert' role='alert'>{shared.escape(sentence)}</div>"


def heard_html(turn: TurnView, verdicts: list[Verdict]) -> str:
    """What the model heard, or could as well have heard, why slots were wrong, and its raw output where that was no state.

    Nothing of an agent's turn that is text: there is nothing to hear.
    """
    if turn.speaker == "agent" and turn.audio is None:
        return ""
    text = shared.escape(turn.model_transcript) if turn.model_transcript else "<i>nothing yet</i>"
    other = doubt.second_reading(turn)
    second = f"<small>or</small><p class='dst-muted'>{shared.escape(other)}</p>" if other else ""
    why = "".join(f"<p><small>{shared.escape(sentence)}</small></p>" for sentence in why_wrong(verdicts))
    return f"<div class='dst-heard'><small>Model heard</small><p>{text}</p>{second}{why}</div>{shared.invalid_html(turn)}"


def why_wrong(verdicts: list[Verdict]) -> list[str]:
    """Which slots were misheard and which misunderstood, in a sentence each."""
    sentences = (
        (True, "Misheard: {}. With the corrected words the model has it right."),
        (False, "Misunderstood: {}. The model has it wrong with the words as they stand, too."),
    )
    named = {kind: ", ".join(f"{one.domain} {one.slot}" for one in verdicts if one.misheard == kind) for kind, _ in sentences}
    return [sentence.format(named[kind]) for kind, sentence in sentences if named[kind]]


def hints_html(found: list[Hint]) -> str:
    """What looks wrong in the state."""
    items = ((f"{hint.domain} {hint.slot}".strip(), hint.text) for hint in found)
    named = ((f"<b>{shared.escape(name)}</b>: " if name else "", shared.escape(text)) for name, text in items)
    lines = "".join(f"<li>{name}{text}</li>" for name, text in named)
    return f"<ul class='dst-hints' aria-label='Hints'>{lines}</ul>" if lines else ""


def moved_html(moved: Sequence[Moved], sources: Sequence[int]) -> str:
    """What corrections changed in later turns; ``sources`` are the numbers of the turns that were corrected."""
    if not moved:
        return ""

    def side(value: Value | None) -> str:
        return "no value" if value is None else shared.value_html(value)

    rows = [
        f"<li><a href='correct?turn={move.turn_id}'>turn {move.number + 1}</a> {shared.escape(f'{move.domain} {move.slot}')}: "
        f"<del>{side(move.old)}</del> → <ins>{side(move.new)}</ins></li>"
        for move in moved
    ]
    head = f"Decoded again with the correction of {_turns(sources)}"
    return f"<div class='dst-moved' role='status'><b>{head}</b><ul>{''.join(rows)}</ul></div>"


def _turns(numbers: Sequence[int]) -> str:
    return f"turn{'s' if len(numbers) > 1 else ''} {', '.join(str(number + 1) for number in numbers)}"


def history_html(revisions: list[RevisionView], runs: dict[int, list[int]]) -> str:
    """Every change of the turn, newest first, with the runs that were trained on it (``runs``: job ids by revision)."""
    if not revisions:
        return shared.empty("Nothing changed yet", "Every change is kept here with its time and author; nothing is overwritten.")
    rows = [
        [
            shared.day_clock(item.created),
            shared.escape(item.author),
            item.source,
            _change_html(item),
            _runs_html(runs.get(item.id, [])),
        ]
        for item in revisions
    ]
    return shared.table(("Time", "Who", "Source", "Change", "Learnt by"), rows)


def version_label(revision: RevisionView) -> str:
    """What stood after a change, as an entry of a list."""
    if isinstance(revision.new, dict):
        said = ", ".join(f"{slot} {accepted(value)[0]}" for _, slot, value in iterate_slots(revision.new)) or "no slot"
    else:
        said = f"“{revision.new}”"
    return f"{shared.day_clock(revision.created)} {revision.author}: {said}"


def _runs_html(jobs: list[int]) -> str:
    return ", ".join(f"<a href='train?job={job}'>job {job}</a>" for job in jobs)


def _change_html(revision: RevisionView) -> str:
    if revision.kind == "confirmation":
        return _confirmation_html(revision)
    if not isinstance(revision.new, dict) and not isinstance(revision.old, dict) and revision.new != revision.old:
        return f"<del>{shared.escape(revision.old or '')}</del> <ins>{shared.escape(revision.new or '')}</ins>"
    old = revision.old if isinstance(revision.old, dict) else {}
    new = revision.new if isinstance(revision.new, dict) else {}
    parts = [
        f"{shared.escape(f'{domain} {slot}')}: "
        + (f"<del>{_old_text(old, domain, slot)}</del> " if change != "added" else "")
        + ("" if change == "removed" else f"<ins>{shared.value_html(value)}</ins>")
        for domain, slot, value, change in shared.changes(old, new)
        if change != "carried"
    ]
    return "; ".join(parts) or f"{revision.kind}: confirmed as it was"


def _confirmation_html(revision: RevisionView) -> str:
    taken_back = revision.new is None
    slots = revision.old if taken_back else revision.new
    assert isinstance(slots, dict)
    said = ((f"{domain} {slot}", "no value" if value is None else value) for domain, slot, value in iterate_slots(slots))
    names = "; ".join(f"{shared.escape(name)}: {shared.value_html(value)}" for name, value in said)
    return f"{'not confirmed any more' if taken_back else 'confirmed'}: {names}"


def _old_text(state: State, domain: str, slot: str) -> str:
    return shared.value_html(state[domain][slot])


def conflict_html(error: ConflictError) -> str:
    """Both versions, side by side."""

    def version(value: str | State | None) -> str:
        return shared.escape(json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value or "(empty)")

    return (
        f"<div role='alert'><b>{shared.escape(error)}</b><div class='dst-versions'>"
        f"<div><small>Your version, not saved</small><pre>{version(error.mine)}</pre></div>"
        f"<div><small>{shared.escape(error.author)}'s version, saved</small><pre>{version(error.theirs)}</pre></div></div></div>"
    )


def raw_draft_html(turn: TurnView, draft: Kept | None) -> str:
    """That the raw state is a draft, and whether another state stands by now than the one it was typed on."""
    if draft is None:
        return ""
    if draft.is_on(turn):
        return "<span class='dst-muted'>your draft, not saved yet</span>"
    said = "Your draft, not saved yet. The state was changed or answered anew since you began to type: saving shows you both."
    return shared.alert(said)


def json_problem(text: str) -> str:
    """Why the text is no dialogue state in JSON, as HTML; empty when it is."""
    try:
        check_state(json.loads(text))
    except json.JSONDecodeError as error:
        return shared.alert(f"Line {error.lineno}, column {error.colno}: {error.msg}. Not saved.")
    except ValueError as error:
        return shared.alert(f"This is no dialogue state: {error}. Not saved.")
    return ""
