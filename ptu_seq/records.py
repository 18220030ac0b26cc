"""JSON and arrays on disk that a kill at any moment leaves readable."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors.numpy import save_file

from ptu_seq.errors import UserError

logger = logging.getLogger("ptu_seq")


def make_writable(folder: Path) -> None:
    """Makes a folder, and tries whether it can be written, before hours of work depend on it.

    Raises:
        UserError: if not.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink(missing_ok=True)  # another process may be trying it too
    except (OSError, ValueError) as error:  # the second where its name holds a zero byte
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"--output_dir {folder} cannot be written ({reason}); give a folder that can."
        ) from error


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Adds one JSON line, on a line of its own even where a kill left half a line before it.

    When this returns, the line is on the disk, whatever becomes of the machine.
    """
    with _named(path), path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
        file.flush()
        os.fsync(file.fileno())


def mend_lines(path: Path) -> None:
    """Cuts off a last line that a kill left half-written, with a warning."""
    content = path.read_bytes() if path.exists() else b""
    end = content.rfind(b"\n") + 1
    if _parse(content[end:]) is None and content[end:]:
        logger.warning("%s: the last line was cut off in writing; it is made again.", path)
        with path.open("r+b") as file:
            file.truncate(end)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The JSON objects of a file of lines; what a kill left half-written counts as not written."""
    # Split as bytes: a kill may cut a character in half, and JSON strings may hold U+2028.
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [content for line in lines if (content := _parse(line)) is not None]


def write_json(path: Path, content: Any) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(content, separators=(",", ":")))


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all, so that a reader never meets half of it."""
    with whole_file(path) as half:
        half.write_text(text, "utf-8")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Writes a safetensors file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as half:
        save_file(dict(arrays), half)


def to_disk(path: Path) -> None:
    """Waits until a file is on the disk, where no loss of power harms it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write that takes the place of `path` once all of it is on the disk."""
    half = path.with_name(path.name + ".part")
    try:
        with _named(path):
            yield half
        to_disk(half)
        half.replace(path)
    except BaseException:
        with suppress(OSError):
            half.unlink()
        raise


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Has an error of the disk say which file it was about, which that of a full disk does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file, or an empty one if there is no such file or it holds none."""
    return (_parse(path.read_bytes()) if path.exists() else None) or {}


def content_digest(content: Any) -> str:
    """16 hexadecimal digits that stand for what is JSON-like.

    Example:
        >>> content_digest({"a": 1, "b": 2}) == content_digest({"b": 2, "a": 1})
        True
    """
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _parse(text: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
