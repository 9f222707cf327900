"""The ontology changed on purpose: what a change touches, what it does to labels, and what comes in from files."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from db.models import Dialogue
from engine.dialogue import Ontology
from studio.errors import HeldOutError, StudioError
from studio.services import (
    corrections,
    dialogues,
    entities,
    hints,
    ontology,
    ontology_changes,
    ontology_files,
    people,
    postprocessing,
    review,
)
from studio.services.ontology_edits import Change
from studio.services.suggestions import suggest
from studio.workspace import Workspace

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_corpora = pytest.mark.skipif(not SHARED.is_dir(), reason="the corpora (../shared/data) are not here")
RENAME = Change("rename", "restaurant", "area", "north", "northern")
RESTAURANTS = [
    {"name": "curry garden", "area": "centre", "food": "indian", "location": [52.2, 0.1], "price": {"single": 1}, "stars": 3},
    {"name": "the oak bistro", "area": "centre", "food": "british", "pricerange": "?"},
    {"name": "pizza hut", "area": "south", "food": "italian"},
    {"name": "Pizza Hut", "area": "centre", "food": "italian"},
]


def newest(ws: Workspace, project: int) -> Ontology:
    return ontology.get_ontology(ws, project)


def state(ws: Workspace, turn_id: int) -> dict:
    return dialogues.get_turn(ws, turn_id).state or {}


@pytest.fixture
def used(ws: Workspace, project: int, corrected) -> list[int]:
    """Two turns of d1 whose label says north (one of them "North"), and one that is final."""
    turns = [turn.id for turn in dialogues.get_dialogue(ws, corrected("d1", turns=3)).turns]
    head = dialogues.get_turn(ws, turns[1]).state_head
    corrections.save_state(ws, turns[1], {"restaurant": {"area": ["North", "up north"], "food": "thai"}}, "anna", head)
    for step in ("submitted", "reviewed", "final"):
        review.take_step(ws, turns[2], step, "anna")
    return turns


def test_a_rename_shows_the_labels_it_touches_and_changes_none_unasked(ws: Workspace, project: int, used: list[int]) -> None:
    held = ontology_changes.preview(ws, project, RENAME)
    assert [(item.turn_id, item.number, item.value, item.final) for item in held] == [
        (used[0], 0, "north", False),
        (used[1], 1, ["North", "up north"], False),
        (used[2], 2, "north", True),
    ]
    done = ontology_changes.save(ws, project, RENAME, "bert")
    assert (done.relabelled, done.left) == (0, 3)
    assert newest(ws, project).values["restaurant"]["area"] == ["northern", "south", "up north"]
    assert newest(ws, project).spellings("restaurant", "area")["north"] == "northern", "what the model learnt to say"
    assert state(ws, used[0]) == {"restaurant": {"area": "north"}}
    last = ontology.versions(ws, project)[0]
    assert (last.author, last.change) == ("bert", 'renamed the value restaurant-area: "north" to "northern"')


def test_a_rename_carried_into_labels_is_a_revision_each_and_can_be_undone(ws: Workspace, project: int, used: list[int]) -> None:
    review.take_step(ws, used[0], "reviewed", "rita")
    done = ontology_changes.save(ws, project, RENAME, "bert", relabel=True)
    assert (done.relabelled, done.left) == (2, 1)
    assert dialogues.get_turn(ws, used[0]).status == "reviewed", "it means what it meant"
    assert state(ws, used[0]) == {"restaurant": {"area": "northern"}}
    assert state(ws, used[1]) == {"restaurant": {"area": ["northern", "up north"], "food": "thai"}}
    assert state(ws, used[2]) == {"restaurant": {"area": "north"}}, "final"
    gone = Change("remove", "restaurant", "area")
    newest_change = corrections.history(ws, used[1])[0]
    assert (newest_change.author, newest_change.source) == ("bert", "ontology")
    assert [item.turn_id for item in ontology_changes.preview(ws, project, gone)] == used
    corrections.undo(ws, used[0], "anna", dialogues.get_turn(ws, used[0]).head)
    assert state(ws, used[0]) == {"restaurant": {"area": "north"}}


def test_a_value_that_is_another_accepted_form_is_shown_counted_and_renamed(ws: Workspace, project: int, used: list[int]) -> None:
    change = Change("rename", "restaurant", "area", "up north", "upper north")
    assert [item.turn_id for item in ontology_changes.preview(ws, project, change)] == [used[1]]
    assert ontology.value_counts(ws, project, "restaurant", "area") == {"north": 3, "up north": 1}
    with pytest.raises(StudioError, match="1 labels hold this value"):
        ontology_changes.save(ws, project, Change("remove", "restaurant", "area", "up north"), "bert")
    assert ontology_changes.save(ws, project, change, "bert", relabel=True).relabelled == 1
    assert state(ws, used[1])["restaurant"]["area"] == ["North", "upper north"]
    joined = Change("rename", "restaurant", "area", "upper north", "North")
    assert ontology_changes.save(ws, project, joined, "bert", relabel=True).relabelled == 1
    assert state(ws, used[1])["restaurant"]["area"] == "North", "two forms became one"


def test_slots_and_domains_are_renamed_in_labels_too(ws: Workspace, project: int, used: list[int]) -> None:
    ontology_changes.set_synonyms(ws, project, "restaurant", "area", "north", ["the top"], "anna")
    ontology_changes.describe(ws, project, "restaurant", "area", "part of town", "categorical", "anna")
    ontology_changes.save(ws, project, Change("rename", "restaurant", "area", new="part"), "anna", relabel=True)
    ontology_changes.save(ws, project, Change("rename", "restaurant", new="diner"), "anna", relabel=True)
    assert state(ws, used[1]) == {"diner": {"part": ["North", "up north"], "food": "thai"}}
    known = newest(ws, project)
    assert (known.descriptions, known.types) == ({"diner": {"part": "part of town"}}, {"diner": {"part": "categorical"}})
    assert known.spellings("diner", "part")["the top"] == "north"
    assert list(known.values["diner"]) == ["part", "food", "name"], "in their old places"


def test_held_out_labels_are_renamed_only_if_asked_for_and_the_dialogue_says_so(
    ws: Workspace, project: int, corrected, note_run
) -> None:
    turn = dialogues.get_dialogue(ws, corrected("d1", split="test")).turns[0].id
    note_run([], ["d1"])
    assert ontology_changes.save(ws, project, RENAME, "bert", relabel=True).left == 1
    assert state(ws, turn) == {"restaurant": {"area": "north"}}
    ontology_changes.restore(ws, project, 1, "bert")
    assert ontology_changes.save(ws, project, RENAME, "bert", relabel=True, held_out=True).relabelled == 1
    assert [event.kind for event in review.events(ws, turn)] == ["unlocked"]
    with pytest.raises(HeldOutError):
        corrections.undo(ws, turn, "anna", dialogues.get_turn(ws, turn).head)


def test_removing_what_labels_hold_asks_first_and_leaves_them(ws: Workspace, project: int, used: list[int]) -> None:
    gone = Change("remove", "restaurant", "area")
    with pytest.raises(StudioError, match="3 labels hold this slot"):
        ontology_changes.save(ws, project, gone, "anna")
    ontology_changes.save(ws, project, Change("remove", "restaurant", "name"), "anna")  # nobody holds it
    ontology_changes.save(ws, project, gone, "anna", although_used=True)
    assert ontology.slots(ws, project) == {"restaurant": ["food"]}
    assert state(ws, used[0]) == {"restaurant": {"area": "north"}}
    ontology_changes.restore(ws, project, 1, "anna")
    assert ontology.slots(ws, project) == {"restaurant": ["area", "food", "name"]}
    assert ontology.versions(ws, project)[0].change == "restored version 1"


def test_domains_slots_and_values_are_added(ws: Workspace, project: int) -> None:
    for change in (
        Change("add", " hotel "),
        Change("add", "hotel", "stars"),
        Change("add", "hotel", "stars", " 4 \n\n5\nFour"),  # one of them twice, in another spelling
    ):
        ontology_changes.save(ws, project, change, "anna")
    assert newest(ws, project).values["hotel"] == {"stars": ["4", "5"]}


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (Change("add", "restaurant"), "There is a domain 'restaurant' already"),
        (Change("add", "my-domain"), "no hyphen"),
        (Change("add", "restaurant", "area", "North"), "already, in this or another spelling"),
        (Change("add", "hotel", "stars"), "There is no domain 'hotel'"),
        (Change("rename", "restaurant", "area", "north"), "type it"),
        (Change("rename", "restaurant", "area", new="food"), "There is a slot 'food' already"),
        (Change("remove", "restaurant", "area", "west"), "no value 'west'"),
        (Change("remove", "restaurant", "stars", "4"), "There is no slot 'stars'"),
        (Change("add", " "), "Name the domain"),
    ],
)
def test_a_change_that_cannot_be_is_refused_and_nothing_is_written(
    ws: Workspace, project: int, change: Change, sentence: str
) -> None:
    for act in (ontology_changes.preview, lambda *all_: ontology_changes.save(*all_, "anna")):
        with pytest.raises(StudioError, match=sentence):
            act(ws, project, change)
    assert len(ontology.versions(ws, project)) == 1


def test_a_synonym_is_no_new_value_is_hinted_at_and_leads_to_its_value(ws: Workspace, project: int, corrected) -> None:
    ontology_changes.set_synonyms(ws, project, "restaurant", "food", "chinese", ["peking style", " "], "anna")
    turn = dialogues.get_dialogue(ws, corrected("d1")).turns[0]
    corrections.save_slot(ws, turn.id, "restaurant", "food", "Peking Style", "anna", turn.state_head)
    assert newest(ws, project).values["restaurant"]["food"] == ["chinese", "thai"]
    found = [hint.text for hint in hints.hints(ws, project, dialogues.get_turn(ws, turn.id), newest(ws, project))]
    assert found == ['"Peking Style" is another spelling of "chinese": write it so']
    spellings = newest(ws, project).spellings("restaurant", "food")
    assert [suggestion.value for suggestion in suggest(["some peking stile food"], spellings, "food")] == ["chinese"]
    said = postprocessing.process({"restaurant": {"food": "peking stile"}}, newest(ws, project))["restaurant", "food"]
    assert (said.value, said.accepted) == ("chinese", True)
    with pytest.raises(StudioError, match="stands for 'chinese' already"):
        ontology_changes.set_synonyms(ws, project, "restaurant", "food", "thai", ["peking  style"], "anna")


def test_a_value_that_a_turn_brought_into_the_ontology_is_hinted_at_there_with_the_closest_known(
    ws: Workspace, project: int, sound
) -> None:
    def shown(turn_id: int) -> list[str]:
        return [hint.text for hint in hints.hints(ws, project, dialogues.get_turn(ws, turn_id), newest(ws, project))]

    dialogue = dialogues.create_dialogue(ws, project, "d1").id
    first, second = (dialogues.add_user_turn(ws, dialogue, sound(seed)).id for seed in range(2))
    view = corrections.save_slot(ws, first, "restaurant", "food", "chinesse", "anna", None)
    assert "chinesse" in newest(ws, project).values["restaurant"]["food"]
    assert shown(first) == ['"chinesse" is new in the ontology; closest known: chinese']
    corrections.save_slot(ws, second, "restaurant", "food", "chinesse", "anna", None)
    assert shown(second) == [], "it is carried on"
    view = corrections.save_slot(ws, first, "restaurant", "food", "sushi", "anna", view.state_head)
    assert shown(first) == ['"sushi" is new in the ontology']
    view = corrections.save_slot(ws, first, "restaurant", "food", ["thai", "tai"], "anna", view.state_head)
    assert shown(first) == ['"tai" is new in the ontology; closest known: thai']
    corrections.save_slot(ws, first, "restaurant", "food", "thai", "anna", view.state_head)
    assert shown(first) == []


def test_an_annotator_does_not_edit_the_ontology(ws: Workspace, project: int) -> None:
    people.add_user(ws, "ada", "long enough", "admin")
    people.add_user(ws, "ben", "long enough", "annotator")
    with pytest.raises(StudioError, match="takes the role reviewer"):
        ontology_changes.save(ws, project, RENAME, "ben")


@pytest.mark.parametrize(
    ("content", "values", "built_from"),
    [
        (
            {"hotel-semi-area": ["north", "dontcare"], "hotel-book stay": ["2"]},
            {"hotel": {"area": ["north"], "stay": ["2"]}},
            "all",
        ),
        (
            {"hotel": {"price range": ["cheap", "not mentioned"], "name": []}},
            {"hotel": {"name": [], "pricerange": ["cheap"]}},
            "all",
        ),
        ({"built_from": "train+dev", "values": {"hotel": {"area": ["west"]}}}, {"hotel": {"area": ["west"]}}, "train+dev"),
        (
            [{"service_name": "hotel", "slots": [{"name": "hotel-area", "description": "where", "possible_values": ["west"]}]}],
            {"hotel": {"area": ["west"]}},
            "train",
        ),
    ],
)
def test_files_of_corpora_are_read(tmp_path: Path, content: object, values: dict, built_from: str) -> None:
    path = tmp_path / "ontology.json"
    path.write_text(json.dumps(content))
    found = ontology_files.read(path)
    assert (found.values, found.built_from) == (values, built_from)
    stated = isinstance(content, dict) and "built_from" in content
    with pytest.raises(StudioError, match="cannot be called train") if stated else nullcontext():
        assert ontology_files.read(path, "train").built_from == "train"


@pytest.mark.parametrize("text", ['{"hotel-area": ["north"], "x": ["y"]}', '{"hotel": {"area": ["a", 1]}}', "[1]", "{", "3"])
def test_a_file_that_is_no_ontology_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "o.json").write_text(text)
    with pytest.raises(StudioError, match="^o.json.*give a schema.json"):
        ontology_files.read(tmp_path / "o.json")


def test_what_a_file_brings_is_only_what_is_new(ws: Workspace, project: int) -> None:
    found = Ontology({"restaurant": {"area": ["North", "west"], "food": ["thai"]}}, "all", {"restaurant": {"area": "where"}})
    ontology_changes.merge(ws, project, found, "from a file", "anna")
    known = newest(ws, project)
    assert known.values["restaurant"]["area"] == ["north", "south", "west"]
    assert (known.built_from, known.descriptions) == ("all", {"restaurant": {"area": "where"}})
    assert ontology_changes.merge(ws, project, found, "again", "anna") is None


def test_values_are_collected_from_peoples_labels_split_by_split(ws: Workspace, project: int, corrected) -> None:
    turn = dialogues.get_dialogue(ws, corrected("d1")).turns[0]
    corrections.save_slot(ws, turn.id, "hotel", "name", "Acorn", "anna", turn.state_head)
    held = dialogues.get_dialogue(ws, corrected("d2", split="test")).turns[0]
    corrections.save_slot(ws, held.id, "hotel", "name", "Ashley", "anna", held.state_head)
    found = ontology_files.collected(ws, project)
    assert (found.values["hotel"], found.built_from) == ({"name": ["Acorn"]}, "train")
    assert ontology_files.collected(ws, project, ("train", "test")).built_from == "all"


@pytest.fixture
def table(tmp_path: Path) -> entities.Table:
    path = tmp_path / "restaurant_db.json"
    path.write_text(json.dumps(RESTAURANTS))
    return entities.read(path)


def test_an_entity_table_feeds_slots_of_its_columns_names(ws: Workspace, project: int, table: entities.Table) -> None:
    assert table.domain == "restaurant" and set(table.columns()) == {"name", "area", "food", "stars"}
    assert entities.suggested(newest(ws, project), table) == ["name", "area", "food"]
    entities.store(ws, project, table, ["name", "area", "stars"], "anna")
    values = newest(ws, project).values["restaurant"]
    assert values["name"] == ["Pizza Hut", "curry garden", "the oak bistro"]
    assert values["area"] == ["centre", "north", "south"] and values["food"] == ["chinese", "thai"] and values["stars"] == ["3"]
    assert ontology.versions(ws, project)[0].change.startswith("4 entities of restaurant from restaurant_db.json; added")
    assert [stored.entities for stored in entities.tables(ws, project)] == [table.entities]
    entities.remove(ws, project, "restaurant", "anna")
    assert entities.tables(ws, project) == []
    ontology_changes.restore(ws, project, 2, "anna")
    assert len(entities.tables(ws, project)) == 1, "an older version has its tables again"


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("slots", "told"),
    [
        (
            {"name": "Curry Garden", "area": "south"},
            'no restaurant called "Curry Garden" has the area "south"; it is "centre" there',
        ),
        ({"name": "curry garden", "area": "the middle"}, None),  # a synonym
        ({"name": "pizza hut", "area": "centre"}, None),  # one of two of that name
        ({"name": "pizza hut", "area": "north"}, '"centre or south" there'),
        ({"name": "the oak bistro", "pricerange": "cheap"}, None),  # not known of it
        ({"name": "curry garden", "food": "dontcare"}, None),
        ({"name": "curry garden", "area": ["middle", "centre"]}, None),  # one accepted form is right
        ({"name": "wagamama", "area": "south"}, None),
    ],
)
def test_a_known_entity_that_is_said_to_be_what_it_is_not_is_hinted_at(
    ws: Workspace, project: int, table: entities.Table, slots: dict, told: str | None
) -> None:
    entities.store(ws, project, table, ["name", "area"], "anna")
    ontology_changes.set_synonyms(ws, project, "restaurant", "area", "centre", ["the middle"], "anna")
    known, tables = newest(ws, project), entities.tables(ws, project)
    found = [hint.text for hint in entities.contradictions({"restaurant": slots}, known, tables)]
    assert len(found) == (told is not None) and all(told in text for text in found if told)


def test_a_new_name_of_a_domain_keeps_its_table(ws: Workspace, project: int, table: entities.Table) -> None:
    entities.store(ws, project, table, [], "anna")
    ontology_changes.save(ws, project, Change("rename", "restaurant", new="diner"), "anna")
    assert [stored.domain for stored in entities.tables(ws, project)] == ["diner"]
    with ws.read() as session:
        assert session.query(Dialogue).count() == 0


@needs_corpora
@pytest.mark.parametrize(
    ("name", "entities_in_it", "column", "values", "value"),
    [
        ("attraction", 79, "area", 5, "centre"),
        ("bus", 2828, "departure", 13, "cambridge"),
        ("hospital", 66, "department", 59, "neurosciences critical care unit"),
        ("hotel", 33, "stars", 4, "4"),
        ("police", 1, "id", 1, "0"),
        ("restaurant", 110, "food", 23, "italian"),
        ("taxi", 1, "taxi_colors", 6, "yellow"),
        ("train", 2828, "trainID", 2462, "TR7075"),
    ],
)
def test_each_entity_table_of_multiwoz_is_read(name: str, entities_in_it: int, column: str, values: int, value: str) -> None:
    found = entities.read(SHARED / "multiwoz" / "db" / f"{name}_db.json")
    columns = found.columns()
    assert (found.domain, len(found.entities), len(columns[column])) == (name, entities_in_it, values)
    assert value in columns[column] and not {"location", "?", ""} & {*columns, *(v for held in columns.values() for v in held)}


@needs_corpora
@pytest.mark.parametrize(
    ("path", "built_from", "domains", "slots", "values", "areas"),
    [
        ("multiwoz/schema.json", "train", 8, 61, 137, ["centre", "east", "north", "south", "west"]),
        ("multiwoz/convlab_ontology.json", "all", 7, 35, 1839, None),
        ("spokenwoz/eval/spoken_woz_ontology.json", "all", 7, 36, 14307, ["centre", "east", "north", "south", "west"]),
    ],
)
def test_the_ontologies_of_corpora_are_read_as_they_are_published(
    path: str, built_from: str, domains: int, slots: int, values: int, areas: list[str] | None
) -> None:
    found = ontology_files.read(SHARED / path)
    held = [known for of_domain in found.values.values() for known in of_domain.values()]
    assert (found.built_from, len(found.values), len(held), sum(map(len, held))) == (built_from, domains, slots, values)
    hotel = found.values["hotel"]
    assert {"area", "day", "internet", "name", "parking", "people", "pricerange", "stars", "stay", "type"} <= hotel.keys()
    assert areas is None or hotel["area"] == areas
    assert not {"dontcare", "none", "not mentioned", ""} & {value for known in held for value in known}
