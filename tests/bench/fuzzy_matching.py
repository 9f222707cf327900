"""How many misspelt values does fuzzy matching put right, and how many does it move that it should leave alone?

    python -m tests.bench.fuzzy_matching REFERENCE NAMES [--seed N]

REFERENCE holds gold states (the published evaluators' layout or a manifest), NAMES the known values (see
`engine.postprocess.value_lists`). Each different gold value that the list knows gets one random character replaced, left
out, doubled or swapped with the next, and is matched in both modes; then the same misspelt value is matched with a list
that lacks its original, where every move is wrong. Prints a Markdown table.
"""

import argparse
import random
from collections import defaultdict

from engine.dialogue import DONTCARE, Ontology, accepted
from engine.postprocess import FuzzyMatcher, read_value_lists
from engine.postprocess.normalise import normalise_value, slot_type
from engine.scoring.files import read_reference
from engine.scoring.robustness import misspell

MODES = ("paper", "typed")


def gold_values(reference):
    """Each different value of each (domain, slot) in the reference."""
    found = defaultdict(dict)
    for turns in reference.dialogues.values():
        for turn in turns:
            for domain, slots in (turn.state or {}).items():
                for slot, value in slots.items():
                    found[domain, slot][accepted(value)[0]] = None
    return found


def kind_of(slot):
    names = {"departure": "stations and places", "destination": "stations and places", "name": "venue names"}
    return slot if slot_type(slot) == "code" else names.get(slot, slot)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference")
    parser.add_argument("names")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    ontology, ours = read_value_lists(arguments.names)
    counts = defaultdict(lambda: defaultdict(int))
    for (domain, slot), values in gold_values(read_reference(arguments.reference)).items():
        known = ontology.values.get(domain, {}).get(slot, [])
        forms = {normalise_value(value, slot): value for value in known}
        if not known or slot_type(slot) not in ("code", "text") or len(known) < 20:
            continue
        kind = "person names" if domain == "profile" and slot == "name" else kind_of(slot)
        for value in values:
            original = forms.get(normalise_value(value, slot))
            if original is None or normalise_value(value, slot) == DONTCARE or len(value) < 3:
                continue
            heard = misspell(value.lower(), random.Random(f"{arguments.seed} {domain} {slot} {value}"))
            counts[kind]["values"] += 1
            without = [entry for entry in known if normalise_value(entry, slot) != normalise_value(value, slot)]
            for mode in MODES:
                full, lacking = (
                    FuzzyMatcher(Ontology({domain: {slot: entries}}), mode, lists_dontcare=not ours).match(domain, slot, heard)
                    for entries in (known, without)
                )
                right = normalise_value(full.value, slot) == normalise_value(value, slot)
                counts[kind][mode] += right
                counts[kind][f"{mode} wrong"] += full.accepted and not right
                counts[kind][f"{mode} unknown"] += lacking.accepted
    print(f"{ontology.built_from=}, seed {arguments.seed}")
    print("| slot | values | paper: right | wrong entry | typed: right | wrong entry | unknown moved: paper | typed |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, row in sorted(counts.items()):
        cells = [row["values"]]
        for mode in MODES:
            cells += [row[mode], row[f"{mode} wrong"]]
        cells += [row[f"{mode} unknown"] for mode in MODES]
        print(f"| {kind} | " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main()
