"""Dialogues in and out: what would happen, what happens, and that what comes back is what went out."""

import csv
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import soundfile
from typer.testing import CliRunner

from db.models import Dialogue as DialogueRow
from engine.data.readers import corpora, corpus_named
from engine.data.writers import layouts
from engine.dialogue import Dialogue, Turn, read_manifest, write_manifest
from studio import cli
from studio.errors import StudioError
from studio.services import corrections, dialogues, exchange, exports, imports, ontology, projects
from studio.services.exports import Selection
from studio.workspace import Workspace

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_corpora = pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora (../shared/data) are not here")
ALL = Selection(splits=("train", "dev", "test"))
EXAMPLE = exchange.EXAMPLES / "manifest" / "manifest.jsonl"


def bring(ws: Workspace, project: int, path: Path, name: str = "manifest", rename: bool = False, **options) -> int:
    with exchange.opened(ws, path, name, **options) as source:
        return imports.carry_out(ws, project, imports.plan(ws, project, source, rename))


def planned(ws: Workspace, project: int, path: Path, name: str = "manifest", rename: bool = False) -> dict:
    with exchange.opened(ws, path, name) as source:
        return imports.plan(ws, project, source, rename).to_json()


def written(folder: Path, *dialogues_: Dialogue) -> Path:
    write_manifest(folder / "m.jsonl", dialogues_)
    return folder / "m.jsonl"


def said(name: str, *texts: str, split: str = "train", area: str = "north") -> Dialogue:
    turns = [Turn(i, "user", text, state={"restaurant": {"area": area}}) for i, text in enumerate(texts)]
    return Dialogue(name, turns, split)


def names(ws: Workspace, project: int) -> list[str]:
    return sorted(row.name for row in dialogues.list_dialogues(ws, project))


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; of an archive what is in it, of revisions all but the time."""
    found: dict[str, bytes] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                found |= {f"{name}/{member}": archive.read(member) for member in archive.namelist()}
        elif path.name == "revisions.csv":
            with path.open(newline="") as file:
                rows = [{key: value for key, value in row.items() if key != "created"} for row in csv.DictReader(file)]
            found[name] = json.dumps(rows).encode()
        else:
            found[name] = path.read_bytes()
    return found


@pytest.mark.parametrize("name", exchange.export_formats())
def test_the_example_of_each_format_is_what_is_written(ws: Workspace, project: int, name: str, tmp_path: Path) -> None:
    assert bring(ws, project, EXAMPLE) == 2
    exports.export(ws, project, tmp_path / "out", name)
    assert files(tmp_path / "out") == files(exchange.EXAMPLES / name)
    assert exchange.example(name)


# SpokenWOZ holds recorded turns alone, and the example has typed ones too
@pytest.mark.parametrize("name", [name for name in layouts() if name in corpora() and name != "spokenwoz"])
def test_the_example_of_each_format_comes_in_and_goes_out_the_same(
    ws: Workspace, project: int, name: str, tmp_path: Path
) -> None:
    assert bring(ws, project, exchange.EXAMPLES / name, name) == 2
    exports.export(ws, project, tmp_path / "out", name)
    assert files(tmp_path / "out") == files(exchange.EXAMPLES / name)


def real(name: str, tmp_path: Path) -> tuple[Path, list[str]]:
    """A folder with real files of a corpus, and the splits to read."""
    if name == "multiwoz22":
        (tmp_path / "original" / "dev").mkdir(parents=True)
        shutil.copy(SHARED / "multiwoz" / "multiwoz22_original_examples.json", tmp_path / "original/dev/dialogues_001.json")
        return tmp_path / "original", ["dev"]
    return SHARED / name, {"multiwoz": ["dev"], "dstc11": ["test"], "sgd": ["dev"]}.get(name, [])


@needs_corpora
@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("name", ["multiwoz", "multiwoz22", "sgd", "woz20", "dstc11"])
def test_real_dialogues_go_through_the_studio_and_come_out_as_they_were(
    ws: Workspace, project: int, name: str, tmp_path: Path
) -> None:
    folder, splits = real(name, tmp_path)
    with exchange.opened(ws, folder, name, splits) as source:
        some = replace(source, dialogues=source.dialogues[:: max(1, len(source.dialogues) // 60)])
        imports.carry_out(ws, project, imports.plan(ws, project, some))
    exports.export(ws, project, tmp_path / "out", name, ALL)
    back = [
        d for split in {d.split for d in some.dialogues} for d in corpus_named(name).read(tmp_path / "out", split, tmp_path)[0]
    ]
    wanted = {tuple((t.turn_id, t.speaker, t.transcript, json.dumps(t.state)) for t in d.turns) for d in some.dialogues}
    assert {tuple((t.turn_id, t.speaker, t.transcript, json.dumps(t.state)) for t in d.turns) for d in back} == wanted
    exports.export(ws, project, tmp_path / "manifest", selection=ALL)
    kept = [replace(d, turns=[replace(t, heard=None) for t in d.turns]) for d in some.dialogues]
    assert read_manifest(tmp_path / "manifest" / "manifest.jsonl") == kept


@needs_corpora
def test_a_real_spoken_dialogue_comes_in_with_its_sound(ws: Workspace, project: int, tmp_path: Path) -> None:
    assert bring(ws, project, SHARED / "spokenwoz", "spokenwoz", splits=["train"]) > 0
    exports.export(ws, project, tmp_path / "out")
    for name in ("table", "audiofolder", "spokenwoz"):
        exports.export(ws, project, tmp_path / name, name)
    manifest = tmp_path / "out" / "manifest.jsonl"
    spoken = [turn for dialogue in read_manifest(manifest) for turn in dialogue.turns if turn.audio]
    assert len(spoken) > 50
    assert planned(ws, project, manifest)["new"] == 0  # known again by its sound, though it has other files now
    assert planned(ws, project, tmp_path / "table", "table")["new"] == 0
    assert planned(ws, project, tmp_path / "spokenwoz", "spokenwoz")["new"] == 0
    assert bring(ws, project, exchange.EXAMPLES / "spokenwoz", "spokenwoz") == 1


def test_a_dry_run_says_what_would_happen_and_changes_nothing(ws: Workspace, project: int, tmp_path: Path) -> None:
    bring(ws, project, written(tmp_path, said("a", "hello"), said("b", "bye")))
    path = written(tmp_path, said("a", "hello"), said("b", "other"), said("c", "bye"), said("d", "new", "one", area="west"))
    found = planned(ws, project, path)
    assert (found["dialogues"], found["turns"], found["new"]) == (4, 5, 1)
    assert found["already_there"] == {"a": "a", "c": "b"}
    assert found["same_name_other_content"] == ["b"]
    assert found["ontology_additions"] == {"restaurant": {"area": ["west"]}}
    assert names(ws, project) == ["a", "b"]
    assert ontology.choices(ws, project, "restaurant", "area") == ["north", "south", "dontcare"]


def test_another_dialogues_name_is_refused_with_both_named_or_renamed(ws: Workspace, project: int, tmp_path: Path) -> None:
    bring(ws, project, written(tmp_path, said("a", "hello")))
    path = written(tmp_path, said("a", "other"), said("fresh", "words"))
    with pytest.raises(StudioError, match="other content: 'a'; rename"):
        bring(ws, project, path)
    assert names(ws, project) == ["a"]
    assert bring(ws, project, path, rename=True) == 2
    assert names(ws, project) == ["a", "a (2)", "fresh"]
    assert bring(ws, project, path, rename=True) == 0


def test_what_was_held_out_stays_so_under_another_name(ws: Workspace, project: int, tmp_path: Path) -> None:
    bring(ws, project, written(tmp_path, said("a", "hello", split="test")))
    bring(ws, project, written(tmp_path, said("a", "hello there")), rename=True)
    assert {row.split for row in dialogues.list_dialogues(ws, project)} == {"test"}
    bring(ws, project, written(tmp_path, said("b", "hello")))  # the same content for training: left out
    assert names(ws, project) == ["a", "a (2)"]


def test_a_corpus_own_repetitions_all_come_in(ws: Workspace, project: int, tmp_path: Path) -> None:
    path = written(tmp_path, said("a", "yes"), said("b", "yes"))
    assert (bring(ws, project, path), bring(ws, project, path)) == (2, 0)


def test_what_was_corrected_here_and_exported_is_known_again(ws: Workspace, project: int, corrected, tmp_path: Path) -> None:
    corrected("d1", turns=2)
    exports.export(ws, project, tmp_path / "out")
    assert planned(ws, project, tmp_path / "out")["already_there"] == {"d1": "d1"}


def test_slots_of_every_split_but_values_of_the_training_split_reach_the_ontology(
    ws: Workspace, project: int, tmp_path: Path
) -> None:
    seen, held_out = said("a", "x", area="west"), said("b", "y", split="test", area="east")
    held_out.turns[0].state = {"restaurant": {"area": "east"}, "hotel": {"stars": "4"}}
    bring(ws, project, written(tmp_path, seen, held_out))
    known = ontology.get_ontology(ws, project)
    assert known.built_from == "train"
    assert known.values["restaurant"]["area"] == ["north", "south", "west"]
    assert known.values["hotel"] == {"stars": []}


@pytest.mark.parametrize("name", ["manifest", "sgd"])
def test_an_archive_is_read_like_the_folder_it_holds(ws: Workspace, project: int, name: str, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "packed"), "zip", exchange.EXAMPLES, name)
    assert bring(ws, project, tmp_path / "packed.zip", name) == 2
    assert list(ws.path("tmp").glob("import-*")) == []


@pytest.mark.parametrize(
    ("name", "file", "text", "complaint"),
    [
        ("manifest", "m.jsonl", '{"dialogue_id": "d", "turns": [{"turn_id": 0}]}', r"m.jsonl, line 1: the key 'speaker'"),
        ("table", "turns.csv", "dialogue_id,turn_id,speaker\nd,0,nobody\n", r"turns.csv, row 2: .*'nobody'"),
        ("woz20", "woz_train_en.json", '[{"dialogue_idx": 1}]', r"woz_train_en.json, dialogue 1: .*'dialogue' is missing"),
        ("manifest", "m.zip", "no archive", r"m.zip cannot be unpacked"),
        ("nonsense", "m.jsonl", "", "no format 'nonsense'"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_line_and_reason(
    ws: Workspace, project: int, tmp_path: Path, name: str, file: str, text: str, complaint: str
) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(StudioError, match=complaint):
        bring(ws, project, tmp_path / file, name)
    assert names(ws, project) == []


def test_recordings_that_cannot_be_used_are_named_and_nothing_comes_in(ws: Workspace, project: int, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    spoken = Dialogue("call", [Turn(0, "user", "hello", "broken.wav"), Turn(1, "user", "bye", "missing.wav")])
    with pytest.raises(StudioError, match=r"2 recordings cannot be used: dialogue call, turn 0: broken.wav.*missing.wav"):
        bring(ws, project, written(tmp_path, said("good", "x"), spoken))
    assert names(ws, project) == []


def test_a_recording_of_a_corpus_that_is_too_long_for_a_turn_costs_its_sound_and_is_told(
    ws: Workspace, project: int, tmp_path: Path, sound: Callable[..., Path]
) -> None:
    sound(seconds=121, rate=800, name="long.wav")
    (tmp_path / "turns.csv").write_text("dialogue_id,turn_id,speaker,transcript,audio\nd,0,user,hello,long.wav\n")
    found = planned(ws, project, tmp_path / "turns.csv", "table")
    (finding,) = found["findings"]
    assert (found["new"], found["turns_with_audio"]) == (1, 0)
    assert finding.startswith("dropped 1: sound of a turn (dialogue d, turn 0: long.wav: 121 s of audio is longer than 120 s")


def test_an_upload_names_no_other_recording_of_the_machine(
    ws: Workspace, project: int, tmp_path: Path, sound: Callable[..., Path]
) -> None:
    outside, upload = sound(name="secret.wav"), tmp_path / "upload"
    path = written(upload, Dialogue("spy", [Turn(0, "user", "hello", str(outside))]))
    with pytest.raises(StudioError, match="turn 0 names a recording that was not uploaded"):
        bring(ws, project, path, confined=True)
    shutil.make_archive(str(tmp_path / "whole"), "zip", exchange.EXAMPLES / "manifest")
    assert bring(ws, project, tmp_path / "whole.zip", confined=True) == 2


def test_an_import_cuts_each_turn_out_of_its_recording(
    ws: Workspace, project: int, tmp_path: Path, sound: Callable[..., Path]
) -> None:
    call = str(sound(seconds=3, channels=2, name="call.wav"))
    turns = [Turn(0, "user", None, call, 0.5, 1.5, 0, {}), Turn(1, "agent", None, call, 1.5, 2.0, 1)]
    bring(ws, project, written(tmp_path, Dialogue("call", turns)))
    view = dialogues.get_dialogue(ws, dialogues.list_dialogues(ws, project)[0].id)
    assert [turn.seconds for turn in view.turns] == [1.0, 0.5]
    assert view.turns[0].status == "corrected"
    assert [revision.source for revision in corrections.history(ws, view.turns[0].id)] == ["import"]


def test_held_out_dialogues_only_go_out_when_their_split_is_named(ws: Workspace, project: int, corrected, tmp_path: Path) -> None:
    corrected("learn")
    corrected("measure", split="test")
    for name in exchange.export_formats():
        if name != "woz20":
            done = exports.export(ws, project, tmp_path / name, name, Selection(names=("learn", "measure")))
            assert (done.dialogues, done.held_out) == (1, 1)
            assert not [path for path, data in files(tmp_path / name).items() if b"measure" in data or "measure" in path]
    with pytest.raises(StudioError, match="name the split test"):
        exports.export(ws, project, tmp_path / "none", selection=Selection(names=("measure",)))
    assert exports.export(ws, project, tmp_path / "all", selection=ALL).dialogues == 2


def test_dialogues_are_chosen_by_status_words_and_name(ws: Workspace, project: int, corrected, tmp_path: Path) -> None:
    corrected("done", turns=2)
    half = corrected("half")
    dialogues.create_dialogue(ws, project, "empty")
    open_turn = dialogues.add_agent_turn(ws, half, text="a needle in the hay")
    with ws.write() as session:
        row = session.get_one(DialogueRow, half)
        row.turns[0].status = "predicted"
    assert open_turn.transcript

    def chosen(**wanted) -> list[str]:
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        exports.export(ws, project, tmp_path / "out", selection=Selection(**wanted))
        return [dialogue.dialogue_id for dialogue in read_manifest(tmp_path / "out" / "manifest.jsonl")]

    assert chosen() == ["done", "half", "empty"]
    assert chosen(status="corrected") == ["done"]
    assert chosen(text="Needle") == ["half"]
    assert chosen(text="north") == ["done", "half"]
    assert chosen(names=("empty",)) == ["empty"]
    for wanted, complaint in (({"status": "final"}, "no dialogue to export"), ({"names": ("x",)}, "no dialogue 'x'")):
        with pytest.raises(StudioError, match=complaint):
            chosen(**wanted)


def test_revisions_are_listed_with_author_source_and_both_values(ws: Workspace, project: int, corrected, tmp_path: Path) -> None:
    corrected("d1")
    exports.export(ws, project, tmp_path, "revisions")
    with (tmp_path / "revisions.csv").open(newline="") as file:
        words, state = csv.DictReader(file)
    assert (words["author"], words["kind"], words["old"], words["new"]) == ("anna", "transcript", "", "turn 0 of d1")
    assert json.loads(state["new"]) == {"restaurant": {"area": "north"}}
    assert state["source"] == "user"


def test_an_archive_of_an_export_holds_it_and_leaves_no_folder(ws: Workspace, project: int, corrected, tmp_path: Path) -> None:
    corrected("d1")
    archive, done = exports.export_archive(ws, project, tmp_path / "d" / "out.zip")
    assert done.dialogues == 1
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["out.zip"]
    assert bring(ws, projects.create_project(ws, "Other").id, archive) == 1


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
            exports.export(ws, project, tmp_path / "export")
    assert list((tmp_path / "export").rglob("*.flac")) == []
    (dialogue,) = read_manifest(exports.export(ws, project, tmp_path / "export").folder / "manifest.jsonl")
    assert soundfile.info(dialogue.turns[0].audio).frames == 8_000


def test_there_is_nothing_to_export_from_an_empty_project(ws: Workspace, project: int, tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="no dialogue to export"):
        exports.export(ws, project, tmp_path / "export")


def test_the_command_line_shows_what_would_happen_then_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DST_STUDIO_HOME", str(tmp_path / "home"))

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(cli.app, arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    woz = ("import", "woz20", str(exchange.EXAMPLES / "woz20"), "--project", "Mine")
    assert json.loads(call(*woz, "--dry-run", "--json"))["splits"] == {"train": 1, "dev": 1}
    assert "New: 2 dialogues" in call(*woz, "--dry-run")
    assert "2 dialogues imported" in call(*woz)
    assert "0 dialogues imported, 2 were there already" in call(*woz)
    assert "1 dialogues written" in call("export", str(tmp_path / "out"), "--format", "sgd", "--split", "dev")
    assert list((tmp_path / "out").iterdir()) == [tmp_path / "out" / "dev"]
    assert "spokenwoz" in call("import", "--formats")
    assert "revisions" in call("export", "--formats")
