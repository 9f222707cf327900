"""The changes of a turn. Each kind (transcript, state, confirmation) of each layer is one chain; an undo or redo is one more
link, never a step back."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from db.models import LABEL_KINDS, Revision, RevisionKind, RevisionSource, Speaker, Turn, TurnStatus

LABELS = ""  # the layer that counts; a blind annotator's is named after them
Step = tuple[Revision, Revision]


def head(turn: Turn, kind: RevisionKind, layer: str = LABELS) -> Revision | None:
    """The newest revision of a kind."""
    return next((revision for revision in reversed(turn.revisions) if revision.kind == kind and revision.layer == layer), None)


def newest(turn: Turn, layer: str = LABELS) -> Revision | None:
    """The newest revision of any kind."""
    return next((revision for revision in reversed(turn.revisions) if revision.layer == layer), None)


def stacks(turn: Turn, kind: RevisionKind, layer: str = LABELS) -> tuple[list[Revision], list[Revision]]:
    """The revisions of a kind that stand, oldest first, and those that were taken back and can be redone, the next one last.

    An undo takes back the newest that stood; a redo brings back what was taken back last; a new value forgets what was. What
    moved by itself is none of a person's: it stands, and can be undone, and forgets nothing.
    """
    standing, taken_back = steps(turn, kind, layer)
    return [revision for revision, _ in standing], [revision for revision, _ in taken_back]


def steps(turn: Turn, kind: RevisionKind, layer: str = LABELS) -> tuple[list[Step], list[Step]]:
    """As `stacks`, each revision with the one by which it came to stand (itself, or a redo), or was taken back (an undo)."""
    standing: list[Step] = []
    taken_back: list[Step] = []
    for revision in turn.revisions:
        if revision.kind != kind or revision.layer != layer:
            continue
        if revision.source == RevisionSource.UNDO:
            taken_back.append((standing.pop()[0], revision))
        elif revision.source == RevisionSource.REDO:
            done = taken_back.pop()[0]
            same = done.new == revision.new  # or it was brought back into a state that had moved meanwhile
            standing.append((done if same else revision, revision))
        else:
            standing.append((revision, revision))
            if revision.source != RevisionSource.PROPAGATED:
                taken_back.clear()
    return standing, taken_back


def standing(turn: Turn, kind: RevisionKind, layer: str = LABELS) -> list[Revision]:
    """The revisions of a kind that nobody has taken back, oldest first."""
    return stacks(turn, kind, layer)[0]


def undoable(newest: Revision) -> bool:
    """Whether an undo takes back the newest change that stands: what an import brought is what it goes back to."""
    return newest.source != RevisionSource.IMPORT


def corrected(turn: Turn, kind: RevisionKind, layer: str = LABELS) -> Any:
    """The corrected value that stands, or ``None``: the model's counts."""
    stack = standing(turn, kind, layer)
    return stack[-1].new if stack else None


def append(
    session: Session,
    turn: Turn,
    kind: RevisionKind,
    old: Any,
    new: Any,
    author: str,
    source: RevisionSource,
    layer: str = LABELS,
    marks: dict[str, Any] | None = None,
) -> Revision:
    """Add a revision to the end of its chain and bring the turn's status up to date."""
    parent = head(turn, kind, layer)
    revision = Revision(
        turn_id=turn.id,
        kind=kind,
        layer=layer,
        old=old,
        new=new,
        author=author,
        source=source,
        marks=marks,
        parent_id=parent.id if parent is not None else None,
    )
    turn.revisions.append(revision)
    if layer == LABELS and source != RevisionSource.ONTOLOGY:  # what was reviewed is called differently, and means the same
        update_status(turn)
    session.flush()
    return revision


def begin(turn: Turn, kind: RevisionKind, new: Any, author: str, source: RevisionSource) -> None:
    """Give a turn that is not in the database yet the first revision of a kind; nothing is written before the session is.

    An import of thousands of turns is one statement for many rows this way.
    """
    turn.revisions.append(Revision(kind=kind, layer=LABELS, old=None, new=new, author=author, source=source, parent_id=None))
    turn.status, turn.words_only = TurnStatus.CORRECTED, _words_only(turn)


def update_status(turn: Turn) -> None:
    """Set the status that follows from the turn's revisions and predictions; what was reviewed has to be reviewed again."""
    turn.status = status(turn)
    turn.words_only = turn.status == TurnStatus.CORRECTED and _words_only(turn)


def status(turn: Turn, layer: str = LABELS) -> TurnStatus:
    """How far a turn is by the revisions of a layer, and by its predictions."""
    if any(standing(turn, kind, layer) for kind in LABEL_KINDS):
        return TurnStatus.CORRECTED
    return TurnStatus.PREDICTED if turn.predictions else TurnStatus.NEW


def _words_only(turn: Turn) -> bool:
    return turn.speaker == Speaker.USER and not standing(turn, RevisionKind.STATE)
