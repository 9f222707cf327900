"""The frame cache takes no more of the disk than it may, and what a run under way needs stays."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.config import RecipeError
from engine.data.frame_room import LIMIT, Room, used

SIZE = 10_000
HOLDER = """
import sys
from pathlib import Path
from engine.data.frame_room import Room
Room(Path(sys.argv[1]))
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for ten files, of which half a file is free after a look."""
    monkeypatch.setenv(LIMIT, str(10 * SIZE / 1e9))


def clip(root: Path, number: int, age: float) -> Path:
    """A file of the cache that was used last so many seconds ago."""
    path = root / "encoder" / f"{number:02x}" / f"{number}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(SIZE))
    os.utime(path, (time.time() - age,) * 2)
    return path


def there(paths: list[Path]) -> list[int]:
    return [number for number, path in enumerate(paths) if path.exists()]


def test_what_was_not_used_for_longest_makes_room(tmp_path: Path) -> None:
    paths = [clip(tmp_path, number, 1000 - number) for number in range(12)]
    used(paths[0])
    room = Room(tmp_path)
    assert room.take(SIZE // 2)
    assert there(paths) == [0, 4, 5, 6, 7, 8, 9, 10, 11]


def test_what_a_run_has_used_since_it_began_stays_until_it_ends(tmp_path: Path) -> None:
    old = [clip(tmp_path, number, 1000) for number in range(2)]
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None and holder.stdout.readline() == b"holds\n"
    its = [clip(tmp_path, number, 0) for number in range(2, 14)]
    script = HOLDER.replace('print("holds", flush=True)\nsys.stdin.read()', "").replace("Room(Path", "took = Room(Path")
    script += f"sys.exit(0 if took.take({SIZE // 2}) else 4)"
    another = [sys.executable, "-c", script, str(tmp_path)]
    assert subprocess.run(another).returncode == 4, "there is no room: nothing is kept"
    assert (there(old), len(there(its))) == ([], 12)
    holder.kill()
    holder.wait()
    assert subprocess.run(another).returncode == 0
    assert len(there(its)) == 9
    assert list((tmp_path / "in-use").iterdir()) != []


def test_a_bound_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT, "much")
    with pytest.raises(RecipeError, match="DST_STUDIO_FRAMES_GB is 'much': give the gigabytes"):
        Room(tmp_path)
