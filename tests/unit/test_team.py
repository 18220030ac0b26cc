"""Rank 0 and another process, here two threads, over a connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from ptu_seq import team
from ptu_seq.errors import UserError
from ptu_seq.link import Link

pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"  # how a process ends here
)

done: list[str] = []


def note(word: str) -> str:
    done.append(f"{word} by {threading.current_thread().name}")
    return word


def fail(where: str, error: type[Exception]) -> None:
    if threading.current_thread().name in where:
        raise error("no such luck")


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Why processes would have ended at once."""
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        raise SystemExit  # of the thread

    monkeypatch.setattr(team, "_end", end)
    monkeypatch.setattr(team, "GRACE", 0.3)
    return reasons


@pytest.fixture
def leader(ends: list[str]) -> Iterator[team.Leader]:
    done.clear()
    threading.current_thread().name = "first"
    with socket.create_server(("localhost", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    follower = team.Follower(Link(theirs))
    listening = threading.Thread(target=follower._listen, daemon=True)
    listening.start()
    second = threading.Thread(target=follower.run, args=(print,), name="second")
    second.start()
    leading = team.Leader([(Link(ours), "rank 1 on here")])
    for thread in leading._watchers:
        thread.start()
    yield leading
    leading._ended = True
    with suppress(OSError):
        ours.shutdown(socket.SHUT_RDWR)
    follower._calls.put(None)
    second.join()
    for thread in (listening, *leading._watchers):  # before `_end` is itself again
        thread.join()


def wait_for(reasons: list[str]) -> None:
    until = time.monotonic() + 10
    while not reasons and time.monotonic() < until:
        time.sleep(0.02)


def test_a_call_is_done_by_both_and_returns_what_the_first_makes_of_it(leader: team.Leader):
    assert leader.call(note, "work") == "work"
    assert leader.call(note, "more") == "more"
    until = time.monotonic() + 10
    while len(done) < 4 and time.monotonic() < until:
        time.sleep(0.02)
    both = ("first", "second")
    assert sorted(done) == [f"{word} by {who}" for word in ("more", "work") for who in both]


def test_a_mistake_that_befalls_both_is_raised_once_and_work_goes_on(
    leader: team.Leader, ends: list[str]
):
    with pytest.raises(UserError, match="no such luck"):
        leader.call(fail, "first second", UserError)
    assert leader.call(note, "work") == "work"
    assert not ends


def test_an_error_of_another_process_ends_this_one_with_its_traceback(
    leader: team.Leader, ends: list[str]
):
    leader.call(fail, "second", ValueError)
    wait_for(ends)
    assert "rank 1 on here failed:\nTraceback" in ends[0]
    assert "ValueError: no such luck" in ends[0]


def test_the_death_of_another_process_ends_this_one(leader: team.Leader, ends: list[str]):
    leader._links[0][0]._connection.shutdown(socket.SHUT_RDWR)
    wait_for(ends)
    assert any("rank 1 on here has died" in reason for reason in ends)
