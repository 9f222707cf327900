"""One HTML page of a run, or of two compared: figures, plots and every turn behind them, with nothing from outside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from engine.dialogue import Dialogue
from engine.report import tables
from engine.report.clips import Clips
from engine.report.figures import figures
from engine.report.turns import BINS, Row, System, confidences
from engine.scoring.reliability import ece

_ASSETS = files("engine.report") / "assets"
_STATUSES = {
    "right": "right",
    "wrong": "wrong",
    "fixed": "fixed (wrong → right)",
    "broken": "broken (right → wrong)",
    "still-wrong": "still wrong",
    "still-right": "still right",
    "unscored": "not judged",
}


@dataclass
class Report:
    """What a page shows: ``rows`` are those of `turn_rows`, ``domains`` each slot's domain, ``facts`` the head of the page.

    ``comparison`` is that of `compare_systems`, ``robustness`` that of `score_perturbed` for each system.
    """

    dialogues: Sequence[Dialogue]
    systems: Sequence[System]
    rows: list[Row]
    domains: dict[str, str]
    facts: list[tuple[str, str]] = field(default_factory=list)
    clips: Clips = field(default_factory=Clips)
    comparison: dict[str, Any] | None = None
    robustness: list[dict[str, Any]] = field(default_factory=list)

    @property
    def paired(self) -> bool:
        return len(self.systems) == 2

    @property
    def heard(self) -> bool:
        """Whether there are words to compare."""
        return any(system.scores.get("wer") is not None for system in self.systems)

    @property
    def fuzzy(self) -> dict[str, Any] | None:
        """The first system's scores after fuzzy matching; None where no ontology was given."""
        return self.systems[0].scores["fuzzy"]

    @property
    def views(self) -> dict[str, str]:
        """What the list of turns can judge instead of the answers as they are, and how it is called."""
        matched = "after fuzzy matching" + (" (oracle)" if self.fuzzy and self.fuzzy["oracle"] else "")
        names = {"typos": "misspelt", "paraphrases": "paraphrased"}
        views = (view for view in self.systems[0].views() if view != "plain")
        kinds = {view: names.get(view.removesuffix("-fuzzy"), "") for view in views}
        return {view: ", ".join(filter(None, (kind, matched if view.endswith("fuzzy") else ""))) for view, kind in kinds.items()}

    def numbers(self) -> dict[str, Any]:
        """The page's numbers as a JSON object: ``facts``, ``systems`` with their scores, ``comparison``, ``robustness``.

        A system's ``ece`` is the calibration error of its confidence from 0 to 1, None where it answered with none.
        """
        judged = [confidences(self.rows, number) for number in range(len(self.systems))]
        return {
            "facts": dict(self.facts),
            "systems": [
                {"name": system.name} | system.scores | {"ece": ece(*pairs, BINS) if pairs[0] else None}
                for system, pairs in zip(self.systems, judged, strict=True)
            ],
            "comparison": self.comparison,
            "robustness": self.robustness,
        }


def render(report: Report) -> str:
    """The page as text; whatever came from a file is escaped."""
    environment = Environment(
        loader=PackageLoader("engine.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, style = ((_ASSETS / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    names = [dialogue.dialogue_id for dialogue in report.dialogues]
    shown = [(key, text) for key, text in _STATUSES.items() if report.paired or key in ("right", "wrong", "unscored")]
    return environment.get_template("page.html").render(
        report=report,
        title=f"Spoken DST report: {' against '.join(system.name for system in report.systems)}",
        policy=_policy(script),
        script=Markup(script),
        style=Markup(style),
        data=as_script(_data(report)),
        scores=[
            tables.state_table(report.systems, report.comparison),
            tables.word_table(report.systems, report.rows, report.comparison),
            *([tables.robustness_table(report.systems, report.robustness)] if report.robustness else []),
        ],
        statuses=tables.status_cells(report.systems, report.rows),
        breakdowns=[tables.breakdown_table(which, report.systems, report.rows, report.domains) for which in tables.BREAKDOWNS],
        dialogue_table=tables.dialogue_table(names, report.systems, report.rows),
        figures=figures(names, report.systems, report.rows),
        choices=shown,
        depths=sorted({row["depth"] for row in report.rows}),
    )


def _policy(script: str) -> str:
    """What the browser is to allow this page: its own script, styles and sounds, and nothing from anywhere else."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; media-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _data(report: Report) -> dict[str, Any]:
    """What the page's script reads; see `assets/page.js`."""
    return {
        "systems": [system.name for system in report.systems],
        "fuzzy": report.fuzzy and {"oracle": report.fuzzy["oracle"]},
        "views": report.views,
        "audio": any(turn.audio for dialogue in report.dialogues for turn in dialogue.turns),
        "bins": [f"{place / BINS:.1f} to {(place + 1) / BINS:.1f}" for place in range(BINS)],
        "domains": report.domains,
        "dialogues": [
            {"id": dialogue.dialogue_id, "turns": [[turn.turn_id, turn.speaker, turn.transcript] for turn in dialogue.turns]}
            for dialogue in report.dialogues
        ],
        "turns": report.rows,
    }


def as_script(data: Any) -> Markup:
    """JSON for the inside of a script element: no character that could end the element or open another."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
