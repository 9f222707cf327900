"""Tracking dialogues, with a tracker that answers at once: histories, predictions on disk, going on after an interruption."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from engine.audio import AudioError
from engine.config import DecodingConfig, PromptConfig
from engine.dialogue import Dialogue, ManifestError, Ontology, Turn
from engine.json_text import FileError
from engine.tracking import HistoryTurn, TurnPrediction, evaluate_dialogues, oracle_history, read_history
from engine.tracking import dialogues as module

CLIP = "clip.wav"


@pytest.fixture
def spoken(tmp_path):

    soundfile.write(tmp_path / CLIP, np.zeros(800), 16000)

    def dialogue(name, turns):
        found = []
        for number in range(turns):
            state = {"restaurant": {"food": "thai"}}
            found.append(Turn(2 * number, "user", f"said {name} {number}", str(tmp_path / CLIP), state=state))
            found.append(Turn(2 * number + 1, "agent", f"agent {number}"))
        return Dialogue(name, found, "test")

    return [dialogue("a", 3), dialogue("b", 1), dialogue("c", 2)]


@pytest.fixture
def tracker(monkeypatch):
    """Answers every turn after one step, and fails at the turn number ``fail_at``."""
    asked = []

    class Queue:
        def __init__(self, tracker, room):
            self.room, self.turns = room, []

        active = property(lambda self: len(self.turns))
        full = property(lambda self: self.active >= self.room)

        def add(self, key, request):
            if len(asked) == tracker.fail_at:
                raise KeyboardInterrupt
            asked.append((key.dialogue.dialogue_id, request.history, request.previous))
            self.turns.append((key, request))

        def step(self):
            done, self.turns = self.turns, []
            state = {"restaurant": {"food": "tai"}}
            return [(key, TurnPrediction(f"heard {len(r.history)}", state, {}, "{}", True, 0.1)) for key, r in done]

    monkeypatch.setattr(module, "TurnQueue", Queue)
    tracker = SimpleNamespace(
        info=SimpleNamespace(prompt=PromptConfig()),
        settings=lambda: {
            "checkpoint": "fake",
            "checkpoint_hash": tracker.weights,
            "speakers": "user+agent",
            "decoding": DecodingConfig().model_dump(),
        },
        weights="1a",
        ontology=Ontology({"restaurant": {"food": ["thai", "italian"]}}),
        support=lambda request, raw: None,
        asked=asked,
        fail_at=-1,
    )
    return tracker


def test_the_history_holds_own_transcripts_and_the_agents_text(tracker, spoken):
    evaluate_dialogues(tracker, spoken[:1])
    assert tracker.asked[1][1] == (HistoryTurn("user", "heard 0"), HistoryTurn("agent", "agent 0"))
    assert tracker.asked[1][2] == {"restaurant": {"food": "tai"}}


def test_or_the_manifests_transcripts_or_another_recognisers(tracker, spoken, tmp_path):
    evaluate_dialogues(tracker, spoken[:1], history=oracle_history(spoken))
    assert tracker.asked[1][1][0] == HistoryTurn("user", "said a 0")
    path = tmp_path / "whisper.jsonl"
    lines = [{"dialogue_id": "a", "turn_id": 2 * n, "transcript": f"whisper {n}", "seconds": 1} for n in range(3)]
    path.write_text("\n".join(map(json.dumps, lines)))
    report, turns = evaluate_dialogues(tracker, spoken[:1], history=read_history(path, spoken[:1]))
    assert tracker.asked[4][1][0] == HistoryTurn("user", "whisper 0")
    assert report["history"] == turns[0].history == "whisper.jsonl"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "no transcript for turn 0 of dialogue 'a'"),
        ('{"dialogue_id": "a", "turn_id": 0}', "line 1: the key 'transcript' is missing"),
        ('{"dialogue_id": "a", "turn_id": 0, "transcript": 7}', "line 1: the transcript must be text"),
        ('{"dialogue_id": "a", "turn_id": 0.7, "transcript": "x"}', "line 1: .* turn_id a whole number, not 'a' and 0.7"),
        ('{"dialogue_id": "a", "turn_id": 0, "transcript": "x"}\n' * 2, "line 2: turn 0 of dialogue 'a' occurs twice"),
        ("[", "line 1"),
    ],
)
def test_a_recognisers_file_that_does_not_fit_is_refused_by_line(spoken, tmp_path, content, reason):
    path = tmp_path / "asr.jsonl"
    path.write_text(content)
    with pytest.raises((FileError, ManifestError), match=reason):
        read_history(path, spoken)


def test_predictions_say_how_they_were_made_and_what_fuzzy_matching_makes_of_them(tracker, spoken, tmp_path):
    path = tmp_path / "predictions.jsonl"
    evaluate_dialogues(tracker, spoken, predictions=path, batch=2)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len(lines) == 6
    first = lines[0]
    assert first["decoding"]["beams"] == 1 and first["history"] == "own" and first["audio"].endswith(CLIP)
    match = first["fuzzy"]["matches"]["restaurant"]["food"]
    assert first["fuzzy"]["state"] == {"restaurant": {"food": "thai"}} and match["heard"] == "tai"
    assert match["runner_up"] == "italian" and match["score"] > match["runner_up_score"]


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_an_interrupted_scoring_goes_on_and_ends_with_the_same_report(tracker, spoken, tmp_path, stop):
    whole, _ = evaluate_dialogues(tracker, spoken, batch=2)
    questions = sorted(tracker.asked, key=str)
    tracker.asked.clear()
    path = tmp_path / "predictions.jsonl"
    tracker.fail_at = stop
    with pytest.raises(KeyboardInterrupt):
        evaluate_dialogues(tracker, spoken, batch=2, predictions=path)
    path.write_text(path.read_text() + '{"dialogue_id": "c", "tu')  # the power went off within a line
    kept = len(path.read_text().splitlines()) - 1
    tracker.fail_at = -1
    tracker.asked.clear()
    resumed, turns = evaluate_dialogues(tracker, spoken, batch=2, predictions=path, resume=True)
    assert len(tracker.asked) == 6 - kept and all(question in questions for question in tracker.asked)
    assert resumed | {"compute_seconds": 0} == whole | {"compute_seconds": 0}
    assert len(path.read_text().splitlines()) == len(turns) == 6


def test_going_on_with_other_settings_or_dialogues_is_refused(tracker, spoken, tmp_path):
    path = tmp_path / "predictions.jsonl"
    evaluate_dialogues(tracker, spoken[:2], predictions=path)
    with pytest.raises(ManifestError, match="line 1: made with history 'own', not 'oracle'"):
        evaluate_dialogues(tracker, spoken[:2], predictions=path, resume=True, history=oracle_history(spoken))
    with pytest.raises(ManifestError, match="is not among those to score"):
        evaluate_dialogues(tracker, spoken[2:], predictions=path, resume=True)
    tracker.weights = "2b"  # another fine-tune of the same recipe, and so of the same name
    with pytest.raises(ManifestError, match="line 1: made with checkpoint_hash '1a', not '2b'"):
        evaluate_dialogues(tracker, spoken[:2], predictions=path, resume=True)


def test_going_on_with_another_recognisers_file_of_the_same_name_is_refused(tracker, spoken, tmp_path):
    path = tmp_path / "predictions.jsonl"

    def history(word):
        lines = [{"dialogue_id": "a", "turn_id": 2 * n, "transcript": f"{word} {n}"} for n in range(3)]
        (tmp_path / "asr.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return read_history(tmp_path / "asr.jsonl", spoken[:1])

    evaluate_dialogues(tracker, spoken[:1], predictions=path, history=history("thai"))
    evaluate_dialogues(tracker, spoken[:1], predictions=path, resume=True, history=history("thai"))
    with pytest.raises(ManifestError, match="made with history_hash"):
        evaluate_dialogues(tracker, spoken[:1], predictions=path, resume=True, history=history("tai"))


def test_going_on_with_other_recordings_is_refused_and_with_moved_ones_not(tracker, spoken, tmp_path):
    path = tmp_path / "predictions.jsonl"
    evaluate_dialogues(tracker, spoken, predictions=path)
    (tmp_path / "moved").mkdir()
    for name in (CLIP, "another.wav"):
        soundfile.write(tmp_path / "moved" / name, np.zeros(800), 16000)
    for turn in spoken[0].user_turns():
        turn.audio = str(tmp_path / "moved" / CLIP)
    assert len(evaluate_dialogues(tracker, spoken, predictions=path, resume=True)[1]) == 6
    spoken[0].turns[2].audio = str(tmp_path / "moved" / "another.wav")
    with pytest.raises(ManifestError, match=r"turn 2 of dialogue 'a' was heard in .*clip\.wav, not in .*another\.wav"):
        evaluate_dialogues(tracker, spoken, predictions=path, resume=True)


def test_a_scoring_begun_before_hashes_were_kept_goes_on(tracker, spoken, tmp_path):
    path = tmp_path / "predictions.jsonl"
    evaluate_dialogues(tracker, spoken, predictions=path)
    lines = [json.loads(line) for line in path.read_text().splitlines()][:4]
    old = [{key: value for key, value in line.items() if not key.endswith("_hash")} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))
    tracker.asked.clear()
    assert len(evaluate_dialogues(tracker, spoken, predictions=path, resume=True)[1]) == 6 and len(tracker.asked) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"dialogue_id": "café"}\n'.encode("latin-1"), "line 1: not UTF-8 text"),
        ('{"dialogue_id": "a"}\n'.encode("utf-16"), "not UTF-8 text"),
        (b'{"a": [{"response": "", "state": {}}]}', "line 1: no prediction"),  # without an end of line: not a broken-off line
        (b"dialogue,turn\n", "line 1: not valid JSON"),
    ],
)
def test_a_file_of_something_else_is_refused_and_left_as_it_is(tracker, spoken, tmp_path, content, reason):
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(content)
    with pytest.raises(FileError, match=reason):
        evaluate_dialogues(tracker, spoken, predictions=path, resume=True)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("turn_id", "x", "turn_id: "),
        ("state", None, "state: "),
        ("state", {"restaurant": {"food": 3}}, "state-restaurant-food"),
        ("transcript", 3, "transcript: "),
        ("decoding", "x", "decoding: "),
        ("fuzzy", 3, "fuzzy: "),
    ],
)
def test_a_damaged_prediction_to_go_on_from_is_refused_with_line_and_key(tracker, spoken, tmp_path, key, value, reason):
    path = tmp_path / "predictions.jsonl"
    evaluate_dialogues(tracker, spoken, predictions=path)
    first, *others = path.read_text().splitlines(keepends=True)
    path.write_text(first + json.dumps(json.loads(others[0]) | {key: value}) + "\n")
    with pytest.raises(FileError, match=f"line 2: .*{reason}"):
        evaluate_dialogues(tracker, spoken, predictions=path, resume=True)
    path.write_text(first + first)
    with pytest.raises(FileError, match="line 2: turn 0 of dialogue 'a' occurs twice"):
        evaluate_dialogues(tracker, spoken, predictions=path, resume=True)


def test_a_line_separator_within_a_transcript_ends_no_prediction(tracker, spoken, tmp_path):
    path = tmp_path / "predictions.jsonl"
    _, turns = evaluate_dialogues(tracker, spoken, predictions=path)
    path.write_text("".join(replace(turn, transcript="a\u2028b").to_json() + "\n" for turn in turns), encoding="utf-8")
    assert all(turn.transcript == "a\u2028b" for turn in evaluate_dialogues(tracker, spoken, predictions=path, resume=True)[1])


def test_a_turn_that_is_too_long_is_found_before_the_tracking_begins(tracker, spoken, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(121 * 8000), 8000)
    spoken[2].turns[2].audio = str(tmp_path / "long.wav")
    with pytest.raises(AudioError, match=r"long\.wav: a turn is at most 120 s long"):
        evaluate_dialogues(tracker, spoken, predictions=tmp_path / "predictions.jsonl")
    assert not (tmp_path / "predictions.jsonl").exists()
    spoken[2].turns[2].start, spoken[2].turns[2].end = 0.0, 120.0
    assert len(evaluate_dialogues(tracker, spoken)[1]) == 6
