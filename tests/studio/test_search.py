"""The queue: doubtful turns first, some by lot, found by slot, status and words."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from db.models import Dialogue, Speaker, Turn, TurnStatus
from db.repositories import dialogues as dialogue_rows
from db.repositories import words
from db.repositories.queue import Filters
from engine.dialogue import Dialogue as Spoken
from engine.dialogue import Turn as Said
from studio.services import corrections, dialogues, manifests, projects, search, understanding
from studio.workspace import Workspace, open_workspace
from tests.studio.conftest import FakeTracker, older

ANY_STATUS = Filters(speaker=None)


@pytest.fixture
def many(ws: Workspace, project: int) -> dict[int, float]:
    """Forty answered turns; how doubtful each is, by its id."""
    with ws.write() as session:
        turns = [
            Turn(turn_id=n, speaker=Speaker.USER, status=TurnStatus.PREDICTED, doubt=n / 40, lottery=(n * 17 % 40) / 40)
            for n in range(40)
        ]
        session.add(Dialogue(project_id=project, name="many", turns=turns))
        session.flush()
        return {turn.id: turn.doubt or 0.0 for turn in turns}


def test_doubtful_turns_come_first_and_every_fifth_is_drawn_by_lot(ws: Workspace, project: int, many: dict[int, float]) -> None:
    page = search.doubtful(ws, project, Filters(), limit=20)
    ids = [entry.turn_id for entry in page.entries]
    assert (len(ids), len(set(ids)), page.total) == (20, 20, 40)
    chosen = [many[number] for number in ids if number not in page.drawn]
    assert chosen == sorted(chosen, reverse=True)
    assert [place for place, number in enumerate(ids, 1) if number in page.drawn] == [5, 10, 15, 20]
    assert min(many[number] for number in page.drawn) < min(chosen)


def test_the_queue_ends_with_every_turn_once(ws: Workspace, project: int, many: dict[int, float]) -> None:
    page = search.doubtful(ws, project, Filters(), limit=100)
    assert sorted(entry.turn_id for entry in page.entries) == sorted(many)


def test_the_turn_just_done_does_not_come_again_at_once(ws: Workspace, project: int, many: dict[int, float]) -> None:
    first = search.next_turn(ws, project, Filters())
    assert first is not None
    assert search.next_turn(ws, project, Filters(), [first]) not in (None, first)
    assert search.next_turn(ws, project, Filters(text="nobody said this")) is None


def test_turns_passed_over_come_again_only_behind_all_others_and_every_fifth_is_drawn(
    ws: Workspace, project: int, many: dict[int, float]
) -> None:
    met: list[int] = []
    while (turn := search.next_turn(ws, project, Filters(), met)) not in met:
        assert turn is not None
        met.append(turn)
    assert sorted(met) == sorted(many), "two turns had come in turn"
    assert turn == met[0]
    drawn = met[4:20:5]
    chosen = [many[number] for number in met[:20] if number not in drawn]
    assert chosen == sorted(chosen, reverse=True) and min(many[number] for number in drawn) < min(chosen)


def test_a_turn_is_drawn_by_lot_also_where_each_is_corrected_at_once(ws: Workspace, project: int, many: dict[int, float]) -> None:
    met: list[int] = []
    for _ in range(10):
        turn = search.next_turn(ws, project, Filters(statuses=search.OPEN), met)
        assert turn is not None
        met.append(turn)
        with ws.write() as session:
            session.get_one(Turn, turn).status = TurnStatus.CORRECTED
    chosen = [many[number] for place, number in enumerate(met, 1) if place % 5]
    assert chosen == sorted(chosen, reverse=True)
    assert min(many[met[4]], many[met[9]]) < min(chosen)


def test_turns_are_found_by_what_stands_in_them(
    ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker
) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "found")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound())
    understanding.predict_turn(ws, turn.id)

    def found(**wanted: object) -> bool:
        return search.doubtful(ws, project, Filters(**wanted)).total == 1  # type: ignore[arg-type]

    assert found(text="PLACE in the")
    assert found(domain="restaurant", slot="area")
    assert found(text="north")
    assert not found(slot="food")
    view = corrections.save_slot(ws, turn.id, "restaurant", "food", "thai", "anna", None)
    view = corrections.save_slot(ws, turn.id, "restaurant", "area", None, "anna", view.state_head)
    corrections.save_transcript(ws, turn.id, "thai please", "anna", view.transcript_head)
    assert found(slot="food", text="thai", statuses=(TurnStatus.CORRECTED,))
    assert not found(slot="area")
    view = dialogues.get_turn(ws, turn.id)
    corrections.save_slot(ws, turn.id, "restaurant", "food", ["thai", "Siamese"], "anna", view.state_head)
    assert found(text="siamese"), "the second accepted form"
    assert not found(text="place")
    assert not found(statuses=search.OPEN)


def test_a_turn_whose_words_alone_were_corrected_is_still_to_be_done(
    ws: Workspace, project: int, sound: Callable[..., Path], tracker: FakeTracker
) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "words")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound())
    understanding.predict_turn(ws, turn.id)

    def open_turns(**wanted: str) -> list[int]:
        filters = replace(search.TO_CORRECT, **wanted)  # type: ignore[arg-type]
        assert bool(search.dialogues(ws, project, filters, 10)[0]) == bool(search.doubtful(ws, project, filters).total)
        return [entry.turn_id for entry in search.doubtful(ws, project, filters).entries]

    view = corrections.save_transcript(ws, turn.id, "thai please", "anna", None)
    assert (view.status, open_turns(), open_turns(text="thai")) == ("corrected", [turn.id], [turn.id])
    view = corrections.save_slot(ws, turn.id, "restaurant", "food", "thai", "anna", None)
    assert (open_turns(), open_turns(text="thai")) == ([], [])
    view = corrections.undo(ws, turn.id, "anna", view.head)
    assert (view.status, open_turns()) == ("corrected", [turn.id])
    view = corrections.redo(ws, turn.id, "anna", view.head)
    assert open_turns() == []


def test_recordings_that_came_with_their_words_wait_for_a_state(ws: Workspace, project: int, sound: Callable[..., Path]) -> None:
    said = [Said(number, "user", f"words {number}", str(sound(number))) for number in range(2)]
    said[1].state = {"restaurant": {"food": "thai"}}
    coming = [Spoken("came", said, "train", "", "")]
    stored = manifests.store_audio(ws, coming)
    with ws.write() as session:
        manifests.add_dialogues(session, project, coming, stored, author="anna")
    page = search.doubtful(ws, project, search.TO_CORRECT)
    assert [entry.words for entry in page.entries] == ["words 0"]


@pytest.mark.databases("sqlite")
def test_words_alone_that_were_corrected_in_an_older_database_are_to_be_done(tmp_path: Path) -> None:
    home, now = tmp_path / "old", "'2026-01-01 00:00:00.000000'"
    changes = (
        (1, "transcript", "user"),
        (2, "state", "user"),
        (3, "transcript", "user"),
        (3, "state", "user"),
        (3, "state", "undo"),
    )
    with older(home, "0015") as connection:
        for statement in (
            f"INSERT INTO projects (id, name, created) VALUES (1, 'p', {now})",
            "INSERT INTO dialogues (id, project_id, name, split, source, licence, created) "
            f"VALUES (1, 1, 'd', 'train', '', '', {now})",
            *(
                "INSERT INTO turns (id, project_id, dialogue_id, turn_id, speaker, status, created) "
                f"VALUES ({number}, 1, 1, {number}, 'user', 'corrected', {now})"
                for number in (1, 2, 3)
            ),
            *(
                "INSERT INTO revisions (id, turn_id, kind, layer, author, source, parent_id, created) VALUES "
                f"({id_}, {turn}, '{kind}', '', 'anna', '{source}', {4 if source == 'undo' else 'NULL'}, {now})"
                for id_, (turn, kind, source) in enumerate(changes, 1)
            ),
        ):
            connection.execute(text(statement))
    ws = open_workspace(home)
    entries = search.doubtful(ws, 1, replace(search.TO_CORRECT, recorded=False)).entries
    assert sorted(entry.turn_id for entry in entries) == [1, 3]


SAID = (
    "100% sure",
    "100 sure",
    "Grüße aus KÖLN",
    'a "quoted" name',
    "it's o'clock",
    "a_b",
    "axb",
    "ja",
    "north | south",
    "-ned OR *",
)
ASKED = (
    "100%",
    "100",
    "%",
    "ÜSSE",
    "grüße",
    "öln",
    '"quo',
    '"',
    "it's",
    "a_b",
    "_",
    "ja",
    "j",
    "h | s",
    "ned or",
    "*",
    "nobody",
    "  ja ",
)


@pytest.fixture
def spoken(ws: Workspace, project: int) -> None:
    """Turns in which things were said that a search could stumble over, also in a project that is not asked for."""
    other = projects.create_project(ws, "Other").id
    with ws.write() as session:
        for owner in (project, other):
            turns = [
                Turn(turn_id=n, speaker=Speaker.USER, status=TurnStatus.PREDICTED, words=words.lower(), doubt=0.5)
                for n, words in enumerate(SAID)
            ]
            session.add(Dialogue(project_id=owner, name="spoken", turns=turns))


@pytest.mark.parametrize("few", [words.FEW, 1, 0], ids=["by the index", "some by the index", "by reading"])
def test_a_search_finds_what_holds_the_text_and_nothing_else(
    ws: Workspace, project: int, spoken: None, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "FEW", few)
    for asked in ASKED:
        page = search.doubtful(ws, project, Filters(text=asked))
        expected = sorted(said.lower() for said in SAID if asked.strip().lower() in said.lower())
        assert sorted(entry.words for entry in page.entries) == expected, asked
        rows, _ = search.dialogues(ws, project, Filters(text=asked), 10)
        assert bool(rows) == bool(expected), asked
        with ws.read() as session:
            assert bool(dialogue_rows.matching(session, project, asked)) == bool(expected), asked


def test_what_was_said_is_found_as_soon_as_it_changes_and_no_longer_as_it_was(ws: Workspace, project: int, spoken: None) -> None:
    def found(text: str) -> int:
        return search.doubtful(ws, project, Filters(text=text)).total

    with ws.write() as session:
        turn = session.query(Turn).filter(Turn.words == "100 sure", Turn.project_id == project).one()
        turn.words = "two hundred"
    assert (found("hundred"), found("100 sure")) == (1, 0)
    with ws.write() as session:
        session.delete(session.get_one(Turn, turn.id))
    assert found("hundred") == 0


@pytest.mark.databases("sqlite")
def test_a_rare_word_is_looked_up_and_a_common_or_short_one_is_not(ws: Workspace, project: int, spoken: None) -> None:
    with ws.read() as session:
        assert words.indexed(session, project, "quoted") is not None
        assert words.indexed(session, project, "ja") is None
    with ws.write() as session:  # a build of SQLite that has no such index
        for name in ("insert", "update", "delete"):
            session.execute(text(f"DROP TRIGGER turn_words_{name}"))
        session.execute(text("DROP TABLE turn_words"))
    assert search.doubtful(ws, project, Filters(text="quoted")).total == 1
