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
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, NamedTuple, Self, TypeVar

import torch

from ptu_seq.attempts import RETRIES, Failure, attempt, died_too_often, named, warn_of_death
from ptu_seq.distributed import world_size
from ptu_seq.errors import UserError

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


def usable_workers(wanted: int) -> int:
    """How many jobs to do at a time.

    Args:
        wanted: the value of `--workers`; 0: a process for each core we may use, at most 4, but a
            single one where there is a GPU or a launcher has started several.

    Raises:
        UserError: if a launcher's processes are to start further ones.
    """
    if world_size() > 1:
        if wanted > 1:
            raise UserError(
                f"--workers is {wanted}, but the {world_size()} processes that were started do one "
                "run at a time together; accepted is 1, or the command without its launcher."
            )
        return 1
    if wanted:
        return wanted
    if torch.cuda.is_available():
        return 1
    usable = getattr(os, "sched_getaffinity", None)
    return min(4, len(usable(0)) if usable else os.cpu_count() or 1)


class JobRunner(Generic[Job, Outcome]):
    """A context in which jobs are done.

    Where a job fails, those that run beside it are finished and yielded before its error is
    raised, with the job named. A process that dies, as it does when memory runs out, is replaced
    and its job begun again, at most `RETRIES` times; the jobs beside it do not notice. Leaving the
    context by an error or Ctrl-C ends the processes at once, and so does the death of this process.

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
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, tuple[_Worker, _Attempt[Job]]] = {}

    def __enter__(self) -> Self:
        """Prepares for the processes, if there are to be several; they start with their jobs."""
        # Nobody ever writes to it: what workers read is its end, when this process is dead.
        self._lifeline = multiprocessing.get_context("spawn").Pipe(duplex=False)
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the processes; after an error or Ctrl-C without waiting for their jobs."""
        workers = [*self._idle, *(worker for worker, _ in self._busy.values())]
        for worker in workers:
            worker.stop(at_once=error[0] is not None)
        for worker in workers:
            worker.process.join()
        self._idle.clear()
        self._busy.clear()
        for end in self._lifeline:
            end.close()

    def __call__(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yields each job with its outcome as it ends.

        Args:
            jobs: taken as they can begin, and asked once more after an outcome if they had ended.

        Raises:
            UserError: if a job raised one, or if its process died each time.
            Exception: whatever else a job raised, with a note that names the job.
        """
        return self._one_by_one(jobs) if self.workers == 1 else self._side_by_side(iter(jobs))

    def _one_by_one(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        threads = torch.get_num_threads()
        prepare_process()
        try:
            for job in jobs:
                try:
                    outcome = self.do(job)
                except Exception as error:
                    raise named(error, job) from error.__cause__
                yield job, outcome
        finally:
            torch.set_num_threads(threads)
            gc.unfreeze()

    def _side_by_side(self, jobs: Iterator[Job]) -> Iterator[tuple[Job, Outcome]]:
        again: deque[_Attempt[Job]] = deque()
        failure: Exception | None = None
        while True:
            while failure is None and len(self._busy) < self.workers:
                following = again.popleft() if again else _first_attempt(jobs)
                if following is None:
                    break
                self._begin(following)
            if not self._busy:
                break
            for connection in wait(list(self._busy)):
                assert isinstance(connection, Connection)
                worker, ended = self._busy.pop(connection)
                try:
                    answer = connection.recv()
                except (EOFError, ConnectionError):
                    worker.process.join()
                    if ended.number <= RETRIES:
                        warn_of_death(ended.job)
                        again.append(ended.once_more())
                    else:
                        failure = failure or died_too_often(ended.job)
                    continue
                self._idle.append(worker)
                if isinstance(answer, Failure):
                    failure = failure or answer.raised_by(ended.job)
                else:
                    yield ended.job, answer
        if failure is not None:
            raise failure

    def _begin(self, following: _Attempt[Job]) -> None:
        """Hands a job to a process that waits for one, or to a new one."""
        while self._idle:
            worker = self._idle.pop()
            try:
                worker.connection.send(following.job)
            except ConnectionError:  # it died in waiting
                worker.process.join()
                continue
            self._busy[worker.connection] = worker, following
            return
        worker = _Worker(self.do, self._lifeline[0])
        self._busy[worker.connection] = worker, following
        with suppress(ConnectionError):  # its death is noticed where its answer is awaited
            worker.connection.send(following.job)


class _Attempt(NamedTuple, Generic[Job]):
    """A job, and the how manieth attempt at it this is."""

    job: Job
    number: int = 1

    def once_more(self) -> _Attempt[Job]:
        return _Attempt(self.job, self.number + 1)


def _first_attempt(jobs: Iterator[Job]) -> _Attempt[Job] | None:
    for job in jobs:
        return _Attempt(job)
    return None


class _Worker:
    """A process that does jobs, and the connection to it."""

    def __init__(self, do: Callable[[Any], Any], lifeline: Connection) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(do, theirs, lifeline))
        with _interrupts_blocked():
            self.process.start()
        theirs.close()  # so that its death is the connection's end

    def stop(self, *, at_once: bool) -> None:
        if at_once:
            self.process.terminate()
        self.connection.close()


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Holds Ctrl-C back; processes started inside never get it, so that it is ours to handle."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    # Or the first process would start it as well, which lets Ctrl-C through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(do: Callable[[Any], Any], connection: Connection, lifeline: Connection) -> None:
    """Does what comes over the connection until that is closed."""
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    prepare_process()
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(attempt(do, job))


def prepare_process() -> None:
    """Makes this process fit for jobs: one thread, and a quick garbage collector."""
    torch.set_num_threads(1)
    gc.freeze()  # every training collects garbage, which need not go through all modules


def _end_with(lifeline: Connection) -> None:
    try:
        lifeline.recv()
    except EOFError:
        os._exit(1)
