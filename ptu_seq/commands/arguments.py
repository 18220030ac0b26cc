"""What the parsers and the messages of several commands share."""

from __future__ import annotations

import argparse
import sys


def positive(word: str) -> int:
    """A whole number of at least 1."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number of at least 1")
    return int(word)


def warn(message: str) -> None:
    """Tells the user on stderr what went on nevertheless."""
    print(f"ptu-seq: warning: {message}", file=sys.stderr)
