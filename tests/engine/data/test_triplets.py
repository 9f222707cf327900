"""Triplets of dialogue states: what is asked for and answered, and that nothing depends on the rest of the data."""

import json

import pytest

from engine.data.slots import known_slots, read_schema
from engine.data.triplets import TripletSettings, with_triplets
from engine.dialogue import Dialogue, Instruction, ManifestError, Turn
from engine.tasks import DataError


def dialogue(name="d", *states):
    turns = []
    for number, state in enumerate(states):
        turns += [Turn(2 * number, "user", f"words {number}", state=state), Turn(2 * number + 1, "agent", "and then")]
    return Dialogue(name, turns)


NORTH = {"restaurant": {"area": "north"}}
FRENCH = {"restaurant": {"area": ["north", "the north"], "food": "french"}}
EVERY = TripletSettings(empty=1.0)


def triplets(dialogues, settings=EVERY, schema=None):
    made = with_triplets(dialogues, schema or known_slots(), settings)
    return [turn.instructions[-1] for dialogue in made for turn in dialogue.user_turns() if turn.instructions]


def test_a_turn_is_asked_for_what_it_changes_among_distractors_that_have_no_value():
    for seed in range(40):
        first, second, third = triplets([dialogue("d", NORTH, FRENCH, FRENCH)], TripletSettings(empty=1.0, seed=seed))
        assert {slot: value for slot, value in first.response.items() if value} == {"restaurant-area": "north"}
        assert {slot: value for slot, value in second.response.items() if value} == {"restaurant-food": "french"}
        assert "restaurant-area" not in second.response, "it has a value from before: neither asked for nor a distractor"
        assert not any(third.response.values())
        for triplet, most in ((first, 0), (second, 2), (third, 3)):
            assert 1 <= sum(not value for value in triplet.response.values()) <= 5
            assert triplet.context <= most
            assert [line[2:].split(":")[0] for line in triplet.instruction.split("\n")[1:]] == list(triplet.response)


def test_counts_of_context_and_distractors_take_every_value_of_their_range():
    many = triplets([dialogue(f"d{n}", NORTH, NORTH, FRENCH) for n in range(60)])[2::3]
    assert {triplet.context for triplet in many} == {0, 1, 2, 3}
    assert {sum(not value for value in triplet.response.values()) for triplet in many} == {1, 2, 3, 4, 5}


def test_a_turns_triplet_depends_on_the_seed_and_its_own_dialogue_alone():
    one, other = dialogue("one", NORTH, FRENCH), dialogue("other", FRENCH)
    assert triplets([one]) == triplets([other, one])[1:]
    assert triplets([one]) != triplets([one], TripletSettings(empty=1.0, seed=2))


def test_of_an_annotated_domain_only_annotated_slots_distract():
    """WOZ 2.0 has restaurant names in its words but not in its states: asking for them would teach a wrong answer."""
    asked = {slot for n in range(200) for triplet in triplets([dialogue(f"d{n}", FRENCH, NORTH)]) for slot in triplet.response}
    assert {slot for slot in asked if slot.startswith("restaurant")} == {"restaurant-area", "restaurant-food"}
    assert len({slot.split("-")[0] for slot in asked}) > 5


def test_turns_without_a_new_value_get_their_share_of_triplets():
    found = triplets([dialogue(f"d{n}", NORTH, *[NORTH] * 9) for n in range(60)], TripletSettings(empty=0.3))
    empty = sum(not any(triplet.response.values()) for triplet in found)
    assert len(found) - empty == 60 and 110 < empty < 215


def test_held_out_slots_are_in_no_instruction_and_no_state():
    both = dialogue("d", FRENCH | {"hotel": {"area": "north"}})
    made = with_triplets([both], known_slots(), TripletSettings(empty=1.0, hold_out=frozenset({"hotel", "restaurant-food"})))
    turn = made[0].turns[0]
    assert turn.state == {"restaurant": {"area": ["north", "the north"]}} and "hotel" not in turn.instructions[0].instruction
    with pytest.raises(DataError, match="cannot hold out 'hotels'"):
        with_triplets([both], known_slots(), TripletSettings(hold_out=frozenset({"hotels"})))


def test_other_triplets_stay_and_old_ones_are_replaced():
    talk = dialogue("d", NORTH)
    talk.turns[0].instructions = [Instruction("slot-filling", "old", {"x-y": ""}), Instruction("sit", "Loud?", "Yes.")]
    kept, new = with_triplets([talk], known_slots(), EVERY)[0].turns[0].instructions
    assert kept.task == "sit" and "old" not in new.instruction


def test_slots_without_description_are_named(tmp_path):
    strange = dialogue("d", {"spa": {"sauna": "yes"}})
    with pytest.raises(DataError, match=r"no description of spa-sauna: give them with --schema"):
        triplets([strange])
    (tmp_path / "own.json").write_text(json.dumps({"spa": {"sauna": "whether a sauna is wanted"}}))
    (only,) = triplets([strange], schema=read_schema(tmp_path / "own.json"))
    assert only.response == {"spa-sauna": "yes"} and "- spa-sauna: whether a sauna is wanted" in only.instruction


def test_schemas_of_sgd_and_multiwoz_give_descriptions_and_the_values_of_closed_slots(tmp_path):
    path = tmp_path / "schema.json"
    slots = [
        {"name": "hotel-bookday", "description": "day of the stay", "possible_values": ["Monday"], "is_categorical": True},
        {"name": "hotel-wifi", "description": "has wifi", "possible_values": ["True", "False"], "is_categorical": True},
        {"name": "hotel-name", "description": "its name", "possible_values": [], "is_categorical": False},
    ]
    path.write_text(json.dumps([{"service_name": "Hotel", "slots": slots}]))
    schema = read_schema(path)
    assert schema.descriptions == {"hotel": {"day": "day of the stay", "wifi": "has wifi", "name": "its name"}}
    assert schema.types == {"hotel": {"day": "categorical", "wifi": "boolean", "name": "text"}}
    (made,) = triplets([dialogue("d", {"hotel": {"day": "monday", "wifi": "true", "name": "acorn"}})], schema=schema)
    assert set(made.instruction.split("\n")[1:]) == {
        "- hotel-day: day of the stay (one of: monday)",
        "- hotel-wifi: has wifi (one of: true, false)",
        "- hotel-name: its name",
    }


@pytest.mark.parametrize("text", ["[1]", "{", '{"hotel": ["area"]}', '[{"slots": []}]'])
def test_a_file_that_is_no_schema_is_refused_by_name(tmp_path, text):
    (tmp_path / "schema.json").write_text(text)
    with pytest.raises(ManifestError, match="schema.json: neither"):
        read_schema(tmp_path / "schema.json")


def test_spoken_queries_are_answered_by_the_agents_next_turn():
    talk = dialogue("d", NORTH, FRENCH)
    talk.turns.pop()
    first, second = with_triplets([talk], known_slots(), EVERY, ["sqit"])[0].user_turns()
    assert first.instructions[0].response == "and then" and second.instructions is None, "the agent never replied to the last"


def test_questions_about_speech_are_answered_by_the_turns_labels():
    kinds = set()
    for seed in range(60):
        made = with_triplets([dialogue("d", FRENCH)], known_slots(), TripletSettings(seed=seed), ["sit", "slot-filling"])
        question, slots = made[0].turns[0].instructions
        assert (question.task, slots.task) == ("sit", "slot-filling")
        kinds.add((question.instruction.split(":")[0], question.response))
    few = "Answer in a few words from what the user says"
    assert {("Write down what the user says.", "words 0"), (few, "french"), (few, "north")} < kinds
    yes_or_no = "Does the user say this now? Answer yes or no"
    assert {answer for kind, answer in kinds if kind == yes_or_no} == {"Yes.", "No."}
