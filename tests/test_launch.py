"""launch.py: what is there is skipped, what is half there is repaired, what people must do is said in one sentence."""

import ast
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def launch(tmp_path):
    """A fresh copy of launch.py in a checkout of its own."""
    for name in ("launch.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    spec = importlib.util.spec_from_file_location("launch", tmp_path / "launch.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def ran(launch, monkeypatch):
    """Record the commands instead of running them; the environment's Python is taken to work once it was made."""
    commands: list[list[str]] = []

    def run_logged(command, show, failure, lock=None):
        commands.append(command[1:4])
        if command[2] == "venv":
            launch.PYTHON.parent.mkdir(parents=True)
            launch.PYTHON.touch()

    monkeypatch.setattr(launch, "run_logged", run_logged)
    monkeypatch.setattr(launch, "works", lambda: launch.PYTHON.exists())
    return commands


MADE = ["-m", "venv"]
PIP = ["-m", "pip", "install"]


def made(commands):
    return [command[:2] for command in commands if command[:2] == MADE]


def test_the_first_start_makes_and_fills_the_environment_and_the_second_does_nothing(launch, ran):
    launch.install()
    assert made(ran) == [MADE]
    assert ran[1:] == [PIP]
    launch.install()
    assert len(ran) == 2
    assert not launch.INSTALLING.exists()


def test_changed_pins_are_installed_into_the_same_environment(launch, ran):
    launch.install()
    with (launch.ROOT / "requirements.lock").open("a") as lock:
        lock.write("new==1.0\n")
    launch.install()
    assert ran[2:] == [PIP]


def test_the_tests_add_their_packages_and_a_later_start_keeps_them(launch, ran):
    launch.install()
    launch.install(("dev",))
    assert ran[2:] == [PIP]
    launch.install()
    assert len(ran) == 3
    assert json.loads(launch.STAMP.read_text())["extras"] == ["dev"]


def test_an_environment_whose_python_is_gone_is_made_anew(launch, ran):
    launch.install()
    launch.PYTHON.unlink()
    launch.install()
    assert len(made(ran)) == 2


def test_an_interrupted_installation_is_made_anew(launch, ran, monkeypatch):
    def killed(project, lock):
        launch.write_durably(launch.INSTALLING, "")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(launch, "pip_install", killed)
        with pytest.raises(KeyboardInterrupt):
            launch.install()
    launch.install()
    assert len(made(ran)) == 2
    assert launch.STAMP.exists()


def test_after_pip_gave_up_the_next_start_goes_on_in_the_same_environment(launch, ran, monkeypatch):
    def no_network(command, show, failure, lock=None):
        if command[2] == "pip":
            raise launch.Stop("no network")
        ran_logged(command, show, failure, lock)

    ran_logged = launch.run_logged
    with monkeypatch.context() as patch:
        patch.setattr(launch, "run_logged", no_network)
        with pytest.raises(launch.Stop):
            launch.install()
    launch.install()
    assert len(made(ran)) == 1
    assert ran[1:] == [PIP]


def test_a_torn_stamp_counts_as_none(launch, ran):
    launch.install()
    launch.STAMP.write_text('{"of": ')
    launch.install()
    assert ran[2:] == [PIP]


def test_a_start_waits_for_the_pip_of_one_that_was_killed(launch, tmp_path):
    """Killing launch.py leaves its pip running: two at work in one environment would spoil it."""
    launch.VENV.mkdir()
    program = (
        "import sys; sys.path.insert(0, '.'); import launch\n"
        "with launch.locked() as lock:\n"
        "    launch.run_logged([sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(1.5)'],\n"
        "                      lambda line: print(line, flush=True), '', lock)\n"
    )
    killed = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE)
    killed.stdout.readline()
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    began = time.monotonic()
    with launch.locked():
        assert time.monotonic() - began > 0.5


def test_the_file_can_be_read_by_a_python_that_is_too_old():
    ast.parse((ROOT / "launch.py").read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 8, 0), (3, 10, 4), (3, 15, 0)])
def test_another_python_is_told_which_one_to_install(launch, monkeypatch, capsys, version):
    monkeypatch.setattr(launch.sys, "version_info", version)
    assert launch.main(["setup"]) == 2
    assert f"runs on Python 3.11 to 3.14, and this is Python 3.{version[1]}: install" in one_sentence(capsys)


def test_a_python_without_venv_is_told_the_package(launch, monkeypatch, capsys):
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: None)
    assert launch.main([]) == 2
    assert "sudo apt install python3" in one_sentence(capsys)


def test_too_small_a_disk_is_noticed_before_anything_is_fetched(launch, ran, monkeypatch, capsys):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(launch.shutil, "disk_usage", lambda path: usage._replace(free=2_100_000_000))
    assert launch.main(["setup"]) == 2
    assert "needs 9 GB and" in (said := one_sentence(capsys))
    assert "2.1 GB free: make room" in said
    assert ran == []


def test_windows_itself_is_refused_before_anything_is_installed(launch, ran, monkeypatch, capsys):
    monkeypatch.setattr(launch.sys, "platform", "win32")
    assert launch.main(["setup"]) == 2
    assert "install WSL 2" in one_sentence(capsys)
    assert ran == []


def test_a_place_that_cannot_be_written_is_named(launch, monkeypatch, capsys):
    monkeypatch.setattr(launch, "LOCK", launch.ROOT / "missing" / "lock")
    assert launch.main(["setup"]) == 2
    assert "missing/lock" in one_sentence(capsys)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (
            "WARNING: Retrying after connection broken by 'NewConnectionError(...)'\n"
            "ERROR: No matching distribution found for torch==2.11.*",
            "The packages cannot be fetched: connect to the network",
        ),
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "The disk is full"),
        ("Collecting x\nERROR: ResolutionImpossible: for help visit x\n", "pip failed (ResolutionImpossible: for"),
    ],
)
def test_a_failing_command_ends_in_one_sentence(launch, output, sentence):
    launch.VENV.mkdir()
    failing = [sys.executable, "-c", f"import sys; print({output!r}); sys.exit(1)"]
    with pytest.raises(launch.Stop) as caught:
        launch.run_logged(failing, lambda line: None, "pip failed")
    assert str(caught.value).startswith(sentence)
    assert "\n" not in str(caught.value)
    assert output in launch.LOG.read_text()


def test_control_c_leaves_no_traceback(launch, monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "install", interrupted)
    assert launch.main([]) == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "handed"),
    [
        ([], ["start"]),
        (["--port", "7000"], ["start", "--port", "7000"]),
        (["setup"], ["setup"]),
    ],
)
def test_arguments_reach_the_studio(launch, monkeypatch, arguments, handed):
    monkeypatch.setattr(launch, "install", lambda: None)
    monkeypatch.setattr(launch.os, "execv", lambda program, command: command)
    assert launch.main(arguments)[1:] == ["-m", "studio.cli", *handed]


def test_a_failed_check_fails_the_tests_and_pytest_still_runs_last(launch, monkeypatch, capfd):
    monkeypatch.setattr(launch, "install", lambda extras: None)
    monkeypatch.setattr(launch, "install_test_programs", lambda: None)
    called = []

    def call(command, **options):
        called.append(command[2])
        return int(command[2] == "mypy")

    monkeypatch.setattr(launch.subprocess, "call", call)
    assert launch.main(["test", "-x"]) == 1
    assert called[1:3] == ["ruff", "mypy"]
    assert called[-1] == "pytest"
    assert "failed before: Types (mypy)" in capfd.readouterr().out


def test_help_installs_nothing(launch, capsys):
    assert launch.main(["--help"]) == 0
    assert "python3 launch.py test" in capsys.readouterr().out


def test_large_downloads_are_named(launch, capsys):
    launch.show_pip_line("  Downloading torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl (530.6 MB)\n")
    launch.show_pip_line("  Downloading rich-15.0.0-py3-none-any.whl (310 kB)\n")
    launch.show_pip_line("Installing collected packages: a, b, c\n")
    assert capsys.readouterr().out == "    torch 2.11.0 (530.6 MB)\n    unpacking and compiling (3 in all)\n"


def one_sentence(capsys) -> str:
    """What was said on standard error, which must be one line."""
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    return said
