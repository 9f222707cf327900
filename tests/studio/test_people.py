"""Logins: hashed passwords, roles that include the smaller ones, and always one admin."""

import time

import pytest
from sqlalchemy import text

from studio.errors import StudioError
from studio.services import people
from studio.workspace import Workspace


@pytest.fixture
def users(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """An admin and an annotator; how long wrong passwords made people wait is collected instead of waited."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(people, "_failures", {})
    people.add_user(ws, "ada", "correct horse", "admin")
    people.add_user(ws, "ben", "battery staple", "annotator")
    return waits


def test_the_right_password_logs_in_and_a_wrong_one_does_not(ws: Workspace, users: list[float]) -> None:
    assert people.log_in(ws, "ada", "correct horse")
    assert not people.log_in(ws, "ada", "battery staple")
    assert not people.log_in(ws, "nobody", "correct horse")
    assert not people.log_in(ws, "ada", "")


def test_guessing_gets_slower_until_the_right_password_comes(ws: Workspace, users: list[float]) -> None:
    for _ in range(9):
        people.log_in(ws, "ben", "guess")
    assert users == sorted(users)
    assert users[-1] == people.LONGEST_WAIT
    assert people.log_in(ws, "ben", "battery staple")
    people.log_in(ws, "ben", "guess")
    assert users[-1] == users[0]


def test_no_password_lies_in_the_database(ws: Workspace, users: list[float]) -> None:
    with ws.read() as session:
        stored = session.execute(text("SELECT password FROM users")).scalars().all()
    assert all(value.startswith("$argon2id$") for value in stored)


@pytest.mark.parametrize(
    ("name", "role", "allowed"),
    [("ada", "trainer", True), ("ben", "annotator", True), ("ben", "reviewer", False), ("nobody", "annotator", False)],
)
def test_a_role_includes_the_smaller_ones(ws: Workspace, users: list[float], name: str, role: str, allowed: bool) -> None:
    assert people.may(ws, name, role) is allowed


def test_without_users_nothing_is_forbidden(ws: Workspace) -> None:
    people.require(ws, "annotator", "admin")


def test_somebody_who_left_can_neither_log_in_nor_act(ws: Workspace, users: list[float]) -> None:
    people.change_user(ws, "ben", active=False)
    assert not people.log_in(ws, "ben", "battery staple")
    with pytest.raises(StudioError, match="takes the role annotator"):
        people.require(ws, "ben", "annotator")


def test_a_new_password_replaces_the_old_one(ws: Workspace, users: list[float]) -> None:
    people.change_user(ws, "ben", password="another one")
    assert people.log_in(ws, "ben", "another one")
    assert not people.log_in(ws, "ben", "battery staple")


@pytest.mark.parametrize(
    ("name", "password", "role", "reason"),
    [
        ("", "long enough", "admin", "needs a name"),
        ("ada", "long enough", "admin", "already"),
        ("carl", "short", "admin", "at least 8"),
        ("carl", "long enough", "boss", "no role 'boss'"),
    ],
)
def test_what_cannot_be_a_user_is_refused_in_words(
    ws: Workspace, users: list[float], name: str, password: str, role: str, reason: str
) -> None:
    with pytest.raises(StudioError, match=reason):
        people.add_user(ws, name, password, role)


def test_one_admin_always_stays(ws: Workspace, users: list[float]) -> None:
    for change in ({"role": "annotator"}, {"active": False}):
        with pytest.raises(StudioError, match="last admin"):
            people.change_user(ws, "ada", **change)
    assert people.may(ws, "ada", "admin")


def test_the_first_user_has_to_be_an_admin(ws: Workspace) -> None:
    with pytest.raises(StudioError, match="first user has to be an admin"):
        people.add_user(ws, "ben", "battery staple", "annotator")
    assert people.list_users(ws) == []
