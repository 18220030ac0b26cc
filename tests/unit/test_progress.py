"""What a study says of its progress."""

from __future__ import annotations

import io
import itertools

import pytest

from ptu_seq.jobs import TUNING_SEED, Cell, Job, Outcome
from ptu_seq.progress import Progress, Row

OUTCOME = Outcome(0.5, 7, 0.1, {"trained": 1, "total": 2})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def job(seed: int = 0) -> Job:
    return Job(Cell("films", 100, "ptu"), {"learning_rate": 0.1}, seed)


def progress(stream: io.StringIO) -> Progress:
    """Three experiments, two of one recipe; each job lasts 10 seconds."""
    rows = [Row("a", "text", 2, 4), Row("b", "text", 0, 6), Row("c", "image", 0, 3, runs_done=1)]
    clock = itertools.count(0, 10)
    return Progress(rows, stream, now=lambda: next(clock))


def test_time_left_comes_from_jobs_of_the_experiment_then_the_recipe_then_all():
    shown = progress(io.StringIO())
    shown.begin("a", 2, 4)
    assert shown.seconds_left() is None
    shown.tell("a", job(TUNING_SEED), OUTCOME)
    assert [shown.seconds_left(name) for name in "abc"] == [50, 60, 20]
    assert shown.seconds_left() == 130


def test_a_line_a_job_where_there_is_no_terminal():
    stream = io.StringIO()
    shown = progress(stream)
    shown.begin("a", 1, 3)  # an earlier process did a trial and a run
    shown.tell("a", job(TUNING_SEED), OUTCOME)
    shown.tell("a", job(), OUTCOME)
    lines = stream.getvalue().splitlines()
    assert lines[0].startswith("a: tuning 2/2, runs 1/4; ptu on films, size 100;")
    assert lines[1].startswith("a: tuning 2/2, runs 2/4;")


def test_a_table_drawn_anew_in_place_on_a_terminal():
    stream = Terminal()
    shown = progress(stream)
    shown.begin("a", 2, 4)
    shown.tell("a", job(), OUTCOME)
    first, second = stream.getvalue().split("\x1b[5F\x1b[J")
    assert len(first.splitlines()) == len(second.splitlines()) == 5
    assert second.splitlines()[1].split() == [">a", "0", "/", "2", "1", "/", "4", "50", "s"]
    shown.begin("b", 0, 6)  # what the recipe has printed in between is not wiped
    assert stream.getvalue().count("\x1b[") == 2


@pytest.mark.parametrize("current", ["a", "b", "c"])
@pytest.mark.parametrize("width", [30, 80])
def test_the_current_experiment_is_shown_on_a_small_terminal(current: str, width: int):
    lines = progress(io.StringIO()).table(current, width=width, height=3)
    assert len(lines) == 3
    assert lines[1].startswith(f">{current}")
