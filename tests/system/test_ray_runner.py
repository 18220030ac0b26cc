"""Jobs on a local Ray cluster: done, begun again, named."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ptu_seq.errors import UserError

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

from ptu_seq.ray_runner import RayRunner  # noqa: E402


def work(job: str) -> str:
    """Does what the job is called, in a process of the cluster."""
    if job == "mistake":
        raise UserError("--sizes is wrong.")
    if job == "die":
        os._exit(1)
    if job.startswith("die unless") and not (mark := Path(job.split()[-1])).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return job.upper()


class Unloadable:
    """Stands for work whose package a machine of the cluster lacks."""

    def __call__(self, job: str) -> str:
        return job

    def __getstate__(self) -> dict[str, str]:
        return {"package": "missing"}

    def __setstate__(self, state: dict[str, str]) -> None:
        raise ModuleNotFoundError("No module named 'missing'")


class Chain(Iterator[str]):
    """After the first job the next one is its outcome."""

    def __init__(self) -> None:
        self.ready = ["a"]

    def __next__(self) -> str:
        if not self.ready:
            raise StopIteration
        return self.ready.pop()


def test_a_cluster_does_jobs_and_survives_its_workers(tmp_path: Path):
    once = f"die unless {tmp_path / 'died'}"
    with RayRunner(work, 2) as runner:
        assert dict(runner(["b", once])) == {"b": "B", once: once.upper()}
        chain, seen = Chain(), []
        for _, outcome in runner(chain):
            seen.append(outcome)
            if len(seen) < 3:
                chain.ready.append(outcome + "b")
        assert seen == ["A", "AB", "ABB"]
        with pytest.raises(UserError, match=r"^mistake: --sizes is wrong\.$"):
            list(runner(["mistake"]))
        with pytest.raises(UserError, match="^die: its process died 3 times"):
            list(runner(["die"]))


def test_work_that_cannot_be_loaded_is_not_taken_for_a_death():
    with RayRunner(Unloadable(), 1) as runner, pytest.raises(Exception, match="'missing'"):
        list(runner(["a"]))


def test_a_cluster_that_cannot_be_started(monkeypatch):
    def fail(*_args: object, **_options: object) -> None:
        raise Exception("no memory")

    monkeypatch.setattr("ray.init", fail)
    with (
        pytest.raises(UserError, match=r"^--launcher ray: no Ray cluster can be .*\(no memory\)"),
        RayRunner(work, 1),
    ):
        pass
