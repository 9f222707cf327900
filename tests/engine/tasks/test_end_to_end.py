"""Every task from manifest to scores on tiny models in their real layout: prepare, train two steps, decode, score."""

import json
import math

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from engine.checkpoints import weights_hash
from engine.cli import app
from engine.config import DecodingConfig, PromptConfig, parse_recipe
from engine.data.slots import known_slots
from engine.data.triplets import TripletSettings, with_triplets
from engine.dialogue import Dialogue, Turn, read_manifest, write_manifest
from engine.tasks import TASKS, DataError, IndependentTask
from engine.tracking import Tracker, answer_examples, evaluate_dialogues, evaluate_task
from engine.training import train

SCORES = {
    "asr": ["wer"],
    "ast": ["languages", "de", "chrf"],
    "dst": ["jga"],
    "slot-filling": ["perfect"],
    "sit": ["token_f1"],
    "sqit": ["token_f1"],
}


@pytest.fixture(scope="module")
def talk(dialogues, tmp_path_factory):
    """Two dialogues with labels for every task, written and read back as a manifest."""
    folder = tmp_path_factory.mktemp("talk")
    made = with_triplets(dialogues[:2], known_slots(), TripletSettings(empty=1.0), ["slot-filling", "sit", "sqit"])
    for dialogue in made:
        for turn in dialogue.user_turns():
            turn.translation = {"de": f"auf deutsch: {turn.transcript}"}
    write_manifest(folder / "manifest.jsonl", made)
    return read_manifest(folder / "manifest.jsonl")


@pytest.fixture(scope="module")
def trained(tiny, talk, tmp_path_factory):
    """A checkpoint that two steps of a mix of all tasks gave."""
    stage = {"name": "all", "trainable": ["^connector", "lora_"], "tasks": dict.fromkeys(TASKS, 1.0), "steps": 2, "batch": 6}
    recipe = {
        "name": "tasks",
        "model": {
            "encoder": tiny("whisper"),
            "llm": tiny("llama-3.2"),
            "connector": {"stack": 8, "width": 32, "heads": 2, "ffn": 32, "layers": 1},
            "lora": {"rank": 2},
        },
        "decoding": {"asr": {"beams": 2, "no_repeat_ngram": 2, "length_penalty": 0.5, "max_new_tokens": 8}}
        | {task: {"max_new_tokens": 8} for task in TASKS if task != "asr"},
        "stages": [stage],
    }
    out = tmp_path_factory.mktemp("run")
    assert train(parse_recipe(recipe), talk, out, cache=tmp_path_factory.mktemp("frames"))["status"] == "finished"
    return out


def test_two_steps_of_all_tasks_have_a_loss_each(trained):
    metrics = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert len(metrics) == 2 and all(math.isfinite(step["loss"]) and step["tokens"] > 50 for step in metrics)


@pytest.mark.parametrize("task", TASKS)
def test_a_trained_task_is_decoded_and_scored(trained, talk, task):
    if task == "ast":
        pytest.importorskip("sacrebleu", reason="the extra 'translation' is not installed")
    tracker = Tracker.load(trained / "checkpoint")
    if isinstance(TASKS[task], IndependentTask):
        report, answers = evaluate_task(tracker, talk, task, batch=4)
        expected = [example for dialogue in talk for example in TASKS[task].examples(dialogue, tracker.info.prompt)]
        assert [answer.example for answer in answers] == expected, "answers come in the manifest's order"
    else:
        report, answers = evaluate_dialogues(tracker, talk)
    for key in SCORES[task]:
        report = report[key]
    assert isinstance(report, float) and answers


def test_answers_do_not_depend_on_what_is_decoded_beside_them(trained, talk):
    tracker = Tracker.load(trained / "checkpoint")
    tracker.model.float()
    examples = list(TASKS["slot-filling"].examples(talk[0], tracker.info.prompt))
    together = [answer.text for answer in answer_examples(tracker, examples, batch=8)]
    assert together == [answer_examples(tracker, [example])[0].text for example in examples] and any(together)


def test_decoding_settings_of_a_task_reach_its_answers(trained, talk):
    tracker = Tracker.load(trained / "checkpoint")
    examples = list(TASKS["asr"].examples(talk[0], tracker.info.prompt))[:1]

    def text(**settings):
        tracker.info.decoding["asr"] = DecodingConfig(max_new_tokens=40, **settings)
        return answer_examples(tracker, examples)[0].text

    plain = text()
    assert len({plain, text(no_repeat_ngram=1), text(beams=3)}) == 3
    tracker.info.decoding["asr"] = DecodingConfig(max_new_tokens=3)
    assert plain.startswith(short := answer_examples(tracker, examples)[0].text.rstrip("\ufffd")) and len(short) < len(plain)


def test_a_recogniser_writes_nothing_for_noise_unless_it_has_no_guard(trained, tmp_path):
    soundfile.write(tmp_path / "noise.wav", 0.1 * np.random.default_rng(0).standard_normal(32000), 16000)
    noise = Dialogue("n", [Turn(0, "user", "", str(tmp_path / "noise.wav"), translation={"de": ""})], "test")
    report, answers = evaluate_task(Tracker.load(trained / "checkpoint"), [noise], "asr")
    assert (answers[0].text, answers[0].guarded, report["nonspeech_rate"], report["guarded"]) == ("", True, 0.0, 1)
    open_ear = Tracker.load(trained / "checkpoint", guard=False)
    report, answers = evaluate_task(open_ear, [noise], "asr")
    assert (answers[0].guarded, report["guarded"], report["decoding"]["guard"]) == (False, 0, False)
    translated = answer_examples(open_ear, list(TASKS["ast"].examples(noise, open_ear.info.prompt)))
    assert not translated[0].guarded, "what a translation of nothing is, nobody defined"


def test_how_answers_were_made_stands_in_every_line_and_in_the_report(trained, talk, tmp_path):
    write_manifest(tmp_path / "m.jsonl", talk[:1])
    arguments = (
        "--checkpoint",
        trained / "checkpoint",
        "--manifest",
        tmp_path / "m.jsonl",
        "--predictions",
        tmp_path / "p.jsonl",
    )
    done = run("evaluate", "--task", "asr", *arguments, "--json", "--beams", 1)
    report, line = json.loads(done.stdout.splitlines()[-1]), json.loads((tmp_path / "p.jsonl").read_text().splitlines()[0])
    for made in (report, line):
        assert (made["checkpoint"], made["checkpoint_hash"]) == ("tasks", weights_hash(trained / "checkpoint"))
        assert (made["decoding"]["beams"], made["decoding"]["guard"]) == (1, True)


def test_a_scoring_as_the_studio_starts_it_goes_on_after_an_interruption_and_is_not_overwritten_unasked(trained, talk, tmp_path):
    write_manifest(tmp_path / "m.jsonl", talk[:1])
    predictions = tmp_path / "p.jsonl"
    arguments = ["evaluate", "--checkpoint", trained / "checkpoint", "--manifest", tmp_path / "m.jsonl", "--json"]
    arguments += ["--predictions", predictions]
    assert run(*arguments, "--resume").exit_code == 0, "there is no file yet"
    whole = predictions.read_text()
    assert json.loads(whole.splitlines()[0])["checkpoint_hash"] == weights_hash(trained / "checkpoint")
    predictions.write_text(whole[: len(whole) // 2])
    assert run(*arguments, "--resume").exit_code == 0
    assert len(predictions.read_text().splitlines()) == len(whole.splitlines())
    refused = run(*arguments)
    assert refused.exit_code == 2 and "--overwrite" in refused.output and len(predictions.read_text()) >= len(whole) // 2
    assert run(*arguments, "--overwrite").exit_code == 0


def test_a_manifest_without_the_tasks_labels_is_refused_with_what_it_lacks(trained, dialogues):
    tracker = Tracker.load(trained / "checkpoint")
    with pytest.raises(DataError, match="prepare triplets"):
        evaluate_task(tracker, dialogues, "slot-filling")
    with pytest.raises(DataError, match="dialogue by dialogue"):
        evaluate_task(tracker, dialogues, "dst")


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_triplets_from_states_to_scores_on_the_command_line(trained, dialogues, tmp_path):
    write_manifest(tmp_path / "states.jsonl", dialogues[:1])
    made = tmp_path / "triplets.jsonl"
    assert run("prepare", "triplets", tmp_path / "states.jsonl", "--out", made, "--context", 2, "--empty", 1).exit_code == 0
    predictions = tmp_path / "predictions.jsonl"
    arguments = ("evaluate", "--task", "slot-filling", "--checkpoint", trained / "checkpoint", "--manifest", made)
    done = run(*arguments, "--json", "--predictions", predictions)
    assert done.exit_code == 0 and json.loads(done.stdout.splitlines()[-1])["triplets"] == len(dialogues[0].user_turns())
    first = json.loads(predictions.read_text().splitlines()[0])
    assert first["task"] == "slot-filling" and first["response"] and "answer" in first and first["instruction"]
    assert "out_of_domain" in run(*arguments).stdout
    for option, value, reason in (("--distractors", "0-2", "from 1 on"), ("--task", "dst", "none of")):
        refused = run("prepare", "triplets", tmp_path / "states.jsonl", "--out", made, option, value)
        assert refused.exit_code == 2 and reason in refused.output


def test_a_manifest_gets_what_was_heard_and_trains_with_it(trained, talk, tmp_path):
    write_manifest(tmp_path / "in.jsonl", talk)
    assert (
        run(
            "prepare", "heard", tmp_path / "in.jsonl", "--out", tmp_path / "out.jsonl", "--checkpoint", trained / "checkpoint"
        ).exit_code
        == 0
    )
    got = read_manifest(tmp_path / "out.jsonl")
    assert all(turn.heard is not None for dialogue in got for turn in dialogue.user_turns())
    own = PromptConfig(history_text="own")
    assert len(list(TASKS["dst"].examples(got[0], own))) == len(list(TASKS["dst"].examples(talk[0], PromptConfig())))
