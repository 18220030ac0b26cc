"""The parts that a report's page is put together from, as HTML."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any


def section(heading: str, body: str) -> str:
    """A part of the page under a heading."""
    return f"<section><h2>{escape(heading)}</h2>{body}</section>"


def note(text: str) -> str:
    """What the numbers below it are."""
    return f'<p class="note">{escape(text)}</p>'


def table(header: Sequence[str], rows: Sequence[str], text: int, last_text: bool = False) -> str:
    """A table that scrolls sideways by itself, and is sorted by a click on a column's name.

    Args:
        header: the columns' names.
        rows: their cells, see :func:`td`.
        text: so many columns, from the first, are set left.
        last_text: whether the last one is as well.
    """
    left = {*range(text), *([len(header) - 1] if last_text else [])}
    head = "".join(
        f'<th scope="col" class="{"text" if i in left else "number"}">'
        f'<button type="button">{escape(name)}</button></th>'
        for i, name in enumerate(header)
    )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def td(value: object, classes: str = "") -> str:
    """A cell of a table."""
    attribute = f' class="{classes}"' if classes else ""
    return f"<td{attribute}>{escape(str(value))}</td>"


def number(value: float | None, digits: int) -> str:
    """A number to so many places, or a dash."""
    return "–" if value is None else f"{value:,.{digits}f}"


def plain(value: Any) -> str:
    """A setting as a person would write it: no brackets around lists and dictionaries."""
    if isinstance(value, Mapping):
        return ", ".join(_named(key, one) for key, one in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(plain(one) for one in value) or "–"
    return "–" if value is None else str(value)


def _named(name: str, value: Any) -> str:
    inside = isinstance(value, Mapping)
    return f"{name} ({plain(value)})" if inside else f"{name} = {plain(value)}"


def figure(path: Path, heading: str, alternative: str, text: str) -> str:
    """A PNG file under a heading, with its numbers to take away; nothing if there is no such file.

    Args:
        path: the picture; its numbers are in the CSV file of its name, if there is one.
        heading: of the part.
        alternative: what it shows, for those who do not see it.
        text: below it.
    """
    if not path.exists():
        return ""
    numbers, link = path.with_suffix(".csv"), ""
    if numbers.exists():
        href = f"data:text/csv;base64,{_base64(numbers)}"
        link = f' <a download="{escape(numbers.name)}" href="{href}">The numbers (CSV)</a>'
    return section(
        heading,
        f'<figure><img alt="{escape(alternative)}" src="data:image/png;base64,{_base64(path)}">'
        f"<figcaption>{escape(text)}{link}</figcaption></figure>",
    )


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode("ascii")
