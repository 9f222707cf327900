"""What slots mean in words: descriptions for the corpora that have none of their own, and readers of schemas that have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from engine.dialogue import ManifestError, Ontology

# The slots of MultiWOZ, SpokenWOZ and WOZ 2.0, which share their names.
_DESCRIPTIONS = {
    "attraction": {
        "area": "part of town the attraction should be in",
        "name": "name of the attraction",
        "type": "kind of attraction, such as museum, park or cinema",
    },
    "bus": {
        "day": "day of the bus journey",
        "departure": "place the bus leaves from",
        "destination": "place the bus goes to",
        "leaveat": "time the bus should leave",
    },
    "hospital": {"department": "department of the hospital that is needed"},
    "hotel": {
        "area": "part of town the hotel should be in",
        "day": "day the hotel stay begins",
        "internet": "whether the hotel should have internet",
        "name": "name of the hotel",
        "parking": "whether the hotel should have parking",
        "people": "number of people who stay at the hotel",
        "pricerange": "how expensive the hotel may be",
        "stars": "star rating of the hotel",
        "stay": "number of nights at the hotel",
        "type": "whether a hotel or a guesthouse is wanted",
    },
    "profile": {
        "email": "e-mail address of the user",
        "idnumber": "identity number of the user",
        "name": "name of the user",
        "phonenumber": "telephone number of the user",
        "platenumber": "number plate of the user's car",
    },
    "restaurant": {
        "area": "part of town the restaurant should be in",
        "day": "day of the restaurant booking",
        "food": "kind of food the restaurant should serve",
        "name": "name of the restaurant",
        "people": "number of people of the restaurant booking",
        "pricerange": "how expensive the restaurant may be",
        "time": "time of the restaurant booking",
    },
    "taxi": {
        "arriveby": "time the taxi should arrive by",
        "departure": "place the taxi leaves from",
        "destination": "place the taxi goes to",
        "leaveat": "time the taxi should leave",
    },
    "train": {
        "arriveby": "time the train should arrive by",
        "day": "day of the train journey",
        "departure": "place the train leaves from",
        "destination": "place the train goes to",
        "leaveat": "time the train should leave",
        "people": "number of train tickets",
    },
}


def known_slots() -> Ontology:
    """The slots whose descriptions come with the engine: those of MultiWOZ, SpokenWOZ and WOZ 2.0."""
    values: dict[str, dict[str, list[str]]] = {domain: {slot: [] for slot in slots} for domain, slots in _DESCRIPTIONS.items()}
    return Ontology(values, descriptions={domain: dict(slots) for domain, slots in _DESCRIPTIONS.items()})


def read_schema(path: str | Path) -> Ontology:
    """Slots with descriptions, types and values, from one of three layouts of JSON.

    - the ``schema.json`` of SGD and MultiWOZ 2.2: a list of services with their slots;
    - an ontology of ours: ``{"values": ..., "descriptions": ..., "types": ...}``;
    - the descriptions alone: ``{domain: {slot: description}}``.

    Domains are lower-case; of MultiWOZ's slots the domain and "book" before the name are left out, as its readers do.

    Raises:
        ManifestError: no such file, or none of these layouts.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, list):
            return _services(data)
        if "values" in data:
            return Ontology.from_json(data)
        values: dict[str, dict[str, list[str]]] = {domain: {slot: [] for slot in slots} for domain, slots in data.items()}
        return Ontology.from_json({"built_from": "train", "values": values, "descriptions": data})
    except FileNotFoundError as error:
        raise ManifestError(f"{path}: no such schema") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ManifestError(
            f"{path}: neither a schema.json of SGD or MultiWOZ 2.2, nor an ontology, nor {{domain: {{slot: description}}}} "
            f"({type(error).__name__}: {error})"
        ) from error


def _services(services: list[dict[str, Any]]) -> Ontology:
    schema = Ontology()
    for service in services:
        domain = service["service_name"].lower()
        for slot in service["slots"]:
            name = slot["name"].lower().removeprefix(f"{domain}-").removeprefix("book")
            values = [str(value).lower() for value in slot.get("possible_values", [])]
            kind = "categorical" if slot.get("is_categorical") else "text"
            schema.values.setdefault(domain, {})[name] = values
            schema.descriptions.setdefault(domain, {})[name] = slot["description"]
            schema.types.setdefault(domain, {})[name] = "boolean" if set(values) == {"true", "false"} else kind
    return schema
