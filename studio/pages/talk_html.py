"""What the Talk page shows: the conversation, the state and what the last turn did to it, and the controls of the microphone."""

from __future__ import annotations

from urllib.parse import quote

from studio.pages import shared
from studio.services.views import DialogueView, TurnView

# Static: talk.js fills it in and finds its controls by data-part.
MICROPHONE = """
<div class="dst-mic" data-part="root" data-state="off">
  <button type="button" class="dst-hold" data-part="hold" aria-pressed="false">Hold to talk <kbd>Space</kbd></button>
  <button type="button" class="dst-toggle" data-part="hands-free" aria-pressed="false">Hands-free</button>
  <div class="dst-hearing">
    <b data-part="state" role="status">Microphone off</b>
    <div class="dst-level" data-part="level" aria-hidden="true"></div>
  </div>
  <span class="dst-message" data-part="message" role="status"></span>
  <details class="dst-settings">
    <summary>Settings</summary>
    <div>
      <label>Hands-free: a turn ends after <output data-part="silence-now">800 ms</output> of silence
        <input type="range" min="300" max="2000" step="100" value="800" data-part="silence"></label>
      <label><input type="checkbox" data-part="voice"> Speak the agent's turns
        <small data-part="no-voice" hidden>(this browser has no voice)</small></label>
      <label><input type="checkbox" data-part="big"> Big type, for a projector</label>
    </div>
  </details>
</div>
"""
PLAY_ALL = '<button type="button" class="dst-toggle" data-part="play-all" aria-pressed="false">Play all</button>'


def conversation_html(dialogue: DialogueView | None, thinking: bool) -> str:
    """The dialogue so far: who said what, how long it took, what each user turn changed, and where to correct it."""
    if dialogue is None or not dialogue.turns:
        return shared.empty(
            "No turn yet", "Hold the button or the space bar and speak, upload a recording, or play a prepared dialogue."
        )
    return f"<ol class='dst-talk'>{''.join(_turn_html(dialogue, turn, thinking) for turn in dialogue.turns)}</ol>"


def _turn_html(dialogue: DialogueView, turn: TurnView, thinking: bool) -> str:
    said = f"<p>{shared.escape(turn.transcript)}</p>" if turn.transcript else "<p class='dst-muted'>not transcribed yet</p>"
    if thinking and turn.waits_for_model:
        said = "<p class='dst-thinking'>thinking <i></i><i></i><i></i></p>"
    facts = [f"{turn.turn_id + 1} · {turn.speaker}"]
    if turn.seconds is not None:
        facts.append(f"{shared.duration(turn.seconds)} of speech")
    if turn.compute_seconds is not None:
        facts.append(f"understood in {shared.duration(turn.compute_seconds)}")
    if (factor := real_time_factor(turn)) is not None:
        facts.append(f"RTF {factor:.2f}")
    if turn.labelled and turn.speaker == "user":
        facts.append("corrected")
    chips = "".join(
        f"<span class='dst-chip {change}'>{shared.escape(f'{domain} {slot}')} <b>{shared.value_html(value)}</b></span>"
        for domain, slot, value, change in shared.changes(turn.previous_state, turn.state or turn.previous_state)
        if change != "carried"
    )
    broken = "" if turn.valid else "<span class='dst-chip removed'>invalid model output</span>"
    link = f"<a href='correct?dialogue={dialogue.id}&amp;turn={turn.id}'>correct</a>"
    return (
        f"<li class='{turn.speaker}' data-turn='{turn.id}'><small>{_play(turn)}{' · '.join(facts)} · {link}</small>"
        f"{said}{chips}{broken}</li>"
    )


def _play(turn: TurnView) -> str:
    if turn.audio is None:
        return ""
    address = shared.escape(f"gradio_api/file={quote(str(turn.audio))}")
    return f"<button type='button' class='dst-play' data-play='{address}' aria-label='play turn {turn.turn_id + 1}'>▶</button>"


def real_time_factor(turn: TurnView) -> float | None:
    """Seconds of computing for a second of speech; below 1 is faster than it was said."""
    return turn.compute_seconds / turn.seconds if turn.compute_seconds is not None and turn.seconds else None


def state_html(turn: TurnView | None) -> str:
    """The state after a turn, what the turn changed in it standing out, and what understanding it took."""
    if turn is None or turn.state is None:
        return shared.empty("Nothing understood yet", "The dialogue state appears here after the first user turn.")
    found = list(shared.changes(turn.previous_state, turn.state))
    title = f"State after turn {turn.turn_id + 1}"
    if not found:
        nothing = shared.empty("No slot has a value", f"Nothing is known after turn {turn.turn_id + 1}.")
        return _figures(turn) + shared.invalid_html(turn) + nothing
    rows = []
    for domain, slot, value, change in found:
        tag = f" <span class='dst-tag'>{shared.NAMES[change]}</span>" if change in shared.NAMES else ""
        before = f"<del>{shared.value_html(turn.previous_state[domain][slot])}</del> " if change == "changed" else ""
        sure = "" if change == "removed" else shared.confidence_html(turn.confidence.get(domain, {}).get(slot))
        rows.append([shared.escape(domain), shared.escape(slot), f"{before}<b>{shared.value_html(value)}</b>{tag}", sure])
    heads = ("Domain", "Slot", "Value", "Confidence")
    states = shared.table(heads, rows, title, [change for *_, change in found])
    return _figures(turn) + shared.invalid_html(turn) + states


def gpu_html(sentence: str | None) -> str:
    """That a job has the GPU, with where it is watched."""
    return f"{shared.escape(sentence)} <a href='train'>watch it</a>" if sentence else ""


def _figures(turn: TurnView) -> str:
    factor = real_time_factor(turn)
    figures = (
        (shared.duration(turn.seconds), "of speech"),
        (shared.duration(turn.compute_seconds), "to understand it"),
        ("–" if factor is None else f"{factor:.2f}", "real-time factor"),
    )
    tiles = "".join(f"<div><b>{figure}</b><span>{name}</span></div>" for figure, name in figures)
    return f"<div class='dst-figures'>{tiles}</div>"
