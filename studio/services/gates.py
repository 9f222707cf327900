"""The gate: rules a checkpoint has to pass on held-out dialogues before it is put in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.orm import Session

from db.repositories import checkpoints as checkpoint_rows
from db.repositories import settings
from studio.errors import StudioError
from studio.services import checkpoints
from studio.workspace import Workspace

UNJUDGED = (
    "The gate has nothing to judge by: this checkpoint and the one in use were not scored on the same held-out dialogues. "
    "Hold out some corrected dialogues and score it on them."
)
UNMEASURED = (
    "The gate has nothing to judge by: the held-out dialogues that both checkpoints were scored on have no labels for what its "
    "rules ask. Correct words and states of held-out dialogues, or change the rules."
)
NO_RULES = "The gate has no rules: every checkpoint passes."


@dataclass(frozen=True)
class Rules:
    """By how many points a new checkpoint may be worse than the one in use; ``None`` switches a rule off.

    ``slot_loss`` is about the F1 of every single slot.
    """

    jga_loss: float | None = 0.0
    wer_rise: float | None = 1.0
    slot_loss: float | None = 2.0


@dataclass(frozen=True)
class Finding:
    """One rule's answer: ``change`` in points (below 0 is worse, whatever the score), the ``limit``, whether that passes.

    ``project`` is the name of the project whose held-out dialogues were scored, empty where it is not known.
    """

    project: str
    rule: str
    before: float
    after: float
    change: float
    limit: float
    passed: bool

    @property
    def title(self) -> str:
        """What was judged, where."""
        return f"{self.rule} on {self.project}" if self.project else self.rule

    @property
    def sentence(self) -> str:
        """The finding for people."""
        how = "better" if self.change > 0 else "worse" if self.change < 0 else "the same"
        points = f"{abs(self.change):.1f} points {how}" if self.change else how
        allowed = f"may be {self.limit:.1f} points worse" if self.limit else "may not be worse"
        return f"{self.title}: {self.before:.1f} % → {self.after:.1f} %, {points}; {allowed}"


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a checkpoint against the one in use, whose id ``against`` is; ``problem`` is why it could not judge,
    if so. ``unjudged`` are the projects, by name, with held-out dialogues on which the one in use was scored and the checkpoint
    was not.
    """

    against: int
    findings: tuple[Finding, ...] = ()
    problem: str | None = None
    unjudged: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether there was anything to judge by."""
        return self.problem is None

    @property
    def passed(self) -> bool:
        """Whether every rule is kept on every project that was judged; no verdict is no pass."""
        return self.judged and all(finding.passed for finding in self.findings)

    @property
    def promotes(self) -> bool:
        """Whether that is enough to put the checkpoint in use with nobody looking: it passed, and on every project."""
        return self.passed and not self.unjudged

    @property
    def missing(self) -> str:
        """What was not judged, and what to do about that; empty where everything was."""
        if not self.unjudged:
            return ""
        names = ", ".join(self.unjudged)
        return f"Not judged on {names}, which the one in use was scored on: score it there (Models page) before it is put in use."

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        return " ".join(part for part in (self._judgement, self.missing) if part)

    @property
    def _judgement(self) -> str:
        if self.problem is not None:
            return self.problem
        if not self.findings:
            return NO_RULES
        broken = [finding.sentence for finding in self.findings if not finding.passed]
        if broken:
            return f"Refused by the gate: {'; '.join(broken)}."
        projects = dict.fromkeys(finding.project for finding in self.findings if finding.project)
        return f"Passes the gate on {', '.join(projects)}." if projects else "Passes the gate."

    def to_json(self) -> dict[str, Any]:
        """The verdict as it is kept."""
        found = {"passed": self.passed, "findings": [asdict(finding) for finding in self.findings]}
        return found | ({"unjudged": list(self.unjudged)} if self.unjudged else {})


def rules(ws: Workspace) -> Rules:
    """The rules of the workspace."""
    with ws.read() as session:
        return Rules(**settings.get(session, settings.GATE, {}))


def set_rules(ws: Workspace, wanted: Rules) -> Rules:
    """Change the rules.

    Raises:
        StudioError: a limit that is below 0.
    """
    for name, limit in asdict(wanted).items():
        if limit is not None and not limit >= 0:
            raise StudioError(
                f"The gate's {name.replace('_', ' ')} is in points and not below 0: leave it empty to switch it off."
            )
    with ws.write() as session:
        settings.put(session, settings.GATE, asdict(wanted))
    return wanted


def verdict(ws: Workspace, checkpoint_id: int) -> Verdict:
    """Judge a checkpoint against the one in use: of each project, on the newest held-out dialogues that both were scored on."""
    kept = rules(ws)
    with ws.read() as session:
        return judge(session, kept, checkpoints.in_use_id(session), checkpoint_id)


def judge(session: Session, kept: Rules, used_id: int, checkpoint_id: int) -> Verdict:
    """Hold what ``engine evaluate`` printed for two checkpoints against the rules. What was not measured is not judged."""
    if kept == Rules(None, None, None):
        return Verdict(used_id)
    both = checkpoint_rows.common_by_project(session, used_id, checkpoint_id)
    if not both:
        return Verdict(used_id, problem=UNJUDGED)
    found = [finding for name, before, after in both for finding in _findings(kept, name, before.scores, after.scores)]
    judged = {name for name, _, _ in both}
    held_out = checkpoint_rows.projects_scored_on(session, used_id)
    unjudged = tuple(project.name for project in held_out if project.name not in judged)
    return Verdict(used_id, tuple(found), None if found else UNMEASURED, unjudged)


def _findings(kept: Rules, project: str, before: dict[str, Any], after: dict[str, Any]) -> Iterator[Finding]:
    asked = [
        ("Joint goal accuracy", before.get("jga"), after.get("jga"), kept.jga_loss, 1),
        ("Word error rate", before.get("wer"), after.get("wer"), kept.wer_rise, -1),
    ]
    old, new = before.get("per_slot", {}), after.get("per_slot", {})
    for slot in sorted(old.keys() & new.keys()):
        asked.append((f"F1 of {slot}", old[slot].get("slot_f1"), new[slot].get("slot_f1"), kept.slot_loss, 1))
    for rule, was, now, limit, better in asked:
        if was is not None and now is not None and limit is not None:
            change = (now - was) * better
            yield Finding(project, rule, was, now, change, limit, change >= -limit - 1e-9)
