"""Figures written with letters that are there: the fonts that a figure's text needs.

matplotlib is imported where a figure is written, and its global state is never changed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ptu_seq.report.style import DPI

if TYPE_CHECKING:
    from matplotlib.figure import Figure

logger = logging.getLogger("ptu_seq")

#: Draws a box for every character there is.
BOXES = "Last Resort High-Efficiency"

#: Comes with matplotlib, so it is always there: Latin, Greek, Cyrillic, Arabic and more.
OWN = "DejaVu Sans"


def write_png(figure: Figure, path: str | Path) -> Path:
    """Writes a figure as PNG, its text in the user's font and others that have what it lacks.

    Where matplotlib's settings name fonts that are not installed, or a text has characters that no
    font here has (they are drawn as boxes), the figure is written all the same: the first is passed
    over, the second is said in one warning.

    Args:
        figure: the figure.
        path: the file.

    Returns:
        `path`.

    Raises:
        OSError: if it cannot be written.
    """
    from matplotlib.text import Text

    for ax in figure.axes:  # ticks get their labels when they are asked for
        ax.get_xticklabels()
        ax.get_yticklabels()
    texts: list[Text] = figure.findobj(Text)
    families = installed([*preferred(), OWN])
    written = {c for text in texts for c in text.get_text() if c.isprintable() and c != " "}
    added, missing = fonts_for(written - covered(families))
    for text in texts:
        text.set_fontfamily([*families, *added])
    if missing:
        named = " ".join(sorted(missing)[:10]) + (" ..." if len(missing) > 10 else "")
        logger.warning(
            "%s: no font here has %s, drawn as boxes; a font of that script, such as one of Noto, "
            "helps once it is installed.",
            path,
            named,
        )
    with warnings.catch_warnings():  # of each glyph, which was said above in one line
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(path, dpi=DPI, facecolor="white", format="png")
    return Path(path)


def preferred() -> list[str]:
    """The families of the user's matplotlib settings; for "serif" and the like, the font that is.

    Example:
        >>> preferred()  # matplotlib's own settings
        ['DejaVu Sans']
    """
    from matplotlib import rcParams
    from matplotlib.font_manager import font_family_aliases

    settings = cast(Mapping[str, Any], rcParams)  # its stub knows literal names alone
    names = settings["font.family"]
    return [
        name
        for family in ([names] if isinstance(names, str) else names)
        for name in (
            installed(settings.get(f"font.{family}", ()))[:1]
            if family in font_family_aliases
            else [family]
        )
    ]


def installed(families: Iterable[str]) -> list[str]:
    """Those families that are on this machine, each once.

    Example:
        >>> installed(["A Font That Nobody Has", "DejaVu Sans"])
        ['DejaVu Sans']
    """
    from matplotlib.font_manager import fontManager

    known = {font.name for font in fontManager.ttflist if Path(font.fname).is_file()}
    return [family for family in dict.fromkeys(families) if family in known]


def covered(families: Iterable[str]) -> set[str]:
    """All characters that at least one of the families has."""
    return {character for family in families for character in _characters(family)}


def fonts_for(characters: set[str]) -> tuple[list[str], set[str]]:
    """Installed families that have the characters, the one with most of them first.

    Args:
        characters: what is to be drawn.

    Returns:
        The families, and the characters that none has.
    """
    from matplotlib.font_manager import fontManager

    chosen: list[str] = []
    missing = set(characters)
    if not missing:
        return chosen, missing
    names = installed(sorted({font.name for font in fontManager.ttflist} - {BOXES}))
    while missing and names:
        best = max(names, key=lambda name: len(missing & _characters(name)))
        found = missing & _characters(best)
        if not found:
            break
        chosen.append(best)
        missing -= found
    return chosen, missing


@cache
def _characters(family: str) -> frozenset[str]:
    """What a family's upright font can draw."""
    from matplotlib.font_manager import findfont, get_font

    try:
        font = get_font(findfont(family, fallback_to_default=False))
    except (OSError, RuntimeError, ValueError):  # damaged, or gone since matplotlib listed it
        return frozenset()
    return frozenset(map(chr, font.get_charmap()))
