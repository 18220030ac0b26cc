"""Jobs in this process and in others: every one done, failures named, nothing finished lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from multiprocessing import resource_tracker
from pathlib import Path

import pytest
import torch

from ptu_seq.errors import UserError
from ptu_seq.runner import JobRunner


def work(job: str) -> str:
    """Does what the job is called; runs in processes of their own."""
    if job.startswith("sleep"):
        time.sleep(float(job.split()[1]))
    elif job == "divide":
        return str(1 / 0)
    elif job == "mistake":
        raise UserError("--sizes is wrong.")
    elif job == "die":
        os._exit(1)
    elif job.startswith("die unless") and not (mark := Path(job.split()[-1])).exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    elif job == "threads":
        return str(torch.get_num_threads())
    elif job.startswith("ctrl-c"):
        return str(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, []))
    return job.upper()


def run(workers: int, jobs: list[str]) -> tuple[dict[str, str], Exception | None]:
    """The outcomes, and the error that ended them."""
    outcomes = {}
    try:
        with JobRunner(work, workers) as runner:
            for job, outcome in runner(jobs):
                outcomes[job] = outcome
    except Exception as error:
        return outcomes, error
    return outcomes, None


@pytest.mark.parametrize("workers", [1, 2])
def test_does_every_job_on_one_thread(workers):
    torch.set_num_threads(2)
    try:
        assert run(workers, ["a", "b", "c", "threads"]) == (
            {"a": "A", "b": "B", "c": "C", "threads": "1"},
            None,
        )
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert multiprocessing.active_children() == []


def test_a_mistake_is_told_with_its_job():
    outcomes, error = run(1, ["a", "mistake", "c"])
    assert outcomes == {"a": "A"}
    assert isinstance(error, UserError)
    assert str(error) == "mistake: --sizes is wrong."


def test_our_own_error_keeps_its_type_and_notes_the_job():
    outcomes, error = run(1, ["a", "divide", "b"])
    assert outcomes == {"a": "A"}
    assert isinstance(error, ZeroDivisionError)
    assert error.__notes__ == ["This happened in the run divide."]


def test_jobs_beside_a_failing_one_are_finished_and_no_others_begun():
    outcomes, error = run(2, ["sleep 1", "divide", "sleep 60"])
    assert outcomes == {"sleep 1": "SLEEP 1"}
    assert isinstance(error, ZeroDivisionError)
    assert error.__notes__ == ["This happened in the run divide."]
    assert "in work" in str(error.__cause__)  # the traceback of the other process
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_jobs_whose_process_dies_are_done_again_and_named_if_it_always_does(tmp_path, caplog):
    once = f"die unless {tmp_path / 'died'}"
    outcomes, error = run(2, [once, "die", "b"])
    assert outcomes.items() <= {once: once.upper(), "b": "B"}.items()
    assert once in outcomes
    assert f"{once}: its process died; the run begins again" in caplog.text
    assert isinstance(error, UserError)
    assert str(error).startswith("die: its process died 3 times")
    assert "fewer --workers" in str(error)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_a_process_that_died_in_waiting_is_replaced():
    with JobRunner(work, 2) as runner:
        assert list(runner(["a"])) == [("a", "A")]
        (process,) = multiprocessing.active_children()
        process.kill()
        process.join()
        assert list(runner(["b"])) == [("b", "B")]


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_that_depend_on_outcomes_are_asked_for_again(workers):
    class Chain:
        """After the first job the next one is its outcome, three times."""

        def __init__(self) -> None:
            self.ready = ["a"]
            self.left = 3

        def __iter__(self) -> Chain:
            return self

        def __next__(self) -> str:
            if not self.ready:
                raise StopIteration
            return self.ready.pop()

    chain, seen = Chain(), []
    with JobRunner(work, workers) as runner:
        for _, outcome in runner(chain):
            seen.append(outcome)
            chain.left -= 1
            if chain.left:
                chain.ready.append(outcome + "b")
    assert seen == ["A", "AB", "ABB"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals cannot be blocked")
def test_no_process_gets_ctrl_c_not_even_the_first(monkeypatch):
    monkeypatch.setattr(resource_tracker._resource_tracker, "_fd", None)  # as if none had started
    assert run(2, ["ctrl-c 1", "ctrl-c 2"])[0] == {"ctrl-c 1": "True", "ctrl-c 2": "True"}


def test_ctrl_c_ends_the_processes_at_once():
    with pytest.raises(KeyboardInterrupt), JobRunner(work, 2) as runner:
        for _ in runner(["a", "sleep 600", "sleep 600"]):
            os.kill(os.getpid(), signal.SIGINT)
    assert multiprocessing.active_children() == []
