"""Does jobs on a Ray cluster: `ptu-seq study --launcher ray`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, Self, TypeVar

import ray

from ptu_seq.attempts import RETRIES, Failure, attempt, died_too_often, named
from ptu_seq.errors import UserError
from ptu_seq.runner import prepare_process

Job = TypeVar("Job")
Outcome = TypeVar("Outcome")


class RayRunner(Generic[Job, Outcome]):
    """A context in which jobs are done by the workers of a Ray cluster.

    It is used like :class:`ptu_seq.runner.JobRunner`: a job that fails lets those beside it finish,
    one whose process or machine dies is begun again by Ray, at most `RETRIES` times. A job has one
    core, and a GPU where the cluster has any. Paths must mean the same on all machines.

    Args:
        do: does one job; it is put into Ray's object store once.
        workers: jobs at a time; a cluster that is started here has so many cores. 0: as many as
            the cluster at the address has GPUs, or else cores.
        address: of a cluster that runs already; None starts one on this machine.
    """

    def __init__(
        self, do: Callable[[Job], Outcome], workers: int, address: str | None = None
    ) -> None:
        self.do = do
        self.workers = workers
        self.address = address

    def __enter__(self) -> Self:
        """Starts the cluster, or connects to it.

        Raises:
            UserError: if there is none at the address.
        """
        size: dict[str, Any] = {"num_cpus": self.workers, "include_dashboard": False}
        try:
            ray.init(
                self.address or "local",
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if self.address else size),
            )
        except Exception as error:  # Ray raises a dozen unrelated types, a bare Exception as well
            raise UserError(
                f"--ray_address {self.address}: no Ray cluster answers there ({error})."
                if self.address
                else f"--launcher ray: no Ray cluster can be started here ({error})."
            ) from error
        self._do = ray.put(self.do)
        cores, gpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("CPU", "GPU"))
        self.workers = self.workers or gpus or cores
        self._task = ray.remote(num_cpus=1, num_gpus=min(1, gpus), max_retries=RETRIES)(_attempt)
        return self

    def __exit__(self, *error: object) -> None:
        """Ends the cluster that was started here, or leaves it; what still runs there is ended."""
        ray.shutdown()

    def __call__(self, jobs: Iterable[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yields each job with its outcome as it ends.

        Args:
            jobs: taken as they can begin, and asked once more after an outcome if they had ended.

        Raises:
            UserError: if a job raised one, or if its process died each time.
            Exception: whatever else a job raised, with a note that names the job.
        """
        waiting = iter(jobs)
        running: dict[Any, Job] = {}
        failure: Exception | None = None
        while True:
            while failure is None and len(running) < self.workers:
                following = next(waiting, None)
                if following is None:
                    break
                # In a list, so that each process fetches `do` once and keeps it.
                running[self._task.remote([self._do], following)] = following
            if not running:
                break
            (ended, *_), _ = ray.wait(list(running))
            job = running.pop(ended)
            try:
                answer = ray.get(ended)
            except ray.exceptions.RayTaskError as error:  # such as ptu_seq missing on a machine
                failure = failure or named(error, job)
                continue
            except ray.exceptions.RayError:
                failure = failure or died_too_often(job)
                continue
            if isinstance(answer, Failure):
                failure = failure or answer.raised_by(job)
            else:
                yield job, answer
        if failure is not None:
            raise failure


_kept: dict[str, Callable[[Any], Any]] = {}


def _attempt(held: list[Any], job: Any) -> Any:
    """Does a job in a worker's process, which keeps what it has loaded for the next one."""
    (reference,) = held
    name = reference.hex()
    if name not in _kept:
        prepare_process()
        _kept.clear()
        _kept[name] = ray.get(reference)
    return attempt(_kept[name], job)
