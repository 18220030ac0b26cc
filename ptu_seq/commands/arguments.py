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


def add_lines(parser: argparse.ArgumentParser, done: str) -> None:
    """Adds the flags of commands that do something with a classifier line by line.

    Args:
        parser: of the command.
        done: what is done with a line, as a participle.
    """
    parser.add_argument(
        "--model", required=True, metavar="DIR", help="a saved model's folder, or a hub name"
    )
    parser.add_argument("--input", metavar="FILE", help="UTF-8 lines (default: stdin)")
    parser.add_argument(
        "--batch_size",
        type=positive,
        default=32,
        metavar="N",
        help=f"lines {done}, and written, at a time (default: 32)",
    )
