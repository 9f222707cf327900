"""Projects, the sample and ontologies."""

import pytest

from db.models import Dialogue, Ontology
from engine.dialogue import DONTCARE
from studio.errors import StudioError
from studio.services import dialogues, ontology, projects, training
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
            ontology.remember(session, session.get_one(Dialogue, dialogue.id), state, "anna")
    with ws.read() as session:
        versions = [row.values for row in session.query(Ontology).order_by(Ontology.version)]
    assert len(versions) == 3
    assert versions[0]["restaurant"]["area"] == ["north", "south"]
    assert ontology.choices(ws, project, "restaurant", "area") == ["north", "south", "west", DONTCARE]
    assert ontology.choices(ws, project, "hotel", "stars") == ["4", DONTCARE]
