"""The tables. Times are UTC, paths relative to the workspace; nothing here is of one database only."""

from db.models.base import Base, UtcDateTime, utc_now
from db.models.dialogues import Dialogue, EntityTable, Ontology, Project, Recording, SplitMove, Turn, TurnSlot
from db.models.kinds import (
    LABELLED,
    ErrorKind,
    EventKind,
    JobStatus,
    PromotionKind,
    RevisionKind,
    RevisionSource,
    Role,
    Speaker,
    Split,
    TurnStatus,
)
from db.models.labels import Draft, LabelVersion, Prediction, Revision, SlotError, SlotMark, TurnEvent
from db.models.people import Claim, User
from db.models.runs import Checkpoint, Evaluation, Job, Lease, Promotion, Setting, Snapshot, SnapshotRevision

__all__ = [
    "LABELLED",
    "Base",
    "Checkpoint",
    "Claim",
    "Dialogue",
    "Draft",
    "EntityTable",
    "ErrorKind",
    "Evaluation",
    "EventKind",
    "Job",
    "JobStatus",
    "LabelVersion",
    "Lease",
    "Ontology",
    "Prediction",
    "Project",
    "Promotion",
    "PromotionKind",
    "Recording",
    "Revision",
    "RevisionKind",
    "RevisionSource",
    "Role",
    "Setting",
    "SlotError",
    "SlotMark",
    "Snapshot",
    "SnapshotRevision",
    "Speaker",
    "Split",
    "SplitMove",
    "Turn",
    "TurnEvent",
    "TurnSlot",
    "TurnStatus",
    "User",
    "UtcDateTime",
    "utc_now",
]
