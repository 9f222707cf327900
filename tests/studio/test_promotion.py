"""Which checkpoint answers: the gate that judges, putting in use, going back, and what is recorded of it."""

import sqlite3
import threading
from collections.abc import Callable

import pytest
import torch
from sqlalchemy.exc import IntegrityError

from db.models import Checkpoint, Evaluation, Promotion, Snapshot
from engine import tracking
from studio.errors import StudioError
from studio.pages.gate_panel import history_html, verdict_html
from studio.services import checkpoints, dialogues, gates, lease, projects, promotion, trackers, understanding
from studio.services.gates import Rules
from studio.workspace import Workspace

GOOD = {"jga": 50.0, "wer": 10.0, "per_slot": {"hotel-area": {"slot_f1": 80.0}, "taxi-leaveat": {"slot_f1": None}}}


def scored(ws: Workspace, name: str, **changes: object) -> int:
    """A checkpoint scored on the same dialogues as the demo."""
    with ws.write() as session:
        checkpoint = Checkpoint(name=name, path=f"runs/{name}", parent_id=1)
        session.add(checkpoint)
        session.flush()
        session.add(Evaluation(checkpoint_id=checkpoint.id, manifest_sha256="held out", scores=GOOD | changes))
        return checkpoint.id


@pytest.fixture(autouse=True)
def demo(ws: Workspace, tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "missing_files", lambda folder: [])
    with ws.write() as session:
        session.add(Evaluation(checkpoint_id=1, manifest_sha256="held out", scores=GOOD))


@pytest.fixture
def note_held_out(ws: Workspace) -> Callable[[str, str], None]:
    """Make it as if a project's held-out dialogues had been a manifest of that hash."""

    def note(project: str, manifest: str) -> None:
        known = {found.name: found.id for found in projects.list_projects(ws)}
        project_id = known.get(project) or projects.create_project(ws, project).id
        with ws.write() as session:
            frozen = {"sha256": "0" * 64, "path": "runs/1", "dialogues": [], "held_out": ["d"], "held_out_sha256": manifest}
            session.add(Snapshot(project_id=project_id, ontology_id=1, **frozen))

    return note


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({}, []),
        ({"wer": 11.0}, []),
        ({"wer": 11.1}, ["Word error rate"]),
        ({"jga": 49.9}, ["Joint goal accuracy"]),
        ({"jga": 60.0, "per_slot": {"hotel-area": {"slot_f1": 77.9}}}, ["F1 of hotel-area"]),
        ({"per_slot": {"hotel-area": {"slot_f1": 78.0}}, "wer": None}, []),
    ],
)
def test_the_gate_refuses_what_got_worse_by_more_than_its_rules_allow(ws: Workspace, changes: dict, broken: list[str]) -> None:
    said = gates.verdict(ws, scored(ws, "new", **changes))
    assert [finding.rule for finding in said.findings if not finding.passed] == broken
    assert said.passed == (not broken)
    assert all(rule in said.sentence for rule in broken)


def test_the_rules_are_the_users_own(ws: Workspace) -> None:
    worse = scored(ws, "worse", jga=45.0)
    assert not gates.verdict(ws, worse).passed
    gates.set_rules(ws, Rules(jga_loss=5.0, wer_rise=None, slot_loss=0.0))
    said = gates.verdict(ws, worse)
    assert said.passed and [finding.rule for finding in said.findings] == ["Joint goal accuracy", "F1 of hotel-area"]
    with pytest.raises(StudioError, match="slot loss is in points and not below 0"):
        gates.set_rules(ws, Rules(slot_loss=-1.0))


def test_a_gate_without_rules_lets_everything_pass_and_says_so(ws: Workspace) -> None:
    worse = scored(ws, "worse", jga=0.0)
    gates.set_rules(ws, Rules(None, None, None))
    said = gates.verdict(ws, worse)
    assert (said.passed, said.sentence) == (True, gates.NO_RULES)
    assert promotion.promote(ws, worse, "anna").target == "worse"


def test_scores_of_which_none_is_what_the_rules_ask_are_told_from_no_scores(ws: Workspace) -> None:
    unmeasured = scored(ws, "unmeasured", jga=None)
    gates.set_rules(ws, Rules(0.0, None, None))
    said = gates.verdict(ws, unmeasured)
    assert (said.passed, said.sentence) == (False, gates.UNMEASURED)


def test_the_newest_dialogues_of_every_project_count_and_one_that_fails_is_named(
    ws: Workspace, note_held_out: Callable[[str, str], None]
) -> None:
    new = scored(ws, "new")
    with ws.write() as session:
        for manifest, jga in (("hotels old", 0.0), ("hotels", 40.0), ("taxis", 90.0)):
            session.add(Evaluation(checkpoint_id=1, manifest_sha256=manifest, scores=GOOD))
            session.add(Evaluation(checkpoint_id=new, manifest_sha256=manifest, scores=GOOD | {"jga": jga}))
            session.flush()
    for project, manifest in (("Hotels", "hotels old"), ("Hotels", "hotels"), ("Taxis", "taxis")):
        note_held_out(project, manifest)
    said = gates.verdict(ws, new)
    assert said.sentence == (
        "Refused by the gate: Joint goal accuracy on Hotels: 50.0 % → 40.0 %, 10.0 points worse; may not be worse."
    )
    gates.set_rules(ws, Rules(jga_loss=10.0))
    assert gates.verdict(ws, new).sentence == "Passes the gate on Hotels, Taxis."


def test_what_was_not_scored_on_a_project_of_the_one_in_use_is_not_put_in_use_by_itself(
    ws: Workspace, note_held_out: Callable[[str, str], None]
) -> None:
    new = scored(ws, "new")
    with ws.write() as session:
        session.add(Evaluation(checkpoint_id=1, manifest_sha256="taxis", scores=GOOD))
    note_held_out("Hotels", "held out")
    note_held_out("Taxis", "taxis")
    taxis = next(project.id for project in projects.list_projects(ws) if project.name == "Taxis")
    assert gates.verdict(ws, new).sentence == "Passes the gate on Hotels.", "nothing is held out there any more"
    dialogues.create_dialogue(ws, taxis, "d", "test")
    missing = (
        "Passes the gate on Hotels. Not judged on Taxis, which the one in use was scored on: "
        "score it there (Models page) before it is put in use."
    )
    assert promotion.promote_finished(ws, new, "job 1") == missing
    assert checkpoints.in_use(ws).name == "demo"
    shown = verdict_html(gates.verdict(ws, new))
    assert "Passes the gate" in shown and "Not judged on Taxis" in shown
    promotion.promote(ws, new, "anna")  # a person may
    (kept,) = promotion.history(ws)
    assert kept.verdict is not None and kept.verdict["unjudged"] == ["Taxis"]
    assert "passed, not judged on Taxis" in history_html([kept], [])
    promotion.rollback(ws, "anna")
    everywhere = scored(ws, "everywhere")
    with ws.write() as session:
        session.add(Evaluation(checkpoint_id=everywhere, manifest_sha256="taxis", scores=GOOD))
    assert promotion.promote_finished(ws, everywhere, "job 2") == "Passes the gate on Hotels, Taxis."
    assert checkpoints.in_use(ws).name == "everywhere"


def test_a_regression_is_refused_and_only_goes_through_with_a_reason_that_is_kept(ws: Workspace) -> None:
    worse = scored(ws, "worse", jga=45.0)
    with pytest.raises(StudioError, match=r"Joint goal accuracy: 50\.0 % → 45\.0 %, 5\.0 points worse; may not be worse"):
        promotion.promote(ws, worse, "anna", " ")
    assert (checkpoints.in_use(ws).name, promotion.history(ws)) == ("demo", [])
    promotion.promote(ws, worse, "anna", "the held-out labels are wrong")
    (kept,) = promotion.history(ws)
    assert (kept.source, kept.target, kept.author, kept.reason) == ("demo", "worse", "anna", "the held-out labels are wrong")
    assert kept.verdict is not None and not kept.verdict["passed"]
    assert [found["rule"] for found in kept.verdict["findings"] if not found["passed"]] == ["Joint goal accuracy"]


@pytest.mark.usefixtures("team")
def test_only_an_admin_goes_over_the_gate_and_only_trainers_switch_at_all(ws: Workspace) -> None:
    good, worse = scored(ws, "good"), scored(ws, "worse", jga=45.0)
    for who in ("rita", "ben", "nobody"):
        with pytest.raises(StudioError, match="takes the role trainer"):
            promotion.promote(ws, good, who)
        with pytest.raises(StudioError, match="takes the role trainer"):
            promotion.rollback(ws, who)
    with pytest.raises(StudioError, match="takes the role admin"):
        promotion.promote(ws, worse, "tom", "because")
    assert promotion.history(ws) == []
    assert promotion.promote(ws, good, "tom").target == "good"
    assert promotion.promote(ws, worse, "ada", "because").target == "worse"
    assert promotion.promote(ws, 1, "root (shell)", "because", from_shell=True).target == "demo"
    assert promotion.rollback(ws, "root (shell)", from_shell=True).target == "worse"


def test_what_was_never_scored_on_the_same_dialogues_is_not_let_through(ws: Workspace) -> None:
    with ws.write() as session:
        session.add(Checkpoint(name="new", path="runs/new", parent_id=1))
    with pytest.raises(StudioError, match="nothing to judge by"):
        promotion.promote(ws, 2, "anna")
    assert promotion.promote_finished(ws, 2, "job 1") == gates.UNJUDGED
    assert checkpoints.in_use(ws).name == "demo"


def test_rollbacks_go_back_one_promotion_each(ws: Workspace) -> None:
    first, second = scored(ws, "first"), scored(ws, "second")
    promotion.promote(ws, first, "anna")
    promotion.promote(ws, second, "anna")
    assert promotion.previous(ws) == "first"
    assert promotion.rollback(ws, "ben").target == "first"
    assert promotion.rollback(ws, "ben").target == "demo"
    with pytest.raises(StudioError, match="nothing to go back to"):
        promotion.rollback(ws, "ben")
    steps = [(step.kind, step.source, step.target, step.author) for step in reversed(promotion.history(ws))]
    assert steps[1:] == [
        ("promote", "first", "second", "anna"),
        ("rollback", "second", "first", "ben"),
        ("rollback", "first", "demo", "ben"),
    ]


def test_a_run_that_is_resumed_does_not_put_its_checkpoint_in_use_over_a_later_switch(ws: Workspace) -> None:
    new = scored(ws, "new")
    assert promotion.promote_finished(ws, new, "job 1") == "Passes the gate."
    promotion.rollback(ws, "anna")
    assert promotion.promote_finished(ws, new, "job 1") == promotion.PUT_BACK
    assert checkpoints.in_use(ws).name == "demo"


def test_what_is_recorded_can_be_neither_changed_nor_deleted(ws: Workspace) -> None:
    promotion.promote(ws, scored(ws, "new"), "anna")
    for change in (lambda row, session: setattr(row, "author", "eve"), lambda row, session: session.delete(row)):
        with pytest.raises((IntegrityError, sqlite3.IntegrityError, StudioError), match="append-only"), ws.write() as session:
            change(session.get_one(Promotion, 1), session)


def test_the_checkpoint_in_use_answers_until_the_new_one_is_loaded_and_then_at_once(
    ws: Workspace, project: int, tracker, sound: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "d")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound(1))
    assert understanding.predict_turn(ws, turn.id).checkpoint == "demo"
    new, loading, go_on = scored(ws, "new"), threading.Event(), threading.Event()
    load = tracking.Tracker.load

    def slowly(folder, device) -> object:
        loading.set()
        assert go_on.wait(20)
        return load(folder, device)

    monkeypatch.setattr(tracking.Tracker, "load", slowly)
    promoting = threading.Thread(target=promotion.promote, args=(ws, new, "anna"))
    promoting.start()
    assert loading.wait(20)
    assert understanding.predict_turn(ws, turn.id).checkpoint == "demo"
    go_on.set()
    promoting.join(20)
    monkeypatch.setattr(tracking.Tracker, "load", lambda folder, device: pytest.fail("loaded again"))
    assert understanding.predict_turn(ws, turn.id).checkpoint == "new"


def test_a_switch_by_another_process_does_not_keep_who_speaks_waiting(
    ws: Workspace, project: int, tracker, sound: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "d")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound(1))
    understanding.predict_turn(ws, turn.id)
    monkeypatch.setattr(trackers, "_following", True)
    new = scored(ws, "new")
    promotion.promote_finished(ws, new, "job 1")
    assert understanding.predict_turn(ws, turn.id).checkpoint == "demo"
    trackers.prepare(ws, new, checkpoints.in_use(ws).path)
    assert understanding.predict_turn(ws, turn.id).checkpoint == "new"


def test_the_shell_loads_nothing_onto_a_gpu_that_a_job_may_have(ws: Workspace, tracker) -> None:
    promotion.promote(ws, scored(ws, "new"), "root (shell)", from_shell=True)
    promotion.rollback(ws, "root (shell)", from_shell=True)
    assert (tracker.loaded, checkpoints.in_use(ws).name) == ([], "demo")


def test_nothing_is_loaded_while_the_live_model_waits_for_the_gpu(
    ws: Workspace, tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "has_gpu", lambda: True)
    monkeypatch.setattr(lease, "take", lambda ws, who, force=False: False)
    lease.set_while_training(ws, "wait")
    assert promotion.promote(ws, scored(ws, "new"), "anna").target == "new"
    assert tracker.loaded == []


def test_where_two_do_not_fit_the_new_one_takes_the_place_of_the_old_and_the_old_one_comes_back_if_that_fails(
    ws: Workspace, project: int, tracker, sound: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialogue = dialogues.create_dialogue(ws, project, "d")
    turn = dialogues.add_user_turn(ws, dialogue.id, sound(1))
    understanding.predict_turn(ws, turn.id)
    load, broken = tracking.Tracker.load, [checkpoints.folder(ws, Checkpoint(path="runs/huge"))]

    def crammed(folder, device) -> object:
        if trackers._answering is not None or folder in broken:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        return load(folder, device)

    monkeypatch.setattr(tracking.Tracker, "load", crammed)
    with pytest.raises(StudioError, match="cannot be loaded: CUDA out of memory"):
        promotion.promote(ws, scored(ws, "huge"), "anna")
    assert understanding.predict_turn(ws, turn.id).checkpoint == "demo"
    promotion.promote(ws, scored(ws, "new"), "anna")
    monkeypatch.setattr(tracking.Tracker, "load", lambda folder, device: pytest.fail("loaded again"))
    assert understanding.predict_turn(ws, turn.id).checkpoint == "new"


def test_a_verdict_counts_only_against_the_checkpoint_it_was_made_on(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = scored(ws, "first"), scored(ws, "second")
    # While the second is loaded somebody puts the first in use
    monkeypatch.setattr(trackers, "prepare", lambda *_: promotion.promote(ws, first, "ben", from_shell=True))
    with pytest.raises(StudioError, match="Somebody else just changed the checkpoint in use"):
        promotion.promote(ws, second, "anna")
    assert [step.target for step in promotion.history(ws)] == ["first"]


def test_a_run_that_somebody_put_in_use_while_it_was_scored_is_no_failure(ws: Workspace) -> None:
    new = scored(ws, "new")
    promotion.promote(ws, new, "anna")
    assert promotion.promote_finished(ws, new, "job 1") == "It was put in use while it was scored."
    assert len(promotion.history(ws)) == 1


def test_a_checkpoint_that_cannot_be_loaded_or_is_not_there_leaves_the_old_one_in_use(
    ws: Workspace, tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = scored(ws, "new")
    monkeypatch.setattr(tracking.Tracker, "load", lambda folder, device: 1 / 0)
    with pytest.raises(StudioError, match="cannot be loaded"):
        promotion.promote(ws, new, "anna")
    with pytest.raises(StudioError, match="does not exist any more"):
        promotion.promote(ws, 9, "anna")
    with pytest.raises(StudioError, match="in use already"):
        promotion.promote(ws, 1, "anna")
    monkeypatch.setattr(checkpoints, "missing_files", lambda folder: ["connector.safetensors"])
    with pytest.raises(StudioError, match=r"connector\.safetensors is missing: choose another checkpoint"):
        promotion.promote(ws, new, "anna")
    assert checkpoints.in_use(ws).name == "demo"
