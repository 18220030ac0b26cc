"""How deeply the JSON of a file is nested, found without parsing it."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

#: Rows are flat; far below what overflows the stack of the parser in C++ and ends the process.
DEEPEST = 100

# Whole strings, so that brackets in them do not count; the last one may lack its end.
_PART = re.compile(rb'"(?:[^"\\]+|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def is_too_deep(path: Path) -> bool:
    """Whether a JSON file is nested deeper than :data:`DEEPEST`, at least where it is valid.

    Args:
        path: a file that is not empty.
    """
    with path.open("rb") as lines:
        if all(_is_shallow(line) for line in lines):
            return False
    depth = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for part in _PART.finditer(content):
            first = content[part.start()]
            depth += (first in b"[{") - (first in b"]}")
            if depth > DEEPEST:
                return True
    return False


def _is_shallow(line: bytes) -> bool:
    """Whether a line is one object of few brackets, or blank.

    Among lines of that form no object can go on in the next one without a syntax error.
    """
    line = line.strip()
    opened = line.count(b"{") + line.count(b"[")
    return not line or (line[:1] == b"{" and line[-1:] == b"}" and opened <= DEEPEST)
