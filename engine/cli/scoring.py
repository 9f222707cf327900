"""The command that scores a prediction file against a reference."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from engine.cli.common import AsJson, errors

_HELP = {
    "reference": "Gold states: the published evaluators' JSON, or a manifest; plain or gzip'ed.",
    "predictions": "Predicted states: the published evaluators' JSON, or what evaluate --predictions wrote.",
    "profile": "What counts as right: strict, but (paper 1's evaluator) or mwzeval (Tomiinek's).",
    "fuzzy": "Move predicted values to known ones first: as paper 1's evaluator does, or by slot type.",
    "names": "The known values, for --fuzzy: an ontology.json of ours, or a list of paper 1's evaluator.",
    "built_from": "The splits that --names comes from, where the file does not say it; all (an oracle) if unknown.",
    "without_dontcare": "mwzeval only: leave dontcare out of the reference, as its own loader of MultiWOZ 2.2 does.",
    "matches": "Also write each turn's state after matching, with every value's score and runner-up (JSON Lines).",
    "compare": "A second prediction file, the baseline: what is better than it, what worse, and whether that is chance.",
    "robustness": "Also score with the predicted names misspelt and paraphrased, with and without --fuzzy.",
    "seed": "For --robustness and --compare; the same seed gives the same figures.",
}


def score(
    reference: Annotated[Path, typer.Option(help=_HELP["reference"])],
    predictions: Annotated[Path, typer.Option(help=_HELP["predictions"])],
    profile: Annotated[Literal["strict", "but", "mwzeval"], typer.Option(help=_HELP["profile"])] = "strict",
    fuzzy: Annotated[Literal["paper", "typed"] | None, typer.Option(help=_HELP["fuzzy"])] = None,
    names: Annotated[Path | None, typer.Option(help=_HELP["names"])] = None,
    built_from: Annotated[Literal["train", "train+dev", "all"] | None, typer.Option(help=_HELP["built_from"])] = None,
    without_dontcare: Annotated[bool, typer.Option("--without-dontcare", help=_HELP["without_dontcare"])] = False,
    matches: Annotated[Path | None, typer.Option(dir_okay=False, help=_HELP["matches"])] = None,
    compare: Annotated[Path | None, typer.Option(help=_HELP["compare"])] = None,
    robustness: Annotated[bool, typer.Option("--robustness", help=_HELP["robustness"])] = False,
    seed: Annotated[int, typer.Option(help=_HELP["seed"])] = 0,
    as_json: AsJson = False,
) -> None:
    """Score predicted states against gold ones with a named profile."""
    from engine.scoring.align import align
    from engine.scoring.compare import compare_systems
    from engine.scoring.files import read_matcher, read_predictions, read_reference
    from engine.scoring.profiles import PROFILES, MwzEval
    from engine.scoring.provenance import made_with
    from engine.scoring.report import score_files
    from engine.scoring.robustness import score_perturbed

    _check_options(profile, fuzzy, names, built_from, without_dontcare, matches, robustness)
    with errors():
        rules = MwzEval(without_dontcare=True) if without_dontcare else PROFILES[profile]
        gold = read_reference(reference)
        aligned = align(gold, read_predictions(predictions), rules)
        matcher = read_matcher(names, fuzzy, rules, built_from) if fuzzy and names else None
        result = {"reference": str(reference), "predictions": str(predictions)} | score_files(aligned, rules, matcher)
        if result["fuzzy"]:
            result["fuzzy"]["names"] = str(names)
        if robustness and matcher:
            result["robustness"] = score_perturbed(aligned, rules, matcher, seed)
        if compare:
            baseline = align(gold, read_predictions(compare), rules)
            before, after = (side.matched(matcher)[0] if matcher else side for side in (baseline, aligned))
            fuzzy_from = {"fuzzy": matcher and {"mode": matcher.mode} | matcher.ontology.origin()}
            head = {"baseline": str(compare), "baseline_made": made_with(baseline)} | fuzzy_from
            result["comparison"] = head | compare_systems(before, after, rules, seed)
        if matches and matcher:
            _write_matches(matches, matcher, *aligned.matched(matcher))
    print(json.dumps(result, ensure_ascii=False) if as_json else "\n".join(_readable(result)))


def _check_options(
    profile: str, fuzzy: str | None, names: Path | None, built_from: str | None, without_dontcare: bool, *needs_fuzzy: Any
) -> None:
    if (fuzzy is None) != (names is None):
        raise typer.BadParameter("--fuzzy and --names belong together: how to match, and what with")
    if fuzzy is None and (built_from or any(needs_fuzzy)):
        raise typer.BadParameter("--built-from, --matches and --robustness are about fuzzy matching: give --fuzzy and --names")
    if without_dontcare and profile != "mwzeval":
        raise typer.BadParameter("--without-dontcare belongs to the profile mwzeval")


def _write_matches(path: Path, matcher: Any, matched: Any, found: list[Any]) -> None:
    origin = {"mode": matcher.mode} | matcher.ontology.origin()
    with path.open("w", encoding="utf-8") as file:
        for answer, made in zip(matched.answers(), found, strict=True):
            line = {"dialogue_id": answer.dialogue, "user_turn": answer.index + 1, "state": answer.state} | origin
            line["matches"] = {domain: {slot: asdict(match) for slot, match in slots.items()} for domain, slots in made.items()}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _readable(result: dict[str, Any]) -> list[str]:
    from engine.scoring.provenance import described
    from engine.scoring.robustness import NOTHING_TO_PERTURB

    oracle = " (oracle: its values include the test split's)" if result["oracle"] else ""
    ontology = f", fuzzy matching {result['fuzzy']['mode']}, ontology {result['ontology']}{oracle}" if result["fuzzy"] else ""
    lines = [f"profile {result['profile']}{ontology}; {result['dialogues']} dialogues, {result['user_turns']} user turns"]
    if result["made"]:
        lines.append(f"made with {described(result['made'])}")
    if result["unscored_dialogues"] or result["unscored_turns"]:
        lines.append(
            f"not scored, as the published evaluator leaves out what has no prediction: {len(result['unscored_dialogues'])} "
            f"dialogues, {result['unscored_turns']} user turns"
        )
    for key in ("wer", "jga", "ser", "slot_f1", "slot_precision", "slot_recall", "partial_f1"):
        if key in result:
            lines.append(f"{key:16} {_percent(result[key])}" + _interval(result.get(f"{key}_interval")) + _before(result, key))
    counts = result["counts"]
    lines.append(
        f"slots: {counts['reference_slots']} in the reference, {counts['predicted_slots']} predicted; "
        f"{counts['substitutions']} wrong, {counts['insertions']} too many, {counts['deletions']} missing"
    )
    lines += _tables(result, oracle)
    perturbed = result.get("robustness", {}).get("kinds", {})
    if perturbed and not any(row["values"] for row in perturbed.values()):
        lines.append(f"robustness       {NOTHING_TO_PERTURB}")
        perturbed = {}
    for kind, row in perturbed.items():
        lines.append(
            f"{kind:16} {row['values']} values changed: JGA {_percent(row['plain']['jga'])}, "
            f"with fuzzy matching {_percent(row['fuzzy']['jga'])}{oracle}"
        )
    if "comparison" in result:
        lines += _comparison(result["comparison"], oracle)
    return lines


def _tables(result: dict[str, Any], oracle: str) -> list[str]:
    lines = []
    for key in filter(result.get, ("per_domain", "per_slot", "per_depth")):
        title = key.replace("_", " ")
        lines.append(f"{title:30}  turns    JGA %    SER %     F1 %   wrong  too many  missing{oracle}")
        for name, row in result[key].items():
            scores = " ".join(f"{'-' if row[score] is None else f'{row[score]:.2f}':>8}" for score in ("jga", "ser", "slot_f1"))
            counts = row["counts"]
            errors = f"{counts['substitutions']:>7}  {counts['insertions']:>8}  {counts['deletions']:>7}"
            lines.append(f"  {name:28} {counts['turns']:>6} {scores} {errors}")
    return lines


def _comparison(found: dict[str, Any], oracle: str) -> list[str]:
    from engine.scoring.provenance import described

    made = f", made with {described(found['baseline_made'])}" if found["baseline_made"] else ""
    matched = f", both after fuzzy matching {found['fuzzy']['mode']}{oracle}" if found["fuzzy"] else ""
    lines = [f"against {found['baseline']}{made}{matched}: turns {_changes(found['turns'])}"]
    for score, row in found["scores"].items():
        lines.append(
            f"{score:16} {_percent(row['baseline'])} -> {_percent(row['system'])}, difference {row['difference']:+.2f}"
            f"{_interval(row['interval'])}" + ("" if row["p_value"] is None else f", p = {row['p_value']:.4f}")
        )
    for depth, row in found["per_depth"].items():
        lines.append(f"  depth {depth:>3}, {row['turns']:>5} turns: JGA {_percent(row['baseline'])} -> {_percent(row['system'])}")
    for slot, row in found["per_slot"].items():
        lines.append(f"  {slot:28} {_changes(row)}")
    return lines


def _changes(row: dict[str, int]) -> str:
    return f"fixed {row['fixed']}, broken {row['broken']}, still wrong {row['still_wrong']}"


def _before(result: dict[str, Any], key: str) -> str:
    plain = (result["plain"] or {}).get(key)
    return "" if plain is None else f"   without matching {_percent(plain)}"


def _interval(interval: Any) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} %"
