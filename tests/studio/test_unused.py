"""What came into the ontology by a label alone is offered for as long as a label holds it."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from engine.dialogue import DONTCARE
from studio.errors import StudioError
from studio.services import corrections, dialogues, following, labels, ontology, ontology_changes, unused
from studio.services.ontology_changes import Change
from studio.services.views import TurnView
from studio.workspace import Workspace, open_workspace
from tests.studio.conftest import FakeTracker, older


def write(ws: Workspace, turn: TurnView, value: str | list[str], author: str = "anna", slot: str = "area") -> TurnView:
    head = dialogues.get_turn(ws, turn.id).state_head
    return corrections.save_slot(ws, turn.id, "restaurant", slot, value, author, head)


def undo(ws: Workspace, turn: TurnView, author: str = "anna") -> None:
    corrections.undo(ws, turn.id, author, dialogues.get_turn(ws, turn.id).head)


def offered(ws: Workspace, project: int, slot: str = "area") -> list[str]:
    """What is offered once everything has followed."""
    following.catch_up(ws)
    return [value for value in ontology.choices(ws, project, "restaurant", slot) if value != DONTCARE]


@pytest.fixture
def turns(ws: Workspace, corrected: Callable[..., int], tracker: FakeTracker) -> list[TurnView]:
    """Two turns whose restaurants are in the north."""
    return list(dialogues.get_dialogue(ws, corrected(turns=2)).turns)


def test_a_value_goes_with_an_undo_and_comes_back_with_a_redo(ws: Workspace, project: int, turns: list[TurnView]) -> None:
    write(ws, turns[0], "wset")
    assert offered(ws, project) == ["north", "south", "wset"]
    undo(ws, turns[0])
    assert offered(ws, project) == ["north", "south"]
    assert ontology.versions(ws, project)[0].change == "removed restaurant-area: wset: no label holds it any more"
    corrections.redo(ws, turns[0].id, "anna", dialogues.get_turn(ws, turns[0].id).head)
    assert offered(ws, project) == ["north", "south", "wset"]
    write(ws, turns[0], "west")
    assert offered(ws, project) == ["north", "south", "west"], "a typing error that was written over"
    undo(ws, turns[0])
    assert offered(ws, project) == ["north", "south", "wset"]


@pytest.mark.parametrize("other", ["Wset", ["north", "wset"]])
def test_it_stays_until_nobody_uses_it(ws: Workspace, project: int, turns: list[TurnView], other: str | list[str]) -> None:
    write(ws, turns[0], "wset")
    write(ws, turns[1], other, "ben")
    undo(ws, turns[0])
    assert "wset" in offered(ws, project), "in another spelling, or as another form"
    undo(ws, turns[1], "ben")
    assert "wset" not in offered(ws, project)


@pytest.mark.databases("sqlite")
def test_a_slot_that_came_with_a_value_goes_with_it(ws: Workspace, project: int, turns: list[TurnView]) -> None:
    write(ws, turns[0], "yes", slot="wifi")
    assert "wifi" in ontology.slots(ws, project)["restaurant"]
    undo(ws, turns[0])
    following.catch_up(ws)
    assert "wifi" not in ontology.slots(ws, project)["restaurant"]
    write(ws, turns[0], "Curry Garden", slot="name")
    undo(ws, turns[0])
    assert offered(ws, project, "name") == [] and "name" in ontology.slots(ws, project)["restaurant"], (
        "an open slot of the project"
    )


@pytest.mark.databases("sqlite")
def test_what_is_meant_to_be_there_stays(ws: Workspace, project: int, turns: list[TurnView]) -> None:
    for value in ("west", "east"):
        write(ws, turns[0], value)
    ontology_changes.set_synonyms(ws, project, "restaurant", "area", "east", ["eastern part"], "rita")
    ontology_changes.save(ws, project, Change("add", "restaurant", "area", "centre"), "rita")
    write(ws, turns[0], "centre")
    undo(ws, turns[0])
    undo(ws, turns[0])
    assert offered(ws, project) == ["centre", "east", "north", "south", "west"]
    undo(ws, turns[0])
    assert offered(ws, project) == ["centre", "east", "north", "south"], "added by hand, given synonyms"


@pytest.mark.databases("sqlite")
def test_what_was_removed_on_purpose_does_not_come_back_by_itself(ws: Workspace, project: int, turns: list[TurnView]) -> None:
    write(ws, turns[0], "wset")
    gone = Change("remove", "restaurant", "area", "wset")
    ontology_changes.save(ws, project, gone, "rita", although_used=True)
    undo(ws, turns[0])
    corrections.redo(ws, turns[0].id, "anna", dialogues.get_turn(ws, turns[0].id).head)
    assert offered(ws, project) == ["north", "south"]


@pytest.mark.databases("sqlite")
def test_a_locked_held_out_label_keeps_its_value(
    ws: Workspace, project: int, corrected: Callable[..., int], tracker: FakeTracker
) -> None:
    turn = dialogues.get_dialogue(ws, corrected("h", split="test")).turns[0]
    write(ws, turn, "wset")
    with pytest.raises(StudioError, match="held|scores"):
        undo(ws, turn, "ben")
    assert "wset" in offered(ws, project)
    labels.unlock(ws, turn.id, "ben")
    undo(ws, turn, "ben")
    assert "wset" not in offered(ws, project)


@pytest.mark.databases("sqlite")
def test_nothing_is_written_where_nothing_goes(ws: Workspace, project: int, turns: list[TurnView]) -> None:
    write(ws, turns[0], "south")
    undo(ws, turns[0])
    following.catch_up(ws)
    assert len(ontology.versions(ws, project)) == 1


@pytest.mark.databases("sqlite")
def test_a_value_that_comes_back_while_it_is_looked_for_stays(
    ws: Workspace, project: int, turns: list[TurnView], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(ws, turns[0], "wset")
    undo(ws, turns[0])
    real = Workspace.write

    def in_between(workspace: Workspace) -> AbstractContextManager[Session]:
        monkeypatch.setattr(Workspace, "write", real)
        write(ws, turns[1], "wset", "ben")
        return real(workspace)

    monkeypatch.setattr(Workspace, "write", in_between)
    unused.forget(ws, turns[0].id)
    assert "wset" in ontology.choices(ws, project, "restaurant", "area")


def test_older_databases_know_what_was_written_in_them(tmp_path: Path) -> None:
    versions = [
        ({"r": {"area": ["north"]}}, "began with the project"),
        ({"r": {"area": ["north", "wset"]}, "h": {"stars": ["4"]}}, "added r-area: wset; h-stars: 4, written in d, written in 1"),
        ({"r": {"area": ["north"]}, "h": {"stars": ["4", "5"]}}, "removed the value r-area"),
    ]
    with older(tmp_path / "home", "0021") as connection:
        connection.execute(text("INSERT INTO projects (id, name, created) VALUES (1, 'p', '2026-01-01')"))
        for number, (values, change) in enumerate(versions, 1):
            row = {"number": number, "values": json.dumps(values), "change": change}
            insert = 'INSERT INTO ontologies (project_id, version, built_from, "values", author, change, created) VALUES '
            connection.execute(text(f"{insert} (1, :number, 'train', :values, 'anna', :change, '2026-01-01')"), row)
    ws = open_workspace(tmp_path / "home")
    with ws.read() as session:
        found = ontology.newest(session, 1)
    assert found.written == {"r": {"area": {}}, "h": {"stars": {"": "1", "4": "1"}}}
    ws.database.dispose()
