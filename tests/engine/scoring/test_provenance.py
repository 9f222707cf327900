"""A score is of one system and of the recordings it heard."""

import json

import pytest
from typer.testing import CliRunner

from engine.cli import app

MADE = {"checkpoint": "demo", "checkpoint_hash": "1a", "history": "own", "speakers": "user", "decoding": {"beams": 2}}


@pytest.fixture
def score(tmp_path):
    """Score two turns, of which the manifest and the predictions say something more."""

    def _score(first, second, *arguments, gold=None):
        turns = [{"turn_id": n, "speaker": "user", "transcript": "x", "state": {}} | (gold or {}) for n in (0, 1)]
        (tmp_path / "m.jsonl").write_text(json.dumps({"dialogue_id": "d", "turns": turns}) + "\n")
        lines = [{"dialogue_id": "d", "turn_id": n, "transcript": "x", "state": {}} for n in (0, 1)]
        both = zip(lines, (first, second), strict=True)
        (tmp_path / "p.jsonl").write_text("".join(json.dumps(line | more) + "\n" for line, more in both))
        files = ["--reference", str(tmp_path / "m.jsonl"), "--predictions", str(tmp_path / "p.jsonl")]
        return CliRunner().invoke(app, ["score", *files, *arguments])

    return _score


def test_how_the_predictions_were_made_stands_beside_the_scores(score, tmp_path):
    assert json.loads(score(MADE, MADE, "--json").stdout)["made"] == MADE
    assert "made with checkpoint demo (1a), history own, speakers user, beams 2" in score(MADE, MADE).stdout
    found = json.loads(score(MADE, MADE, "--json", "--compare", str(tmp_path / "p.jsonl")).stdout)
    assert found["comparison"]["baseline_made"] == MADE
    assert json.loads(score({}, {}, "--json").stdout)["made"] == {} and "made with" not in score({}, {}).stdout


def test_a_history_of_the_references_words_is_marked(score):
    assert "history oracle (an upper bound" in score({"history": "oracle"}, {"history": "oracle"}).stdout


@pytest.mark.parametrize("key", ["checkpoint", "checkpoint_hash", "history", "decoding"])
def test_a_file_of_two_systems_is_refused(score, key, tmp_path):
    other = {"beams": 1} if key == "decoding" else "other"
    done = score(MADE, MADE | {key: other})
    assert done.exit_code == 2 and f"p.jsonl, line 2: made with {key} {other!r}, lines before it" in " ".join(done.stderr.split())
    unknown = {name: value for name, value in MADE.items() if name != key}
    assert score(unknown, MADE).exit_code == 0, "lines of before the key was kept"
    assert score(MADE, {}, "--compare", str(tmp_path / "p.jsonl")).exit_code == 0


def test_predictions_of_other_recordings_are_refused(score):
    heard = {"audio": "/there/000-seen.flac", "start": None, "end": None, "channel": None}
    assert score(heard, heard, gold={"audio": "here/000-seen.flac"}).exit_code == 0
    assert score(heard, heard).exit_code == 0, "the reference names no audio"
    done = score(heard, heard, gold={"audio": "here/000-unseen.flac"})
    assert done.exit_code == 2 and "heard in 000-seen.flac, while the reference's turn is 000-unseen.flac" in done.stderr
    done = score(heard | {"start": 1.0, "end": 2.0}, heard, gold={"audio": "000-seen.flac", "start": 1.0, "end": 2.5})
    assert "heard in 000-seen.flac from 1.0 to 2.0 s" in " ".join(done.stderr.split())
