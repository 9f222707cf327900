"""What rows can be: the words their columns are limited to."""

from __future__ import annotations

from enum import StrEnum


class Split(StrEnum):
    """``test`` dialogues are held out: scored on, never trained on."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"


class Speaker(StrEnum):
    USER = "user"
    AGENT = "agent"


class TurnStatus(StrEnum):
    """How far a turn has come; kept beside the revisions so that lists need not read them."""

    NEW = "new"
    PREDICTED = "predicted"
    CORRECTED = "corrected"
    REVIEWED = "reviewed"
    FINAL = "final"


LABELLED = (TurnStatus.CORRECTED, TurnStatus.REVIEWED, TurnStatus.FINAL)  # somebody said what is right


class RevisionKind(StrEnum):
    """What changed. A ``confirmation`` changes no label: somebody said of ``{domain: {slot: value}}`` that it is right."""

    TRANSCRIPT = "transcript"
    STATE = "state"
    CONFIRMATION = "confirmation"


LABEL_KINDS = (RevisionKind.TRANSCRIPT, RevisionKind.STATE)


class RevisionSource(StrEnum):
    """Where a new value came from.

    ``propagated``: an earlier turn was corrected and this one decoded again. ``ontology``: a slot or value was renamed.
    ``adjudicated``: what two people annotated blind became the project's.
    """

    MODEL = "model"
    USER = "user"
    IMPORT = "import"
    UNDO = "undo"
    REDO = "redo"
    PROPAGATED = "propagated"
    ONTOLOGY = "ontology"
    ADJUDICATED = "adjudicated"


class Role(StrEnum):
    """Each may do what the ones before it may; the trainer starts jobs, the admin also manages people and splits."""

    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    TRAINER = "trainer"
    ADMIN = "admin"


class EventKind(StrEnum):
    """What happened to a turn besides its corrections. ``unlocked``: held-out labels of its dialogue were opened for changes."""

    NOTE = "note"
    SUBMITTED = "submitted"
    RETURNED = "returned"
    REVIEWED = "reviewed"
    FINAL = "final"
    REOPENED = "reopened"
    UNLOCKED = "unlocked"
    TAKEN_OVER = "taken over"


class ErrorKind(StrEnum):
    """Why a slot was wrong: misheard (right once the transcript is), or misunderstood (wrong all the same)."""

    RECOGNITION = "recognition"
    UNDERSTANDING = "understanding"


class JobKind(StrEnum):
    """``evaluate`` scores a checkpoint on the held-out dialogues, ``predict`` answers recorded turns."""

    TRAIN = "train"
    EVALUATE = "evaluate"
    PREDICT = "predict"
    IMPORT = "import"


class FailureKind(StrEnum):
    """Why a job failed, as far as that can be told apart. ``memory`` is the machine's, ``loss`` no finite number,
    ``disk`` full, read-only or gone, ``weights`` a checkpoint or base model that is not there.
    """

    GPU_MEMORY = "gpu memory"
    MEMORY = "memory"
    LOSS = "loss"
    DATA = "data"
    DISK = "disk"
    WEIGHTS = "weights"
    OTHER = "other"


class JobStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SAVING = "saving"
    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class JobEventKind(StrEnum):
    """What somebody did to a job. ``started``: asked for it."""

    STARTED = "started"
    STOPPED = "stopped"
    RESUMED = "resumed"
    DELETED = "deleted"


class PromotionKind(StrEnum):
    """A rollback goes back to what was in use before the newest promotion that still stands."""

    PROMOTE = "promote"
    ROLLBACK = "rollback"
