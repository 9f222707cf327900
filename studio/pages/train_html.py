"""What the Train page says of the data: what there is to train on, why the model was wrong, what a run was trained on."""

from __future__ import annotations

from studio.pages import shared
from studio.services.provenance import UsedCorrection
from studio.services.snapshots import NO_STATE
from studio.services.training import Preview

ERRORS = "Why the model was wrong: what the checkpoint in use answered, in dialogues to train on"


def preview_html(found: Preview, errors: dict[tuple[str, str], tuple[int, int]]) -> str:
    """What a fine-tune started now would be trained and tested on, and what was wrong so far."""
    figures = (
        (str(found.dialogues), "corrected dialogues"),
        (str(found.turns), "turns to train on"),
        (shared.duration(found.hours * 3600), "of speech"),
        (str(found.held_out_dialogues), "held-out dialogues"),
    )
    cells = "".join(f"<div><b>{number}</b><span>{name}</span></div>" for number, name in figures)
    problem = shared.alert(found.problem) if found.problem else ""
    problem += f"<p>{shared.escape(NO_STATE)}</p>" if found.words_only else ""
    return f"<div class='dst-figures'>{cells}</div>{problem}{slots_html(found)}{errors_html(errors)}"


def slots_html(found: Preview) -> str:
    """In how many turns to train on each slot has a value."""
    if not found.slots:
        return ""
    rows = [[shared.escape(" ".join(place)), str(number)] for place, number in found.slots.items()]
    table = shared.table(("Slot", "Turns"), rows)
    return f"<details><summary>Values of {shared.count(len(rows), 'slot')}</summary>{table}</details>"


def errors_html(errors: dict[tuple[str, str], tuple[int, int]]) -> str:
    """Which slots the checkpoint in use misheard and which it misunderstood."""
    if not errors:
        return ""
    rows = [[shared.escape(" ".join(place)), *map(str, counts)] for place, counts in errors.items()]
    return shared.table(("Corrected slot", "Misheard", "Misunderstood"), rows, ERRORS)


def used_html(found: list[UsedCorrection]) -> str:
    """Every correction of a run, each a link to its turn."""
    rows = [
        [
            f"<a href='correct?turn={used.turn_id}'>{shared.escape(f'{used.dialogue}, turn {used.number + 1}')}</a>",
            used.kind,
            shared.escape(used.author),
            shared.day_clock(used.created),
        ]
        for used in found
    ]
    return shared.table(("Turn", "What", "Who", "When"), rows, shared.count(len(rows), "correction"))
