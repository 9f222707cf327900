"""A workspace of its own for every test, recordings to put into it, and an engine that only pretends."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from alembic import command
from argon2 import PasswordHasher
from sqlalchemy import Connection

from db.engine import alembic_config, connect, migrate
from db.models import Snapshot
from engine.dialogue import Ontology
from studio.services import checkpoints, corrections, dialogues, double, people, projects, training, understanding
from studio.services.training import JobView
from studio.workspace import DATABASE, Workspace, attach, open_workspace

ONTOLOGY = Ontology({"restaurant": {"area": ["north", "south"], "food": ["chinese", "thai"], "name": []}})
FAKE_ENGINE = Path(__file__).parent / "fake_engine.py"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What touches the database runs on each kind, unless it says otherwise; pages reach it through services only."""
    if "ws" in metafunc.fixturenames:
        chosen = metafunc.definition.get_closest_marker("databases")
        kinds = ("sqlite",) if metafunc.definition.path.parent.name == "pages" else ("sqlite", "postgresql")
        metafunc.parametrize("ws", chosen.args if chosen else kinds, indirect=True)


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite database of today's form: copying it takes a fraction of migrating a new one."""
    file = tmp_path_factory.mktemp("migrated") / "studio.db"
    engine = connect(f"sqlite:///{file}")
    migrate(engine)
    engine.dispose()
    return file


@pytest.fixture
def ws(request: pytest.FixtureRequest, tmp_path: Path, migrated: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """An empty workspace."""
    home = tmp_path / "workspace"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql")
        monkeypatch.setenv(DATABASE, server.new(server.template))
    else:
        home.mkdir()
        shutil.copy(migrated, home)
    ws = open_workspace(home)
    yield ws
    ws.database.dispose()


@pytest.fixture
def project(ws: Workspace) -> int:
    return projects.create_project(ws, "Restaurants", ONTOLOGY).id


@pytest.fixture
def sound(tmp_path: Path) -> Callable[..., Path]:
    """Make a recording; another ``seed`` is another sound."""

    def make(seed: int = 0, seconds: float = 0.5, rate: int = 16_000, channels: int = 1, name: str = "") -> Path:
        path = tmp_path / (name or f"sound-{seed}.wav")
        samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * rate), channels))
        soundfile.write(path, samples, rate, subtype="PCM_16")
        return path

    return make


@contextmanager
def older(home: Path, revision: str) -> Iterator[Connection]:
    """A workspace as the program left it whose newest migration was ``revision``: its database, to be filled."""
    home.mkdir()
    config = alembic_config()
    with attach(home).database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        yield connection


@pytest.fixture
def corrected(ws: Workspace, project: int, sound: Callable[..., Path]) -> Callable[..., int]:
    """Make a dialogue of ``turns`` user turns, each corrected; its id comes back."""

    def make(name: str = "d1", turns: int = 1, split: dialogues.Split = "train") -> int:
        dialogue = dialogues.create_dialogue(ws, project, name, split)
        for number in range(turns):
            turn = dialogues.add_user_turn(ws, dialogue.id, sound(sum(name.encode()) * 100 + number))
            turn = corrections.save_transcript(ws, turn.id, f"turn {number} of {name}", "anna", None)
            corrections.save_slot(ws, turn.id, "restaurant", "area", "north", "anna", None)
        return dialogue.id

    return make


@pytest.fixture
def note_run(ws: Workspace, project: int) -> Callable[[list[str], list[str]], None]:
    """Make it as if a run had been trained on the dialogues of some names and scored on others."""

    def note(trained: list[str], scored: list[str]) -> None:
        with ws.write() as session:
            names = {"dialogues": trained, "held_out": scored}
            session.add(Snapshot(project_id=project, ontology_id=1, sha256="0" * 64, path="runs/1", **names))

    return note


@pytest.fixture
def team(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """People of every kind, whose passwords are hashed in a hurry."""
    monkeypatch.setattr(people, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    roles = {"ada": "admin", "tom": "trainer", "rita": "reviewer", "ben": "annotator", "cleo": "annotator", "dan": "annotator"}
    for name, role in roles.items():
        people.add_user(ws, name, "correct horse", role)


@dataclass
class FakeTracker:
    """Hears ``heard`` and understands ``understood``, and remembers what it was asked."""

    heard: str = "a place in the north"
    understood: dict | None = None
    valid: bool = True
    sure: float | None = None  # of the words
    read: str | None = None  # what its CTC head reads
    on_words: dict[str, dict] = field(default_factory=dict)  # what it understands when it is told these words
    asked: list[SimpleNamespace] = field(default_factory=list)
    loaded: list[Path] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)

    def turns(self, requests: list) -> list[SimpleNamespace]:
        return [self.turn(r.audio, r.history, r.previous, r.transcript, r.pinned) for r in requests]

    def turn(self, audio: str, history: list, previous: dict, transcript=None, pinned=None) -> SimpleNamespace:
        told = {"transcript": transcript, "pinned": pinned}
        self.asked.append(SimpleNamespace(audio=audio, history=list(history), previous=previous, **told))
        state = previous if self.understood is None else self.understood
        if transcript in self.on_words:
            state = self.on_words[transcript]
        for domain, slots in (pinned or {}).items():
            state = state | {domain: {slot: v for slot, v in (state.get(domain, {}) | slots).items() if v is not None}}
        confidence = {domain: dict.fromkeys(slots, 0.9) for domain, slots in state.items()}
        return SimpleNamespace(
            transcript=self.heard if transcript is None else transcript,
            state=state,
            confidence=confidence,
            raw="{...}",
            valid=self.valid,
            seconds=0.01,
            transcript_confidence=self.sure if transcript is None else None,
            ctc_transcript=self.read if transcript is None else None,
        )


@pytest.fixture
def tracker(monkeypatch: pytest.MonkeyPatch) -> FakeTracker:
    """The tracker every checkpoint loads as."""
    from engine import tracking
    from studio.services import trackers

    fake = FakeTracker(understood={"restaurant": {"area": "north"}})

    def load(folder: Path, device: str = "auto") -> FakeTracker:
        fake.loaded.append(folder)
        fake.devices.append(device)
        return fake

    monkeypatch.setattr(tracking.Tracker, "load", load)
    for name in ("_answering", "_next"):
        monkeypatch.setattr(trackers, name, None)
    monkeypatch.setattr(trackers, "_device", "auto")
    return fake


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many bytes were read since it was asked last."""
    counted = 0
    real = Path.open

    def counting(path: Path, *arguments, **options):
        file = real(path, *arguments, **options)
        plain = file.read

        class Counting:
            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

            def seek(self, place):
                file.seek(place)

            def read(self, size=-1):
                nonlocal counted
                found = plain(size)
                counted += len(found)
                return found

        return Counting()

    def since() -> int:
        nonlocal counted
        number, counted = counted, 0
        return number

    monkeypatch.setattr(Path, "open", counting)
    return since


@pytest.fixture
def fake_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Jobs call ``fake_engine.py``; the demo checkpoint has files whether or not one is in the package."""
    monkeypatch.setenv("DST_STUDIO_ENGINE", f"{sys.executable} {FAKE_ENGINE}")
    monkeypatch.setattr(checkpoints, "missing_files", lambda folder: [])


@pytest.fixture
def start(ws: Workspace, project: int, corrected, monkeypatch: pytest.MonkeyPatch) -> Callable[..., JobView]:
    """Start a fine-tune of ``steps`` steps on one corrected dialogue; one more is held out."""
    corrected("train", turns=2)
    corrected("held out", split="test")

    def begin(steps: int = 5, **environment: str) -> JobView:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        overrides = ["align.steps=1", "stage1.steps=1", f"stage2.steps={steps - 2}"]
        return training.start_job(ws, project, checkpoints.in_use(ws).id, "demo", overrides)

    return begin


@pytest.fixture
def twice(ws: Workspace, project: int, sound: Callable[..., Path], team: None, tracker: FakeTracker) -> list[dialogues.TurnView]:
    """The two understood user turns of a dialogue that two people annotate; the agent said hello before."""
    dialogue = dialogues.create_dialogue(ws, project, "twice")
    dialogues.add_agent_turn(ws, dialogue.id, "hello")
    for seed in range(2):
        dialogues.add_user_turn(ws, dialogue.id, sound(seed))
    understanding.predict_dialogue(ws, dialogue.id)
    double.set_share(ws, project, 1.0, "rita")
    return list(dialogues.get_dialogue(ws, dialogue.id).turns[1:])


@pytest.fixture
def annotate(ws: Workspace) -> Callable[..., dialogues.TurnView]:
    """Give a restaurant's slot of a turn a value, as somebody."""

    def save(turn: dialogues.TurnView, author: str, slot: str, value: str) -> dialogues.TurnView:
        layer = double.layer_of_turn(ws, turn.id, author)
        head = dialogues.get_turn(ws, turn.id, layer).state_head
        return corrections.save_slot(ws, turn.id, "restaurant", slot, value, author, head, layer=layer)

    return save
