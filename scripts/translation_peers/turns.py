"""How the benchmark and its workers take turns, so that one system at a time is measured.

A worker is a process with one system in it. It reads a word a line, "train" or "decode", does that
much work, and answers with a line of JSON; between two turns it waits. It ends when there is
nothing more to read. This file runs in the peers' environment too: the standard library alone.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

Batch = list[int]


class Turns:
    """A worker's side of the conversation.

    What libraries print goes to stderr from here on, so that answers stand alone on stdout.
    """

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self.word = ""

    def wait(self) -> str:
        """Waits for the next word; an empty one means that there is none."""
        self.word = sys.stdin.readline().strip()
        return self.word

    def answer(self, **content: float) -> None:
        """Answers the last word."""
        self._answers.write(json.dumps(content) + "\n")
        self._answers.flush()

    def train(self, batches: Sequence[Batch], steps: int) -> Iterator[Batch]:
        """The batches of a training loop, which stops the clock after every so many of them.

        Args:
            batches: which sentences make each batch, begun anew when all were taken.
            steps: optimisation steps of a turn. The loop has done one when it asks for the next.
        """
        endless = itertools.cycle(batches)
        while self.wait() == "train":
            started = time.perf_counter()
            yield from itertools.islice(endless, steps)
            self.answer(seconds=time.perf_counter() - started)

    def decode(self, translate: Callable[[], int]) -> None:
        """Translates as long as that is asked for.

        Args:
            translate: does the work of a turn and returns how many tokens it wrote.
        """
        while self.word == "decode":
            started = time.perf_counter()
            tokens = translate()
            self.answer(seconds=time.perf_counter() - started, tokens=tokens)
            self.wait()
