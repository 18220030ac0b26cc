"""How figures look: colours of ink and grid, and what a method is drawn with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ptu_seq.report.results import is_ptu

# Okabe and Ito's palette: told apart with every common kind of colour blindness. Markers repeat
# what the colour says, for print in grey.
INK, MUTED, GRID = "#222222", "#5f6368", "#e3e5e8"
COLOURS = {"scratch": "#8a8d91", "frozen": "#56b4e9", "fine_tune": "#0072b2", "ptu": "#d55e00"}
OTHER_COLOURS = ("#009e73", "#cc79a7", "#e69f00", "#000000", "#b8a900")
MARKERS = {"scratch": "v", "frozen": "s", "fine_tune": "D", "ptu": "o"}
OTHER_MARKERS = ("^", "p", "<", "h", ">", "X")
DPI = 150


def method_styles(methods: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour, marker and line of each method; ptu's stands out and lies on top."""
    known = [method for method in methods if method in COLOURS]
    styles = {}
    for i, method in enumerate(method for method in methods if method not in known):
        colour = OTHER_COLOURS[i % len(OTHER_COLOURS)]
        styles[method] = (colour, OTHER_MARKERS[i % len(OTHER_MARKERS)])
    styles |= {method: (COLOURS[method], MARKERS[method]) for method in known}
    return {
        method: {
            "color": styles[method][0],
            "marker": styles[method][1],
            "markersize": 6.5 if is_ptu(method) else 5.5,
            "markeredgecolor": "white",
            "markeredgewidth": 0.8,
            "linewidth": 2.4 if is_ptu(method) else 1.5,
            "zorder": 4 if is_ptu(method) else 3,
        }
        for method in methods
    }
