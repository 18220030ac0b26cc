"""Damaged and hostile versions of valid files."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

#: What parsers stumble over: nesting, numbers, encodings, and words that mean something to one.
WORDS = (
    *(b"[" * 3000, b"{" * 300, b'{"a":' * 300, b"]", b"}", b'"', b"'", b'""', b",", b":", b"\t"),
    *(b"9" * 5000, b"-", b"1e999", b"NaN", b"-Infinity", b"0x1F", b"1:59:59", b"null", b"true"),
    *(b"\0", b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\u0000", b"\r", b"\r\n", b"\n\n", b"\x1a"),
    *("\u2028".encode(), "\ufeff".encode(), "\u0661".encode(), "\u202e".encode()),
    *(
        b"&a",
        b"*a",
        b"<<: *a",
        b"? ",
        b"- ",
        b"!!int ''",
        b"!!timestamp x",
        b"!!bool x",
        b"%YAML 9",
    ),
    *(b"!!python/object/apply:os.system ['touch sprung']", b"!!python/name:os.system"),
    *(b"../../sprung", b"/etc/passwd", b"..", b"x" * 140_000, b"$\\frac{", b"<script>", b"%s%n"),
)

#: Values that a field of JSON is not meant to have.
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3.5, 10**6, 10**9, 2**63, 10**30, 10**400, 1e-300, 1e300),
    *(math.nan, math.inf, -math.inf, "", "x", "0", "1", "None", "../../sprung", "/etc/passwd"),
    *("..", "\0", "\ud800", "a" * 10_000, "$\\frac{", "<script>", "mean", "lstm", "ptu", "all"),
    *([], {}, [[]], [1], ["a", "b"], {"a": 1}, {"0": "x"}, {"": {}}, [None], [[[[1]]]]),
)


@st.composite
def damaged(draw: st.DrawFn, valid: Sequence[bytes]) -> bytes:
    """A valid file with up to four pieces flipped, cut out, repeated or put in."""
    changes = draw(st.integers(0, 4))  # the simplest example is a valid file
    random = draw(st.randoms(use_true_random=True))  # seeded; a draw a choice takes far longer
    content = random.choice(valid)
    for _ in range(changes):
        start = random.randint(0, len(content))
        end = start + random.choice((0, 1, 2, 8, 64, 10**6))
        piece = content[start:end]
        changed = (b"", piece * 2, piece * 9, bytes(byte ^ 1 for byte in piece))
        new = random.choice((random.choice(WORDS), random.randbytes(3), random.choice(changed)))
        content = content[:start] + new + content[end:]
    return content


@st.composite
def altered_json(draw: st.DrawFn, valid: Sequence[Any]) -> bytes:
    """Valid JSON of which up to three values are others, or are left out."""
    changes = draw(st.integers(0, 3))
    random = draw(st.randoms(use_true_random=True))
    content = copy.deepcopy(random.choice(valid))
    for _ in range(changes):
        places = list(_places(content))
        if not places:
            break
        inner, key = random.choice(places)
        if random.randint(0, 9) == 0:
            del inner[key]
        else:
            inner[key] = copy.deepcopy(random.choice(VALUES))
    return json.dumps(content).encode()


def altered_lines(valid: Sequence[Sequence[Any]]) -> st.SearchStrategy[bytes]:
    """JSON lines of which some values are others."""
    return altered_json(valid).map(
        lambda text: b"\n".join(json.dumps(line).encode() for line in _as_list(text))
    )


def anything(valid: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly damaged files, and some bytes and texts that never were one."""
    return (
        damaged(valid)
        | damaged(valid)
        | damaged(valid)
        | st.binary(max_size=200)
        | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    )


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys, from the outermost in."""
    if isinstance(content, dict | list):
        for key in list(content) if isinstance(content, dict) else range(len(content)):
            yield content, key
            yield from _places(content[key])


def _as_list(text: bytes) -> list[Any]:
    content = json.loads(text)
    return content if isinstance(content, list) else [content]
