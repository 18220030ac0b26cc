"""Colours of gates, told apart with every common kind of colour blindness."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

RGB = tuple[int, int, int]

#: From the target's orange over a neutral grey to the source's blue (Okabe and Ito's palette).
UPDATE: Sequence[RGB] = ((230, 159, 0), (242, 242, 242), (0, 114, 178))
#: From neutral, the source's activation as it is, to purple, re-tuned.
FINE_TUNE: Sequence[RGB] = ((242, 242, 242), (204, 121, 167))

BLACK, WHITE = (0, 0, 0), (255, 255, 255)

#: Intensities of the 6 x 6 x 6 colours that terminals of 256 colours have.
_CUBE = (0, 95, 135, 175, 215, 255)


def shade(value: float, ramp: Sequence[RGB]) -> RGB:
    """The colour of a gate on a ramp of evenly spaced colours.

    Example:
        >>> shade(0.0, UPDATE), shade(0.75, UPDATE)
        ((230, 159, 0), (121, 178, 210))
    """
    place = min(max(value, 0.0), 1.0) * (len(ramp) - 1)
    segment = min(int(place), len(ramp) - 2)
    start, end = list(pairwise(ramp))[segment]
    share = place - segment
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(start, end, strict=True))
    return red, green, blue


def ink(background: RGB) -> RGB:
    """Black or white, whichever is easier to read on a colour."""
    red, green, blue = ((part / 255) ** 2.2 for part in background)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return BLACK if luminance > 0.18 else WHITE  # where the contrasts (1 + .05) / (l + .05) cross


def escape(background: RGB, *, is_true: bool) -> str:
    r"""The sequence that sets a terminal's background, and an ink that can be read on it.

    Args:
        background: the colour.
        is_true: whether the terminal knows all colours, not 256.

    Example:
        >>> escape((0, 114, 178), is_true=False)
        '\x1b[48;5;25;38;5;231m'
    """
    parts = [
        f"{plane};{_true(colour) if is_true else _nearest(colour)}"
        for plane, colour in ((48, background), (38, ink(background)))
    ]
    return f"\x1b[{';'.join(parts)}m"


def _true(colour: RGB) -> str:
    return "2;" + ";".join(map(str, colour))


def _nearest(colour: RGB) -> str:
    levels = [min(range(6), key=lambda i: abs(_CUBE[i] - part)) for part in colour]
    return f"5;{16 + 36 * levels[0] + 6 * levels[1] + levels[2]}"
