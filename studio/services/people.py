"""Who may log in, and what each may do.

A workspace without users belongs to whoever sits at the machine: there is no login and nothing is forbidden. With the first
user, who has to be an admin, everybody logs in. Passwords are kept as argon2 hashes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import Lock

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from db.models import Role, User
from db.repositories import people
from studio.errors import StudioError
from studio.workspace import Workspace

SHORTEST_PASSWORD = 8
LONGEST_WAIT = 8.0  # seconds a wrong password can cost
ROLES = tuple(Role)  # each may do what the ones before it may

_hasher = PasswordHasher()
_NOBODY = _hasher.hash("nobody has this password")  # checked for unknown names, which then take as long as known ones
_failures: dict[str, int] = {}
_failing = Lock()


@dataclass(frozen=True)
class UserView:
    """Somebody who may log in."""

    name: str
    role: str
    active: bool


def list_users(ws: Workspace) -> list[UserView]:
    """Everybody, by name; empty if there is no login."""
    with ws.read() as session:
        return [UserView(user.name, user.role.value, user.active) for user in people.everybody(session)]


def add_user(ws: Workspace, name: str, password: str, role: str) -> UserView:
    """Let somebody log in.

    Raises:
        StudioError: name empty, too long or taken; password too short; no such role; or the first user is no admin.
    """
    name = name.strip()
    if not name or len(name) > 100:
        raise StudioError("A user needs a name of at most 100 letters: type one.")
    _check_password(password)
    with ws.write() as session:
        if people.by_name(session, name) is not None:
            raise StudioError(f"There is a user called {name!r} already: choose another name.")
        wanted = _role(role)
        if not people.admins(session) and wanted != Role.ADMIN:
            raise StudioError("The first user has to be an admin, who can add the others: choose the role admin.")
        session.add(User(name=name, password=_hasher.hash(password), role=wanted))
    return UserView(name, wanted.value, True)


def change_user(
    ws: Workspace, name: str, *, password: str | None = None, role: str | None = None, active: bool | None = None
) -> UserView:
    """Change what is given.

    Raises:
        StudioError: no such user or role, password too short, or nobody would be left as an admin.
    """
    if password is not None:
        _check_password(password)
    with ws.write() as session:
        user = people.by_name(session, name)
        if user is None:
            known = ", ".join(other.name for other in people.everybody(session)) or "none yet"
            raise StudioError(f"There is no user {name!r}; there are: {known}.")
        if password is not None:
            user.password = _hasher.hash(password)
        if role is not None:
            user.role = _role(role)
        if active is not None:
            user.active = active
        session.flush()
        if not people.admins(session):
            raise StudioError(f"{name} is the last admin: make somebody else an admin first.")
        return UserView(user.name, user.role.value, user.active)


def log_in(ws: Workspace, name: str, password: str) -> bool:
    """Whether this is an active user's password. Each wrong one in a row makes the next answer for that name wait longer."""
    with ws.read() as session:
        user = people.by_name(session, name)
    try:
        _hasher.verify(user.password if user is not None else _NOBODY, password)
        right = user is not None and user.active
    except (VerificationError, InvalidHashError):
        right = False
    with _failing:
        failed = 0 if right else _failures.get(name, 0) + 1
        if failed and len(_failures) < 10_000:  # names are made up freely: the table must not grow with them
            _failures[name] = failed
        else:
            _failures.pop(name, None)
    if failed:
        time.sleep(min(0.25 * 2 ** (failed - 1), LONGEST_WAIT))
    return right


def may(ws: Workspace, name: str, role: str) -> bool:
    """Whether somebody may do what ``role`` may; without users everybody may do everything."""
    with ws.read() as session:
        users = {user.name: user for user in people.everybody(session)}
    if not users:
        return True
    user = users.get(name)
    return user is not None and user.active and ROLES.index(user.role) >= ROLES.index(_role(role))


def require(ws: Workspace, name: str, role: str) -> None:
    """Refuse somebody who may not do what ``role`` may.

    Raises:
        StudioError: naming the role it takes.
    """
    if not may(ws, name, role):
        raise StudioError(f"This takes the role {role}: ask an admin to do it, or to give it to you.")


def _role(name: str) -> Role:
    try:
        return Role(name)
    except ValueError as error:
        raise StudioError(f"There is no role {name!r}; choose one of {', '.join(ROLES)}.") from error


def _check_password(password: str) -> None:
    if len(password) < SHORTEST_PASSWORD:
        raise StudioError(f"The password is too short: it takes at least {SHORTEST_PASSWORD} characters.")
