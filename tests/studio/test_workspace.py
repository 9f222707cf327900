"""Opening a workspace: once or again, on a good disk or a bad one."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from studio import workspace
from studio.errors import StudioError
from studio.services import checkpoints, projects
from studio.workspace import DATABASE, Workspace, disk_errors, open_workspace


def test_opening_again_finds_everything_and_adds_nothing(ws: Workspace, project: int) -> None:
    again = open_workspace(ws.home)
    assert [view.name for view in projects.list_projects(again)] == ["Restaurants"]
    assert [view.name for view in checkpoints.list_checkpoints(again)] == ["demo"]
    assert checkpoints.in_use(again).name == "demo"


def test_a_moved_workspace_still_finds_its_recordings(ws: Workspace, corrected, tmp_path: Path) -> None:
    from studio.services import dialogues

    dialogue_id = corrected()
    ws.database.dispose()
    moved = open_workspace(ws.home.rename(tmp_path / "moved"))
    audio = dialogues.get_dialogue(moved, dialogue_id).turns[0].audio
    assert audio is not None
    assert audio.is_file()


def test_a_newer_workspace_is_refused_in_a_sentence(ws: Workspace) -> None:
    with ws.database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StudioError, match="newer version of Spoken DST Studio; update the program"):
        open_workspace(ws.home)


def test_a_file_that_is_no_database_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "studio.db").write_bytes(b"something else entirely " * 100)
    with pytest.raises(StudioError, match="is damaged"):
        open_workspace(tmp_path)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("no url at all", "is no URL such as postgresql://"),
        ("mysql://host/database", "is no URL such as postgresql://"),
        ("postgresql://anna:secret@127.0.0.1:1/studio", "Connection refused.*start its server, or mend the URL"),
    ],
)
def test_a_database_that_cannot_be_reached_is_a_sentence_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, sentence: str
) -> None:
    monkeypatch.setenv(DATABASE, url)
    with pytest.raises(StudioError, match=sentence) as refused:
        open_workspace(tmp_path)
    assert "secret" not in str(refused.value)


def test_a_home_that_is_a_file_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudioError, match="choose another folder with --home"):
        open_workspace(tmp_path / "file")


@pytest.mark.parametrize(
    ("number", "sentence"),
    [(errno.ENOSPC, "is full: make room"), (errno.EROFS, "make it writable"), (errno.EACCES, "make it writable")],
)
def test_what_a_disk_refuses_is_said_with_what_to_do(tmp_path: Path, number: int, sentence: str) -> None:
    with pytest.raises(StudioError, match=sentence), disk_errors(tmp_path):
        raise OSError(number, os.strerror(number))


@pytest.mark.databases("sqlite")
def test_a_full_disk_refuses_a_change_and_keeps_what_was(ws: Workspace, project: int) -> None:
    with ws.database.connect() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        connection.rollback()
    from engine.dialogue import Ontology

    with pytest.raises(StudioError, match="is full: make room"):
        projects.create_project(ws, "big", Ontology({"restaurant": {"name": [f"name {n}" for n in range(100_000)]}}))
    assert [view.name for view in projects.list_projects(ws)] == ["Restaurants"]


def test_speech_left_in_the_temporary_folder_is_removed_after_a_day(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    uploads, recording = ws.home / "tmp" / "uploads" / "ab", ws.home / "recordings" / "old.wav"
    uploads.mkdir(parents=True)
    for path in (uploads / "left.wav", ws.home / "tmp" / "left.flac", recording):
        path.write_bytes(b"speech")
    os.utime(recording, (time.time() - 1e6,) * 2)
    time.sleep(1.5)
    (uploads / "new.wav").write_bytes(b"speech")
    os.link(recording, uploads / "linked.wav")  # as a snapshot that is being made does
    monkeypatch.setattr(workspace, "TMP_SECONDS", 1.0)
    open_workspace(ws.home)
    assert sorted(path.name for path in (ws.home / "tmp").rglob("*.*")) == ["linked.wav", "new.wav"]


def test_pages_and_command_line_do_not_wait_for_torch() -> None:
    code = "import sys, studio.cli, studio.services.training, studio.services.understanding; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
