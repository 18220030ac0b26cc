"""The one exception that command lines turn into exit code 2."""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

#: Characters of a message, at most, before those that cannot be printed are written out.
LONGEST = 1000


class UserError(Exception):
    """A mistake in what a person handed us (a file, a flag, a name): one sentence for them.

    The sentence says what was wrong, where, and what is accepted. Recipes and `ptu-seq` print it
    to stderr without a traceback and end with exit code 2. What it quotes of a file may be of any
    length and hold line ends or a terminal's control characters: it stays one line of at most
    `LONGEST` characters.
    """

    def __str__(self) -> str:
        said = " ".join(super().__str__().split())
        if len(said) > LONGEST:
            said = f"{said[: LONGEST - 200]} ... {said[-195:]}"
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in said)


class NumericalError(UserError):
    """A training that came to numbers that are none: its study goes on with the other runs.

    Args:
        sentence: for the person who reads it.
        **details: JSON-like, such as the step, for `failures.jsonl`.
    """

    def __init__(self, sentence: str, **details: Any) -> None:
        super().__init__(sentence)
        self.details = details


def closest(word: str, accepted: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"` for the accepted word nearest to `word`, or an empty string.

    Example:
        >>> closest("fine_tun", ["scratch", "fine_tune"])
        " (did you mean 'fine_tune'?)"
    """
    matches = difflib.get_close_matches(word, list(accepted), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


#: What libraries that write by themselves (safetensors, SQLite, tokenizers) say where the system
#: would have raised an `OSError`, by what they raise.
_SAYINGS = {
    errno.ENOSPC: r"No space left|StorageFull|os error 28|disk is full",
    errno.EROFS: r"Read-only file system|ReadOnlyFilesystem|os error 30|readonly database",
    errno.EACCES: r"Permission denied|PermissionDenied|os error 13",
    errno.EFBIG: r"File too large|FileTooLarge|os error 27",
    errno.ENOENT: r"No such file or directory|os error 2\b|unable to open database",
    errno.EIO: r"disk I/O error",
}
_WRITERS = ("SafetensorError", "OperationalError", "StorageInternalError", "Exception")


def storage_trouble(error: BaseException) -> str | None:
    """What befell a disk, in words: it is full, read-only, or a folder has gone; else None.

    Args:
        error: as it was raised; it may have been caused by such trouble.

    Example:
        >>> storage_trouble(FileNotFoundError(errno.ENOENT, "No such file", "runs/a.json"))
        'runs/a.json: No such file or directory'
        >>> storage_trouble(ValueError("no disk's fault"))
    """
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno and not isinstance(one, ConnectionError):
            where = f"{one.filename}: " if one.filename else ""
            return f"{where}{os.strerror(one.errno)}"
        if type(one).__name__ in _WRITERS:
            for number, saying in _SAYINGS.items():
                if re.search(saying, str(one), re.IGNORECASE):
                    return os.strerror(number)
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, the first one last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
