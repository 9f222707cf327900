"""The databases that tests run on: SQLite in a file and, where Debian's package is installed, a PostgreSQL server of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from db.engine import connect, migrate

PROGRAMS = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None)
SETTINGS = "-c max_connections=300 -c fsync=off -c full_page_writes=off"  # nothing of it has to survive a power cut


class Server:
    """A running PostgreSQL server, reached through a socket in its folder; ``new`` makes databases on it."""

    def __init__(self, folder: Path) -> None:
        self.url = make_url(f"postgresql+psycopg://tests@/postgres?host={folder}")
        self.number = 0
        migrated = connect(self.new("template0"))
        migrate(migrated)
        migrated.dispose()
        self.template = str(migrated.url.database)

    def new(self, template: str) -> str:
        """The URL of a new database, made like another."""
        self.number += 1
        name = f"tests_{self.number}"
        engine = connect(self.url.render_as_string()).execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
        engine.dispose()
        return self.url.set(database=name).render_as_string()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A server for this run of the tests; skips where there is none to start."""
    if PROGRAMS is None:
        pytest.skip("needs PostgreSQL (Debian: apt install postgresql)")
    pytest.importorskip("psycopg")
    with tempfile.TemporaryDirectory(prefix="dst-pg-") as root, started(Path(root)) as server:
        yield server


@contextmanager
def started(root: Path) -> Iterator[Server]:
    assert PROGRAMS is not None
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be root's
    folder = root / "data"
    folder.mkdir()
    if user is not None:
        root.chmod(0o755)
        shutil.chown(folder, user)

    def run(program: str, *arguments: str) -> None:
        subprocess.run([PROGRAMS.with_name(program), *arguments], check=True, user=user, cwd=root, stdout=subprocess.DEVNULL)

    run("initdb", "-D", str(folder), "-U", "tests", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
    listens = f"-c listen_addresses= -c unix_socket_directories={folder} {SETTINGS}"
    run("pg_ctl", "-D", str(folder), "-w", "-o", listens, "-l", str(folder / "log"), "start")
    try:
        yield Server(folder)
    finally:
        run("pg_ctl", "-D", str(folder), "-m", "immediate", "stop")


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'studio.db'}"
    return request.getfixturevalue("postgresql").new("template0")
