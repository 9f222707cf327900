#!/usr/bin/env python3
"""Spoken DST Studio: install and start with nothing but Python.

  python3 launch.py [--port N] [--host ADDRESS] [--home FOLDER]   install what is missing, then open the studio
  python3 launch.py setup                                         install and prepare everything, open nothing
  python3 launch.py test [pytest arguments]                       the same set-up, then all checks and tests

Everything lands in .venv beside this file and in the studio's workspace folder. A second start skips what is there and
needs no network; an interrupted one is repaired. Other commands are passed on: see `python3 launch.py start --help`.
"""

# Standard library only, in a syntax that Python 3.6 can still read: it has to tell people that theirs is too old.

import contextlib
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 14)
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.json"  # what was installed; written last
INSTALLING = VENV / "installing"  # there while the environment may be half made
LOG = VENV / "install.log"
LOCK = ROOT / ".venv.lock"
DISK_GB = 9  # downloads, pip's cache and the unpacked packages

NO_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|name resolution|Max retries|timed out|Connection(Reset|Aborted)|ProxyError"
)
NO_SPACE = re.compile(r"No space left on device|Errno 28|not enough space on the disk")

# Debian package -> programs, any of which shows that it is there; tests that need a missing one skip and say so
TEST_PROGRAMS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome"),
    "espeak-ng": ("espeak-ng",),
    "festival": ("festival",),
    "flite": ("flite",),
}


class Stop(Exception):
    """The start cannot go on; the message is one sentence that says what to do."""


def main(arguments: list) -> int:
    """Run the command line and return its exit code: 2 and one sentence when people have to do something first."""
    try:
        check_system()
        check_python()
        if arguments[:1] in (["-h"], ["--help"]):
            print(__doc__.strip())
            return 0
        if arguments[:1] == ["test"]:
            return test(arguments[1:])
        install()
        return hand_over(arguments if arguments and not arguments[0].startswith("-") else ["start", *arguments])
    except Stop as reason:
        print(reason, file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename or ROOT
        print(f"Cannot use {where} ({error.strerror}): make it writable, make room, and start again.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; the next start puts right what is unfinished.", file=sys.stderr)
        return 130


def say(step: str) -> None:
    """Name the step that begins now."""
    print("==> " + step, flush=True)


def check_system() -> None:
    """Stop on native Windows, where jobs would not outlive the window they were started from."""
    if sys.platform == "win32":
        raise Stop(
            "Spoken DST Studio does not run on Windows itself: install WSL 2 (`wsl --install`) and start launch.py in its Linux."
        )


def check_python() -> None:
    """Stop unless this Python can run the studio and make environments."""
    version = "{}.{}".format(*sys.version_info)
    if not OLDEST <= tuple(sys.version_info[:2]) <= NEWEST:
        raise Stop(
            "Spoken DST Studio runs on Python {}.{} to {}.{}".format(*OLDEST, *NEWEST)
            + f", and this is Python {version}: install one of those and start launch.py with it."
        )
    if not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        raise Stop(
            f"This Python {version} cannot make virtual environments: install its venv package "
            f"(Debian, Ubuntu: `sudo apt install python{version}-venv`) and start again."
        )


# --- the environment --------------------------------------------------------------------------------------------------


def install(extras: tuple = ()) -> None:
    """Make .venv hold what the lock says, the project itself and its `extras`; do nothing if it already does."""
    with locked() as lock:
        stamp = read_stamp()
        if stamp and stamp["of"] == fingerprint() and set(extras) <= set(stamp["extras"]) and works():
            return
        if INSTALLING.exists() or not works():
            make_venv()
        wanted = sorted({*extras, *(stamp["extras"] if stamp else ())})
        pip_install(f".[{','.join(wanted)}]" if wanted else ".", lock)
        write_durably(STAMP, json.dumps({"of": fingerprint(), "extras": wanted}))
        INSTALLING.unlink()


def fingerprint() -> str:
    """What an installation depends on: the pins, and where the checkout lies."""
    pins = (ROOT / "pyproject.toml").read_bytes() + (ROOT / "requirements.lock").read_bytes()
    return hashlib.sha256(pins + str(ROOT).encode()).hexdigest()


def read_stamp():
    """What the last complete installation wrote, or None."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        return stamp if {"of", "extras"} <= set(stamp) else None
    except (OSError, ValueError, TypeError):
        return None


def works() -> bool:
    """Whether the environment's Python starts and finds its packages: not after its base Python was replaced."""
    try:
        found = subprocess.run([str(PYTHON), "-c", "import pip"], capture_output=True)
    except OSError:
        return False
    return found.returncode == 0


def make_venv() -> None:
    """Make a new .venv in place of whatever is there."""
    say(f"Making the Python environment {VENV}")
    if VENV.exists():
        shutil.rmtree(str(VENV))
    free = shutil.disk_usage(str(ROOT)).free / 1e9
    if free < DISK_GB:
        raise Stop(f"The installation needs {DISK_GB} GB and {ROOT} has {free:.1f} GB free: make room and start again.")
    VENV.mkdir()
    write_durably(INSTALLING, "")
    base = getattr(sys, "_base_executable", None) or sys.executable  # sys.executable may have lain in the old .venv
    run_logged([base, "-m", "venv", str(VENV)], lambda line: None, "Python could not make the environment")


def pip_install(project: str, lock) -> None:
    """Install the project, editable, and its dependencies at the locked versions, naming what takes long."""
    first = not STAMP.exists()
    say("Installing the packages" + (" (about 3 GB to fetch: 3 to 15 minutes)" if first else " that changed"))
    write_durably(INSTALLING, "")
    command = [str(PYTHON), "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check"]
    command += ["-c", str(ROOT / "requirements.lock"), "-e", project]
    try:
        run_logged(command, show_pip_line, "pip could not install the packages", lock)
    except Stop:
        INSTALLING.unlink()  # pip gave up by itself and has tidied up, unlike when it is killed
        raise


def show_pip_line(line: str) -> None:
    """Show the large downloads and the unpacking."""
    fetched = re.match(r"\s*(?:Downloading|Using cached) ([^/\s]+?)-(\d[^-\s]*)\S* \(([\d.]+) (MB|GB)\)", line)
    if fetched and (fetched.group(4) == "GB" or float(fetched.group(3)) >= 10):
        print("    {} {} ({} {})".format(*fetched.groups()), flush=True)
    elif line.startswith("Installing collected packages:"):
        print(f"    unpacking and compiling ({line.count(',') + 1} in all)", flush=True)


def run_logged(command: list, show, failure: str, lock=None) -> None:
    """Run a command with its output to LOG and line by line to `show`; raise Stop with the reason if it fails."""
    temporary = VENV / "tmp"  # pip puts gigabytes here: on the disk that was checked, not in a small /tmp
    temporary.mkdir(exist_ok=True)
    environment = dict(os.environ, PYTHONUNBUFFERED="1", TMPDIR=str(temporary))
    # The command holds the lock too: if this process is killed, the next start waits for its end
    shared = (lock.fileno(),) if lock else ()
    output = []
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=str(ROOT), env=environment, pass_fds=shared
    )
    with process, LOG.open("a", encoding="utf-8") as log:
        for raw in process.stdout or ():
            line = raw.decode("utf-8", "replace")
            output.append(line)
            log.write(line)
            show(line)
    shutil.rmtree(str(temporary), ignore_errors=True)
    if process.returncode:
        raise Stop(explain("".join(output), failure))


def explain(output: str, failure: str) -> str:
    """Why a command with this output failed, and what to do, in one sentence."""
    if NO_SPACE.search(output):
        return f"The disk is full: make room (the installation needs {DISK_GB} GB) and start again."
    if NO_NETWORK.search(output):
        return "The packages cannot be fetched: connect to the network (or tell pip your proxy) and start again."
    lines = output.strip().splitlines() or ["no output"]
    reason = [line for line in lines if line.startswith("ERROR: ")][-1:] or lines[-1:]
    return f"{failure} ({reason[0].replace('ERROR: ', '')}): see {LOG}, correct the cause and start again."


@contextlib.contextmanager
def locked():
    """Hold the checkout's installation lock, which a dying process lets go of by itself; yields its open file."""
    with LOCK.open("w") as handle:
        if not try_lock(handle):
            say("Another start is installing: waiting for it")
            while not try_lock(handle):
                time.sleep(0.5)
        yield handle


def try_lock(handle) -> bool:
    """Take an exclusive lock on an open file, unless another process holds it."""
    import fcntl  # here: without it, as on Windows, this file still has to say what is missing

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def write_durably(path: Path, text: str) -> None:
    """Write a small file so that a crash leaves it whole or absent."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(str(partial), str(path))


# --- after the installation -------------------------------------------------------------------------------------------


def hand_over(arguments: list) -> int:
    """Go on as the studio's command line in the environment."""
    command = [str(PYTHON), "-m", "studio.cli", *arguments]
    sys.stdout.flush()
    return os.execv(command[0], command)


def test(arguments: list) -> int:
    """Set up, run every check and then the tests, whose closing line comes last; return 0 only if all passed.

    Without arguments the tests run three at a time: many of them wait for processes they start, so that two cores are busy.
    """
    install(("dev",))
    install_test_programs()
    checks = [
        ("Preparing the workspace", ["-m", "studio.cli", "setup"]),
        ("Style (ruff)", ["-m", "ruff", "check", "."]),
        ("Types (mypy)", ["-m", "mypy"]),
        ("Import directions (import-linter)", ["-c", "from importlinter.cli import lint_imports_command as c; c()"]),
    ]
    failed = []
    for name, command in checks:
        say(name)
        if subprocess.call([str(PYTHON), *command], cwd=str(ROOT)):
            failed.append(name)
    say("Tests (pytest)" + ("; failed before: " + ", ".join(failed) if failed else ""))
    environment = dict(os.environ)
    if not arguments:
        # in the order of their folders: the browser's files, which take longest, come first, and none is left for the end
        arguments = ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder"]
        environment.setdefault("OMP_NUM_THREADS", "1")  # torch's threads of all would wait for each other
    return subprocess.call([str(PYTHON), "-m", "pytest", *arguments], cwd=str(ROOT), env=environment) or int(bool(failed))


def install_test_programs() -> None:
    """Install the programs that only tests need, where that is possible without asking for a password."""
    missing = missing_test_programs()
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        say("Installing programs for the tests: " + ", ".join(missing))
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.call(["apt-get", "update", "-q"])
        subprocess.call(["apt-get", "install", "-y", "-q", *missing], env=quiet)
        missing = missing_test_programs()
    if missing:
        say(f"Not installed: {', '.join(missing)}; the tests that need them are skipped")


def missing_test_programs() -> list:
    """The Debian packages of TEST_PROGRAMS none of whose programs is there."""
    return [name for name, programs in TEST_PROGRAMS.items() if not any(map(shutil.which, programs))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
