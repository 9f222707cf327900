"""JSON files from elsewhere: plain or gzip'ed, strictly UTF-8, and every fault named with its file and line."""

from __future__ import annotations

import json
import re
import sys
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from rapidfuzz import process

Path_ = tuple[str | int, ...]

_GZIP = b"\x1f\x8b"
_CHUNK = 1024  # bytes unpacked at a time: a fault is found to be this near
_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|[\w.+]+', re.DOTALL)  # and what may look like one inside a string
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|NaN|-?Infinity', re.DOTALL)


def nearest(name: str, known: Collection[str]) -> str:
    """The end of a message about a name that is not known: the known one that was likely meant."""
    match = process.extractOne(name, sorted(known), score_cutoff=60)
    return f"; did you mean {match[0]!r}?" if match else ""


class FileError(ValueError):
    """A file that cannot be used. The message names the file, the line and the reason."""


def read_text(path: str | Path) -> str:
    """The text of a file, unpacked if it is gzip'ed (whatever its name says).

    Raises:
        FileError: no such file, a damaged gzip file, or not UTF-8.
    """
    path = Path(path)
    if path.is_dir() or not path.exists():  # a pipe such as /dev/stdin will do
        raise FileError(f"{path}: {'a folder, not a file' if path.is_dir() else 'no such file'}")
    return decode(path, path.read_bytes())


def decode(path: str | Path, data: bytes) -> str:
    """The text of a file's bytes. Raises FileError as `read_text` does."""
    if data.startswith(_GZIP):
        data = _unpack(Path(path), data)
    if data.startswith(b"\xef\xbb\xbf"):
        raise FileError(f"{path}, line 1: begins with a byte order mark; save it as UTF-8 without one")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileError(f"{path}, line 1: not UTF-8 text but UTF-16; save it as UTF-8")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise FileError(f"{path}, line {line}: not UTF-8 text (byte {error.start}: {error.reason}); save it as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise FileError(f"{path}, line {line}: holds zero bytes, as UTF-16 text does; save it as UTF-8")
    return text


def parse(path: str | Path, text: str, line: int = 1) -> Any:
    """Parse one JSON text, which begins at ``line`` of its file.

    Raises:
        FileError: not JSON (NaN and Infinity are not), an object with the same key twice, or half a character (a lone
            surrogate, which JSON can write but UTF-8 cannot).
    """

    def fail(offset: int, reason: str) -> NoReturn:
        raise FileError(f"{path}, line {line + text.count(chr(10), 0, offset)}: {reason}")

    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        for token in _TOKEN.finditer(text) if "\\ud" in text.lower() else ():
            if _is_half(token[0]):
                fail(token.start(), f"holds half a character, which no file can: {token[0]:.60}")
        return data
    except FileError:
        raise
    except json.JSONDecodeError as error:
        if not text.strip():
            fail(0, "holds nothing")
        if error.pos >= len(text.rstrip()):
            fail(error.pos, "ends in the middle of the JSON")
        second = "; of several values each stands in a line of its own" if error.msg == "Extra data" else ""
        fail(error.pos, f"not valid JSON: {error.msg}{second}")
    except _Repeated as error:
        for place in places(text):
            if place.repeated:
                fail(place.offset, f"the key {error.args[0]!r} occurs twice in one object")
        raise
    except _NotJson as error:
        token = next(match for match in _TOKEN.finditer(text) if match[0].endswith(error.args[0].lstrip("-")))
        fail(token.start(), f"{error.args[0]} is not JSON")
    except (ValueError, RecursionError) as error:
        limit = sys.get_int_max_str_digits()
        for number in _NUMBER.finditer(text):
            if number[0].isdecimal() and len(number[0]) > limit:
                fail(number.start(), f"holds a number of {len(number[0])} digits")
        fail(0, f"cannot be read: {error}")


def line_of(text: str, *path: str | int) -> int:
    """The line of a key or an element of a valid JSON text; of the nearest one above it if it is not there."""
    found: dict[Path_, int] = {}
    for place in places(text):
        if place.path == path[: len(place.path)]:
            found.setdefault(place.path, place.offset)
    offset = found[max(found, key=len)] if found else 0
    return text.count("\n", 0, offset) + 1


@dataclass(frozen=True)
class Place:
    """A key of an object or an element of an array: where it begins; ``repeated`` if its object had that key before."""

    path: Path_
    offset: int
    repeated: bool = False


@dataclass
class _Open:
    """An object or array whose end has not come yet."""

    is_object: bool
    key: str | int | None = None
    seen: set[str] = field(default_factory=set)


def places(text: str) -> Iterator[Place]:
    """Every key and every element of a valid JSON text, in order."""
    stack: list[_Open] = []
    string: re.Match[str] | None = None
    for token in _TOKEN.finditer(text):
        kind = token[0]
        if kind in "{[":
            stack.append(_Open(kind == "{"))
        elif kind in "}]":
            stack.pop()
        elif kind == ":" and string is not None:
            key = json.loads(string[0])
            top = stack[-1]
            top.key = key
            yield Place(tuple(level.key for level in stack if level.key is not None), string.start(), key in top.seen)
            top.seen.add(key)
        elif kind[0] == '"':
            string = token
        if kind in "[," and stack and not stack[-1].is_object:
            top = stack[-1]
            top.key = top.key + 1 if isinstance(top.key, int) else 0
            start = re.compile(r"\s*").match(text, token.end())
            assert start is not None
            yield Place(tuple(level.key for level in stack if level.key is not None), start.end())


class _Repeated(ValueError):
    pass


class _NotJson(ValueError):
    pass


def _is_half(token: str) -> bool:
    try:
        (json.loads(token) if token[0] == '"' else "").encode()
    except UnicodeEncodeError:
        return True
    return False


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _Repeated(next(key for position, key in enumerate(keys) if key in keys[:position]))
    return result


def _refuse(constant: str) -> NoReturn:
    raise _NotJson(constant)


def _unpack(path: Path, data: bytes) -> bytes:
    """The content of a gzip file of one or more members; a damaged one is refused with the line its text breaks off in."""
    content = bytearray()
    reason = "the gzip file is cut off"
    try:
        while data:
            member = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
            for start in range(0, len(data), _CHUNK):
                content += member.decompress(data[start : start + _CHUNK])
                if member.eof:
                    data = member.unused_data + data[start + _CHUNK :]
                    break
            else:
                break
        else:
            return bytes(content)
    except zlib.error as error:
        reason = f"the gzip file is damaged ({error})"
    line = content.count(b"\n") + 1
    raise FileError(f"{path}, line {line}: {reason}; fetch or pack it again")
