"""Does jobs one after the other in this process, or several at a time in processes of their own.

Every job runs on one thread of the CPU, whichever way: networks of this size gain little from
more, and so the numbers do not depend on how many jobs run side by side.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Generic, Self, TypeVar

import torch

from ptu_seq.errors import UserError

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def default_workers() -> int:
    """One process for each core, at most 4; a single one where there is a GPU to share."""
    return 1 if torch.cuda.is_available() else min(4, os.cpu_count() or 1)


class JobRunner(Generic[Job, Outcome]):
    """A context in which jobs are done.

    Args:
        do: does one job; with several workers it is pickled and sent to each of them once.
        workers: processes; 1 does the jobs in this one.

    Example:
        >>> with JobRunner(abs, workers=1) as runner:
        ...     list(runner([-2, 3]))
        [(-2, 2), (3, 3)]
    """

    def __init__(self, do: Callable[[Job], Outcome], workers: int) -> None:
        self.do = do
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        """Starts the processes, if there are to be several."""
        if self.workers > 1:
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_worker,
                initargs=(self.do,),
            )
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the processes; after an error or Ctrl-C without waiting for their jobs."""
        if self._pool is None:
            return
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=error[0] is None, cancel_futures=True)
        if error[0] is not None:
            for process in processes:
                process.terminate()

    def __call__(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yields each job with its outcome as it ends.

        Raises:
            UserError: if a process died, as it does when memory runs out.
        """
        if self._pool is None:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                for job in jobs:
                    yield job, self.do(job)
            finally:
                torch.set_num_threads(threads)
            return
        futures = {self._pool.submit(_do, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as broken:
            raise UserError(
                "a worker process died (out of memory?): the finished runs are kept; run the same "
                "command again, with fewer --workers."
            ) from broken


_do_in_worker: Callable[[object], object] | None = None


def _start_worker(do: Callable[[object], object]) -> None:
    global _do_in_worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    torch.set_num_threads(1)
    _do_in_worker = do


def _do(job: object) -> object:
    assert _do_in_worker is not None
    return _do_in_worker(job)
