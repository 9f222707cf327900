"""Value lists for fuzzy matching: our ``ontology.json``, and the two layouts paper 1's evaluator has.

A list that was made from test states too is an oracle: figures made with it must say so. Our own files state what they
were built from; the published ones are known by their content; of any other the user says it, else it counts as ``all``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from engine.dialogue import BUILT_FROM, Ontology
from engine.json_text import FileError, line_of, parse, read_text
from engine.postprocess.paper import EXEMPT, MULTIWOZ_SCHEMA, SPOKENWOZ_SCHEMA

# The files of BUTSpeechFIT/MultiWOZ_Evaluation, mwzeval/data/database: sha256 of their content with sorted keys.
_PUBLISHED = {
    # spoken_woz_ontology.json
    "99c730c1ea820daa55cdaebe4e0078b9372fb0a9539a590cbecb16582af3e626": "all",
    # sa_mwoz_train_dev_test_names.json
    "0efa0dc4d2be7ef3f3d00c9b0a483e1086d43fad550590219241905aafb1e180": "all",
    # sa_mwoz_train_dev_names.json
    "c590308d047a3d809effb4a79a5a38bc6ed78199069e89d9835f5153c9efa25b": "train+dev",
}


def read_value_lists(path: str | Path, built_from: str | None = None) -> tuple[Ontology, bool]:
    """Read a file of known values, plain or gzip'ed.

    ``{"built_from": ..., "values": {domain: {slot: [value, ...]}}}`` is ours; ``{domain: {slot: [...]}}`` are the
    speech-aware MultiWOZ lists and ``{"domain-slot": [...]}`` the SpokenWOZ ontology of paper 1's evaluator. Those two
    come back with that evaluator's schema: its slots in its order, times and counts open (an empty list).

    Args:
        built_from: the splits the values come from; needed where the file is not one of the published ones and does
            not say it, or else ``all`` is assumed. What is known of a file cannot be said otherwise.

    Returns:
        The ontology, and whether the file is ours (whose lists never hold ``dontcare``).

    Raises:
        FileError: not such a file, or ``built_from`` contradicts what is known of it; with the line and the reason.
    """
    text = read_text(path)
    data = parse(path, text)
    if not isinstance(data, dict) or not data:
        raise FileError(f"{path}, line 1: must hold an object of domains or of domain-slot names, and at least one")
    if built_from not in (None, *BUILT_FROM):
        raise FileError(f"values cannot be built from {built_from!r}; say {', '.join(BUILT_FROM)}")
    if "values" in data and isinstance(data["values"], dict):
        stated = data.get("built_from")
        fault = ""
        if stated not in (None, *BUILT_FROM):
            fault = f"built_from must be one of {', '.join(BUILT_FROM)}, not {stated!r}"
        elif stated and built_from not in (None, stated):
            fault = f"states that it is built from {stated}, which cannot be called {built_from}"
        if fault:
            raise FileError(f"{path}, line {line_of(text, 'built_from')}: {fault}")
        ontology = Ontology(data["values"], stated or built_from or "all", synonyms=_synonyms(path, text, data))
        _check(path, text, ontology.values, "values")
        return ontology, True
    published = _PUBLISHED.get(hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest())
    if published and built_from not in (None, published):
        raise FileError(f"{path}: a published list, known to be built from {published}, which cannot be called {built_from}")
    known = published or built_from or "all"
    if any(isinstance(values, list) for values in data.values()):
        nested: dict[str, dict[str, Any]] = {}
        for name, values in data.items():
            domain, found, slot = name.partition("-")
            if not found or not isinstance(values, list):
                raise FileError(
                    f"{path}, line {line_of(text, name)}: {name!r} must be named domain-slot and hold a list of values; "
                    "a list for a whole domain cannot be used, as slots would take each other's values"
                )
            nested.setdefault(domain, {})[slot] = values
        _check(path, text, nested)
        return Ontology(_with_schema(nested, SPOKENWOZ_SCHEMA), known), False
    _check(path, text, data)
    return Ontology(_with_schema(data, MULTIWOZ_SCHEMA), known), False


def _with_schema(values: dict[str, dict[str, list[str]]], schema: Any) -> dict[str, dict[str, list[str]]]:
    if not values.keys() & schema.keys():  # another corpus in the same layout: its own slots are the schema
        return values
    return {
        domain: {slot: [] if slot in EXEMPT else values.get(domain, {}).get(slot, []) for slot in slots}
        for domain, slots in schema.items()
    }


def _synonyms(path: str | Path, text: str, data: dict[str, Any]) -> dict[str, Any]:
    try:
        return Ontology.from_json({"values": {}, "synonyms": data.get("synonyms", {})}).synonyms
    except (ValueError, AttributeError) as error:
        raise FileError(
            f"{path}, line {line_of(text, 'synonyms')}: synonyms must be lists of texts by domain, slot and value"
        ) from error


def _check(path: str | Path, text: str, values: dict[str, Any], *above: str) -> None:
    for domain, slots in values.items():
        if not isinstance(slots, dict):
            raise FileError(f"{path}, line {line_of(text, *above, domain)}: {domain!r} must hold an object of slots")
        for slot, known in slots.items():
            if not isinstance(known, list) or not all(isinstance(value, str) for value in known):
                line = line_of(text, *above, domain, slot)
                raise FileError(f"{path}, line {line}: {domain}-{slot} must hold a list of texts")
