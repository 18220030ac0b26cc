"""Explanations as tables for a terminal: a row a token, two columns a site."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, TextIO

from ptu_seq.explain.colours import FINE_TUNE, UPDATE, escape, shade
from ptu_seq.explain.explanation import Explanation, Reading, SiteGates

Colour = Literal["auto", "always", "never"]

#: What stands over the two columns of a site.
HEADS = ("update", "tune")

LEGEND = (
    "update: 0.00 the target's own activation, 1.00 the source's; "
    "tune (fine-tune gate): 0.00 the source's as it is, 1.00 re-tuned."
)

#: Paints a number of two places on its ramp.
Paint = Callable[[str, float, Sequence[tuple[int, int, int]]], str]


def painter(colour: Colour, stream: TextIO, environment: Mapping[str, str] = os.environ) -> Paint:
    """Paints numbers, or leaves them as they are.

    Args:
        colour: "always", "never", or "auto": on a terminal, unless NO_COLOR is set.
        stream: where the tables are written.
        environment: says what the terminal can do.
    """
    can = stream.isatty() and environment.get("TERM") != "dumb"
    if colour == "never" or (colour == "auto" and (environment.get("NO_COLOR") or not can)):
        return lambda text, value, ramp: text
    is_true = environment.get("COLORTERM") in ("truecolor", "24bit")

    def paint(text: str, value: float, ramp: Sequence[tuple[int, int, int]]) -> str:
        return f"{escape(shade(value, ramp), is_true=is_true)}{text}\x1b[0m"

    return paint


def table(explanation: Explanation, paint: Paint) -> str:
    """The prediction, then a table of the gates at the line's tokens and at the translation's."""
    lines = [printable(explanation.headline())]
    if explanation.prediction is None:
        return lines[0] + "\n"
    lines.extend(_rows(explanation.read, "token", paint))
    if explanation.whole:
        names = [printable(site.site) for site in explanation.whole]
        lines.extend(_grid(["whole sentence"], explanation.whole, names, "", paint))
    if explanation.written is not None:
        lines.extend(_rows(explanation.written, "written", paint))
    return "\n".join(lines) + "\n"


def printable(text: str) -> str:
    r"""Text of which no character moves the cursor or changes colours.

    Example:
        >>> printable("a\x1b[2J\tb")
        'a\\x1b[2J\\tb'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width(text: str) -> int:
    r"""Columns that a terminal takes for a text: 2 for the wide characters of East Asia.

    Example:
        >>> width("cat"), width("\N{CJK UNIFIED IDEOGRAPH-732B}"), width("e\u0301")
        (3, 2, 1)
    """
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def common_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to a dot.

    Example:
        >>> common_prefix(["encoder.layer.0", "encoder.layer.1"])
        'encoder.layer.'
    """
    shared = os.path.commonprefix(list(names))
    return shared[: shared.rfind(".") + 1] if len(names) > 1 else ""


def _rows(reading: Reading, head: str, paint: Paint) -> Iterator[str]:
    prefix = common_prefix([site.site for site in reading.sites])
    names = [printable(site.site.removeprefix(prefix)) for site in reading.sites]
    note = f"{head} ({prefix}*)" if prefix else head
    yield from _grid(
        [printable(token) for token in reading.tokens], reading.sites, names, note, paint
    )


def _grid(
    labels: Sequence[str],
    sites: Sequence[SiteGates],
    names: Sequence[str],
    corner: str,
    paint: Paint,
) -> Iterator[str]:
    """Two head lines, then a line a label with both gates of every site."""
    cells = [max(width(name), sum(map(len, HEADS)) + 1) for name in names]
    first = max(map(width, [corner, *labels]))
    yield "  ".join([_left(corner, first), *map(_left, names, cells)]).rstrip()
    heads = [_left(" ".join(HEADS), cell) for cell in cells]
    yield "  ".join([" " * first, *heads]).rstrip()
    for i, label in enumerate(labels):
        line = _left(label, first)
        for site, cell in zip(sites, cells, strict=True):
            update = paint(f"{site.update[i]:{len(HEADS[0])}.2f}", site.update[i], UPDATE)
            tune = paint(f"{site.fine_tune[i]:{len(HEADS[1])}.2f}", site.fine_tune[i], FINE_TUNE)
            line += "  " + update + " " + tune + " " * (cell - sum(map(len, HEADS)) - 1)
        yield line.rstrip()


def _left(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))
