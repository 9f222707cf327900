"""Projects, the sample, ontologies, and whole dialogues in and out."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from db.models import Dialogue, Ontology
from engine.dialogue import DONTCARE, read_manifest
from studio.errors import StudioError
from studio.services import corrections, dialogues, manifests, ontology, projects, training
from studio.workspace import Workspace


def test_the_sample_is_there_once_with_dialogues_to_correct_and_dialogues_held_out(ws: Workspace) -> None:
    sample = projects.seed_sample(ws)
    assert projects.seed_sample(ws) == sample
    rows = dialogues.list_dialogues(ws, sample.id)
    to_correct = [row for row in rows if row.split == "train"]
    held_out = [row for row in rows if row.split == "test"]
    assert (len(to_correct), len(held_out)) == (10, 4)
    assert {row.status for row in to_correct} == {"new"}
    assert all(row.corrected == row.user_turns for row in held_out)
    assert training.preview(ws, sample.id).held_out_turns == sum(row.user_turns for row in held_out)
    assert "restaurant" in ontology.slots(ws, sample.id)


def test_a_project_needs_a_name_of_its_own(ws: Workspace, project: int) -> None:
    with pytest.raises(StudioError, match="choose another name"):
        projects.create_project(ws, "Restaurants")
    with pytest.raises(StudioError, match="needs a name"):
        projects.create_project(ws, " ")


def test_a_project_without_an_ontology_starts_with_the_samples(ws: Workspace) -> None:
    project = projects.create_project(ws, "Mine")
    assert set(ontology.slots(ws, project.id)["restaurant"]) == {"area", "food", "pricerange"}


def test_choices_end_with_dontcare_even_where_nothing_is_known(ws: Workspace, project: int) -> None:
    assert ontology.choices(ws, project, "restaurant", "area") == ["north", "south", DONTCARE]
    assert ontology.choices(ws, project, "restaurant", "name") == [DONTCARE]
    assert ontology.choices(ws, project, "hotel", "stars") == [DONTCARE]


def test_a_new_value_makes_a_new_version_and_a_known_one_does_not(ws: Workspace, project: int) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "d1")
    west, west_again = {"restaurant": {"area": "west"}}, {"restaurant": {"area": " West"}}  # one value in two spellings
    for state in (west, west_again, {"hotel": {"stars": "4"}}):
        with ws.write() as session:
            ontology.remember(session, session.get_one(Dialogue, dialogue.id), state)
    with ws.read() as session:
        versions = [row.values for row in session.query(Ontology).order_by(Ontology.version)]
    assert len(versions) == 3
    assert versions[0]["restaurant"]["area"] == ["north", "south"]
    assert ontology.choices(ws, project, "restaurant", "area") == ["north", "south", "west", DONTCARE]
    assert ontology.choices(ws, project, "hotel", "stars") == ["4", DONTCARE]


def test_what_is_exported_comes_back_the_same(ws: Workspace, project: int, corrected, tmp_path: Path) -> None:
    dialogue = corrected("d1", turns=2)
    dialogues.add_agent_turn(ws, dialogue, text="any area?")
    corrected("d2", split="test")
    manifest = manifests.export_manifest(ws, project, tmp_path / "export")
    other = projects.create_project(ws, "Other")
    assert manifests.import_manifest(ws, other.id, manifest) == 2
    again = manifests.export_manifest(ws, other.id, tmp_path / "again")
    assert again.read_text() == manifest.read_text()
    (audio,) = {turn.audio for turn in read_manifest(manifest)[1].turns}
    assert audio is not None
    assert soundfile.info(audio).frames == 8_000


def test_an_import_cuts_each_turn_out_of_its_recording(
    ws: Workspace, project: int, tmp_path: Path, sound: Callable[..., Path]
) -> None:
    sound(seconds=3, channels=2, name="call.wav")
    turns = [
        {"turn_id": 0, "speaker": "user", "audio": "call.wav", "start": 0.5, "end": 1.5, "channel": 0, "state": {}},
        {"turn_id": 1, "speaker": "agent", "audio": "call.wav", "start": 1.5, "end": 2.0, "channel": 1},
    ]
    (tmp_path / "m.jsonl").write_text(json.dumps({"dialogue_id": "call", "turns": turns}))
    manifests.import_manifest(ws, project, tmp_path / "m.jsonl")
    view = dialogues.get_dialogue(ws, dialogues.list_dialogues(ws, project)[0].id)
    assert [turn.seconds for turn in view.turns] == [1.0, 0.5]
    assert view.turns[0].status == "corrected"
    assert [revision.source for revision in corrections.history(ws, view.turns[0].id)] == ["import"]


@pytest.mark.parametrize(
    "broken", ["no json", '{"dialogue_id": "d", "turns": [{"turn_id": 0, "speaker": "user", "audio": "no.wav"}]}']
)
def test_a_manifest_that_cannot_be_used_changes_nothing(ws: Workspace, project: int, tmp_path: Path, broken) -> None:
    good = '{"dialogue_id": "good", "turns": [{"turn_id": 0, "speaker": "user", "transcript": "hello"}]}'
    (tmp_path / "m.jsonl").write_text(good + "\n" + broken)
    with pytest.raises(StudioError):
        manifests.import_manifest(ws, project, tmp_path / "m.jsonl")
    assert dialogues.list_dialogues(ws, project) == []


def test_a_dialogue_is_imported_once(ws: Workspace, project: int, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"dialogue_id": "d", "turns": [{"turn_id": 0, "speaker": "user"}]}')
    manifests.import_manifest(ws, project, tmp_path / "m.jsonl")
    with pytest.raises(StudioError, match="in the project already"):
        manifests.import_manifest(ws, project, tmp_path / "m.jsonl")


def test_a_recording_that_cannot_be_linked_is_copied_whole_or_not_at_all(
    ws: Workspace, project: int, corrected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    def half(_: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError("the disk is gone")

    corrected()
    monkeypatch.setattr(os, "link", refuse)
    with monkeypatch.context() as broken:
        broken.setattr(shutil, "copyfile", half)
        with pytest.raises(StudioError):
            manifests.export_manifest(ws, project, tmp_path / "export")
    assert list((tmp_path / "export").rglob("*.flac")) == []
    (dialogue,) = read_manifest(manifests.export_manifest(ws, project, tmp_path / "export"))
    assert soundfile.info(dialogue.turns[0].audio).frames == 8_000


def test_there_is_nothing_to_export_from_an_empty_project(ws: Workspace, project: int, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="no dialogue to export"):
        manifests.export_manifest(ws, project, tmp_path / "export")
