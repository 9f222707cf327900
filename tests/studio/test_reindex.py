"""Turns of a database from before the search was kept beside them are found after the first start."""

from pathlib import Path

import pytest
from sqlalchemy import text

from db.repositories import settings
from db.repositories.queue import Filters
from studio.services import reindex, search
from studio.workspace import Workspace, attach, open_workspace
from tests.studio.conftest import older

DIALOGUES = 3


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A workspace of the first version: each dialogue has a predicted, corrected turn and an agent's answer."""
    home = tmp_path / "old"
    with older(home, "0001") as connection:

        def insert(table: str, **values: object) -> None:
            names = ", ".join(f'"{name}"' for name in values)
            connection.execute(text(f"INSERT INTO {table} ({names}) VALUES (:{', :'.join(values)})"), values)

        now = "2026-01-01 00:00:00.000000"
        insert("projects", id=1, name="old", created=now)
        insert("ontologies", project_id=1, version=1, built_from="train", values="{}", created=now)
        insert("checkpoints", id=1, name="demo", created=now)
        for number in range(1, DIALOGUES + 1):
            insert("dialogues", id=number, project_id=1, name=f"d{number}", split="train", source="", licence="", created=now)
            user, agent = 2 * number, 2 * number + 1
            insert("turns", id=user, dialogue_id=number, turn_id=0, speaker="user", status="corrected", created=now)
            insert("turns", id=agent, dialogue_id=number, turn_id=1, speaker="agent", status="corrected", created=now)
            insert(
                "predictions",
                turn_id=user,
                checkpoint_id=1,
                raw="",
                transcript="A Place in the Noth",
                state='{"restaurant": {"area": "north"}}',
                confidence='{"restaurant": {"area": 0.25}}',
                valid=True,
                seconds=1.0,
                created=now,
            )
            for turn, words in ((user, '"A Place in the North"'), (agent, '"Which food?"')):
                insert("revisions", turn_id=turn, kind="transcript", new=words, author="a", source="user", created=now)
    return home


def found(ws: Workspace, words: str) -> list[tuple[str, float | None]]:
    return [(entry.dialogue, entry.doubt) for entry in search.doubtful(ws, 1, Filters(text=words)).entries]


def test_turns_of_the_first_version_are_found_by_words_and_values_after_one_start(old: Path) -> None:
    ws = open_workspace(old)
    everywhere = [(f"d{number}", 0.75) for number in range(1, DIALOGUES + 1)]
    assert sorted(found(ws, "in the north")) == everywhere
    with ws.read() as session:
        rows = session.execute(text("SELECT domain, slot, value, confidence FROM turn_slots")).all()
        agents = session.execute(text("SELECT words FROM turns WHERE speaker = 'agent'")).scalars().all()
    assert rows == [("restaurant", "area", "north", 0.25)] * DIALOGUES
    assert agents == ["which food?"] * DIALOGUES
    assert reindex.reindex(ws) == 0


def test_turns_that_were_indexed_by_canonical_forms_alone_are_indexed_anew(old: Path) -> None:
    ws = open_workspace(old)
    state = '{"restaurant": {"area": ["north", "Up North"]}}'
    with ws.write() as session:
        session.execute(text("UPDATE predictions SET state = :state"), {"state": state})
        settings.put(session, settings.INDEXED, -1)
    assert found(ws, "up north") == []
    assert reindex.reindex(ws) == 2 * DIALOGUES
    assert len(found(ws, "up north")) == DIALOGUES


def test_a_start_that_was_ended_goes_on_where_it_was(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reindex, "PART", 2)
    indexed, index = [], search.index

    def killed(turn, view) -> None:
        if len(indexed) == 5:  # within the second part
            raise KeyboardInterrupt
        indexed.append(turn.id)
        index(turn, view)

    with monkeypatch.context() as patch:
        patch.setattr(search, "index", killed)
        with pytest.raises(KeyboardInterrupt):
            open_workspace(old)
    ws = attach(old)
    assert len(found(ws, "in the north")) == 2
    assert reindex.reindex(ws) == 2, "only the dialogue of the part that was lost"
    assert len(found(ws, "in the north")) == 3
