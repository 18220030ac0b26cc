"""Does jobs one after the other in this process, or several at a time in processes of their own.

Every job runs on one thread of the CPU, whichever way: networks of this size gain little from
more, and so the numbers do not depend on how many jobs run side by side.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, Generic, Self, TypeVar, cast

import torch

from ptu_seq.errors import UserError

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def default_workers() -> int:
    """One process for each core we may use, at most 4; a single one where there is a GPU."""
    if torch.cuda.is_available():
        return 1
    usable = getattr(os, "sched_getaffinity", None)
    return min(4, len(usable(0)) if usable else os.cpu_count() or 1)


class JobRunner(Generic[Job, Outcome]):
    """A context in which jobs are done.

    Where a job fails, those that run beside it are finished and yielded before its error is
    raised, with the job named. Leaving the context by an error or Ctrl-C ends the processes at
    once, and so does the death of this process.

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
        """Prepares the processes, if there are to be several; they start with the first job."""
        if self.workers > 1:
            context = multiprocessing.get_context("spawn")
            self._others = set(multiprocessing.active_children())
            # Nobody ever writes to it: what workers read is its end, when this process is dead.
            reader, self._lifeline = context.Pipe(duplex=False)
            self._pool = ProcessPoolExecutor(
                self.workers,
                mp_context=context,
                initializer=partial(_start_worker, self.do, reader),
            )
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the processes; after an error or Ctrl-C without waiting for their jobs."""
        if self._pool is None:
            return
        if error[0] is not None:
            for process in set(multiprocessing.active_children()) - self._others:
                process.terminate()
        self._pool.shutdown(cancel_futures=True)
        self._lifeline.close()

    def __call__(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yields each job with its outcome as it ends.

        Raises:
            UserError: if a job raised one, or if a process died, as it does when memory runs out.
            Exception: whatever else a job raised, with a note that names the job.
        """
        return self._one_by_one(jobs) if self._pool is None else self._side_by_side(jobs)

    def _one_by_one(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        threads = torch.get_num_threads()
        _prepare_process()
        try:
            for job in jobs:
                try:
                    outcome = self.do(job)
                except Exception as error:
                    raise _named(error, job) from error.__cause__
                yield job, outcome
        finally:
            torch.set_num_threads(threads)
            gc.unfreeze()

    def _side_by_side(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Outcome]]:
        assert self._pool is not None
        waiting = deque(jobs)
        running: dict[Future[Outcome], Job] = {}
        failure: Exception | None = None
        while running or (waiting and failure is None):
            # No more than can start, as what the pool has taken on cannot be called back.
            while waiting and failure is None and len(running) < self.workers:
                job = waiting.popleft()
                with _interrupts_blocked():
                    running[self._submit(job)] = job
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                job = running.pop(future)
                error = future.exception()
                if error is None:
                    yield job, future.result()
                else:
                    failure = failure or _named(error, job)
        if failure is not None:
            raise failure

    def _submit(self, job: Job) -> Future[Outcome]:
        assert self._pool is not None
        try:
            return cast("Future[Outcome]", self._pool.submit(_do, job))
        except BrokenProcessPool as error:  # a process died just now
            broken: Future[Outcome] = Future()
            broken.set_exception(error)
            return broken


def _named(error: BaseException, job: object) -> Exception:
    """The error, saying which job it befell."""
    if isinstance(error, BrokenProcessPool):
        return UserError(
            "a worker process died (out of memory?): the finished runs are kept; run the same "
            "command again, with fewer --workers."
        )
    if isinstance(error, UserError):
        return UserError(f"{job}: {error}")
    assert isinstance(error, Exception)
    error.add_note(f"This happened in the run {job}.")
    return error


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Holds Ctrl-C back; processes started inside never get it, so that it is ours to handle."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_do_in_worker: Callable[[Any], Any] | None = None


def _start_worker(do: Callable[[Any], Any], lifeline: Connection) -> None:
    global _do_in_worker
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    _prepare_process()
    _do_in_worker = do


def _prepare_process() -> None:
    torch.set_num_threads(1)
    gc.freeze()  # every training collects garbage, which need not go through all modules


def _end_with(lifeline: Connection) -> None:
    try:
        lifeline.recv()
    except EOFError:
        os._exit(1)


def _do(job: object) -> object:
    assert _do_in_worker is not None
    return _do_in_worker(job)
