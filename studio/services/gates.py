"""The gate: rules a checkpoint has to pass on held-out dialogues before it is put in use."""

from __future__ import annotations

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
    """One rule's answer: ``change`` in points (below 0 is worse, whatever the score), the ``limit``, whether that passes."""

    rule: str
    before: float
    after: float
    change: float
    limit: float
    passed: bool

    @property
    def sentence(self) -> str:
        """The finding for people."""
        how = "better" if self.change > 0 else "worse" if self.change < 0 else "the same"
        points = f"{abs(self.change):.1f} points {how}" if self.change else how
        allowed = f"may be {self.limit:.1f} points worse" if self.limit else "may not be worse"
        return f"{self.rule}: {self.before:.1f} % → {self.after:.1f} %, {points}; {allowed}"


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a checkpoint against the one in use; without findings it could not judge."""

    findings: tuple[Finding, ...]

    @property
    def judged(self) -> bool:
        """Whether there was anything to judge by."""
        return bool(self.findings)

    @property
    def passed(self) -> bool:
        """Whether every rule is kept; no verdict is no pass."""
        return self.judged and all(finding.passed for finding in self.findings)

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        if not self.judged:
            return UNJUDGED
        broken = [finding.sentence for finding in self.findings if not finding.passed]
        return f"Refused by the gate: {'; '.join(broken)}." if broken else "Passes the gate."

    def to_json(self) -> dict[str, Any]:
        """The verdict as it is kept."""
        return {"passed": self.passed, "findings": [asdict(finding) for finding in self.findings]}


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
    """Judge a checkpoint against the one in use, on the newest held-out dialogues that both were scored on."""
    kept = rules(ws)
    with ws.read() as session:
        return _verdict(session, kept, checkpoints.in_use_id(session), checkpoint_id)


def judge(kept: Rules, before: dict[str, Any], after: dict[str, Any]) -> Verdict:
    """Hold two objects that ``engine evaluate`` printed against the rules. What was not measured is not judged."""
    found: list[Finding | None] = [
        _finding("Joint goal accuracy", before.get("jga"), after.get("jga"), kept.jga_loss),
        _finding("Word error rate", before.get("wer"), after.get("wer"), kept.wer_rise, falling=True),
    ]
    old, new = before.get("per_slot", {}), after.get("per_slot", {})
    for slot in sorted(old.keys() & new.keys()):
        found.append(_finding(f"F1 of {slot}", old[slot].get("slot_f1"), new[slot].get("slot_f1"), kept.slot_loss))
    return Verdict(tuple(finding for finding in found if finding is not None))


def _verdict(session: Session, kept: Rules, used_id: int, checkpoint_id: int) -> Verdict:
    both = checkpoint_rows.common(session, used_id, checkpoint_id)
    return judge(kept, both[0].scores, both[1].scores) if both is not None else Verdict(())


def _finding(rule: str, before: float | None, after: float | None, limit: float | None, falling: bool = False) -> Finding | None:
    if before is None or after is None or limit is None:
        return None
    change = before - after if falling else after - before
    return Finding(rule, before, after, change, limit, change >= -limit - 1e-9)
