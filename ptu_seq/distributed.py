"""What a process is among several, and what all of them do at once.

torchrun or accelerate launch starts a program several times. Rank 0 then runs it as a single
process would: it reads the arguments and the data, decides, writes and prints. The others only wait
for what rank 0 has :func:`together` call in all of them: trainings above all, of which each process
does its part of every batch.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from torch import distributed as dist

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def world_size() -> int:
    """How many processes train together: 1 unless a launcher started several.

    Example:
        >>> world_size(), rank(), is_main_process()
        (1, 0, True)
    """
    return dist.get_world_size() if _is_distributed() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if _is_distributed() else 0


def is_main_process() -> bool:
    """Whether this is the process that decides, writes and prints."""
    return rank() == 0


def run_together(main: Callable[[], None]) -> None:
    """Runs a program: in a single process, or under a launcher in rank 0, which the others help.

    Args:
        main: the program; inside another such program it is simply called.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or _is_distributed():
        main()
        return
    from ptu_seq.team import join

    with join() as member:
        member.run(main)


def together(function: Callable[..., Outcome], *arguments: Any) -> Outcome:
    """Calls a function in all processes at once; what it returns in this one is returned.

    Args:
        function: can be pickled by its name.
        *arguments: can be pickled.

    Example:
        >>> together(max, 2, 3)
        3
    """
    from ptu_seq.team import leader

    leading = leader()
    return function(*arguments) if leading is None else leading.call(function, *arguments)


class Together(Generic[Job, Outcome]):
    """Does jobs in all processes at once, each job in all of them.

    Args:
        do: does one job; it is pickled and sent to the other processes once.

    Example:
        >>> Together(abs)(-2)
        2
    """

    def __init__(self, do: Callable[[Job], Outcome]) -> None:
        together(_keep, do)

    def __call__(self, job: Job) -> Outcome:
        """What comes of a job in this process."""
        return together(_do, job)


_kept: list[Callable[[Any], Any]] = []


def _keep(do: Callable[[Any], Any]) -> None:
    _kept[:] = [do]


def _do(job: Any) -> Any:
    return _kept[0](job)


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
