"""A study's progress: a line an experiment, with what is done, what is left, and how long."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TextIO

from ptu_seq.jobs import Diverged, Job, Outcome

#: Lines of a terminal that the table leaves to what else is printed.
SPARE_LINES = 4


@dataclass
class Row:
    """The state of an experiment.

    Args:
        name: the experiment's.
        recipe: its recipe's; experiments of one recipe are taken to be equally fast.
        trials: tuning jobs in all.
        runs: reported runs in all.
        trials_done: of them, those that have ended.
        runs_done: of them, those that have ended.
        seconds: spent on it by this process.
        ended: jobs that ended in these seconds.
    """

    name: str
    recipe: str
    trials: int
    runs: int
    trials_done: int = 0
    runs_done: int = 0
    seconds: float = 0.0
    ended: int = 0

    @property
    def left(self) -> int:
        """Jobs that are still to be done."""
        return self.trials + self.runs - self.trials_done - self.runs_done


class Progress:
    """Shows how far a study is: a table drawn anew in place on a terminal, else a line a job.

    Args:
        rows: the experiments, in their order.
        stream: what is written to.
        now: a clock, in seconds.
    """

    def __init__(
        self, rows: Iterable[Row], stream: TextIO, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.rows = {row.name: row for row in rows}
        self.stream = stream
        self.now = now
        self._drawn = 0
        self._since = 0.0

    def begin(self, name: str, missing_trials: int, missing_runs: int) -> None:
        """Says that an experiment's jobs begin, and how many of them are still to be done."""
        row = self.rows[name]
        row.trials_done = row.trials - missing_trials
        row.runs_done = row.runs - missing_runs
        self._since = self.now()
        self._drawn = 0  # what was printed in between stays
        if self.stream.isatty():
            self._draw(name)

    def tell(self, name: str, job: Job, outcome: Outcome | Diverged) -> None:
        """Says that a job of an experiment has ended."""
        row = self.rows[name]
        row.trials_done += job.is_tuning
        row.runs_done += not job.is_tuning
        row.ended += 1
        now = self.now()
        row.seconds += now - self._since
        self._since = now
        if self.stream.isatty():
            self._draw(name)
        else:
            left = duration(self.seconds_left())
            print(
                f"{name}: tuning {row.trials_done}/{row.trials}, runs {row.runs_done}/{row.runs}; "
                f"{job.cell.method} on {job.cell.target}, size {job.cell.size}; "
                f"the study has {left} left",
                file=self.stream,
                flush=True,
            )

    def seconds_left(self, name: str | None = None) -> float | None:
        """The time left of an experiment, or of all; None before anything has ended.

        Each job is taken to last as long as the mean of those that ended: of the experiment, or
        else of its recipe, or else of all.
        """
        if name is None:
            times = [self.seconds_left(one) for one in self.rows]
            return None if None in times else sum(time or 0.0 for time in times)
        row = self.rows[name]
        if row.left == 0:
            return 0.0
        others = list(self.rows.values())
        for rows in ([row], [one for one in others if one.recipe == row.recipe], others):
            ended = sum(one.ended for one in rows)
            if ended:
                return row.left * sum(one.seconds for one in rows) / ended
        return None

    def table(self, current: str, width: int, height: int) -> list[str]:
        """The table's lines, around the current experiment where not all fit.

        Args:
            current: the experiment whose jobs are done now.
            width: columns of the terminal.
            height: lines that the table may have.
        """
        names = list(self.rows)
        shown = max(1, height - 2)
        first = max(0, min(names.index(current) - shown // 2, len(names) - shown))
        space = max(12, width - 41)
        lines = [f"{'experiment':<{space}} {'tuning':>12} {'runs':>12}   time left"]
        for name in names[first : first + shown]:
            row = self.rows[name]
            mark = ">" if name == current else " "
            cut = name if len(name) < space else f"{name[: space - 2]}…"
            lines.append(
                f"{mark}{cut:<{space - 1}} {row.trials_done:>5} /{row.trials:>5} "
                f"{row.runs_done:>5} /{row.runs:>5}   {duration(self.seconds_left(name))}"
            )
        lines.append(f"{'all':<{space}} {'':>25}   {duration(self.seconds_left())}")
        return lines

    def _draw(self, current: str) -> None:
        size = shutil.get_terminal_size()
        lines = self.table(current, size.columns, size.lines - SPARE_LINES)
        up = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""  # to its first line, and wiped
        self.stream.write(up + "\n".join(lines) + "\n")
        self.stream.flush()
        self._drawn = len(lines)


def duration(seconds: float | None) -> str:
    """A time in words.

    Example:
        >>> duration(7.2), duration(200), duration(4000), duration(0), duration(None)
        ('8 s', '4 min', '1 h 07 min', 'none', 'not known yet')
    """
    if seconds is None:
        return "not known yet"
    if seconds <= 0:
        return "none"
    if seconds < 60:
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
