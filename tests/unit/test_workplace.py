"""One process at a time works in an output folder, and finds nothing unfinished there."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from ptu_seq.errors import UserError
from ptu_seq.workplace import alone_in, workplace

locking = pytest.mark.skipif(os.name == "nt", reason="folders are not locked there")


def test_what_others_left_unfinished_is_removed_but_not_what_links_lead_to(tmp_path: Path):
    out, kept = tmp_path / "out", tmp_path / "kept"
    (out / ".unfinished-a" / "models").mkdir(parents=True)
    (out / ".unfinished-b").write_text("a file")
    kept.mkdir()
    (kept / "mine").write_text("")
    (out / ".unfinished-c").symlink_to(kept, target_is_directory=True)
    (out / ".unfinished-d").symlink_to(tmp_path / "nothing")
    with workplace(out) as unfinished:
        assert list(out.iterdir()) == [unfinished]
    assert not list(out.iterdir())
    assert (kept / "mine").exists()


@locking
def test_a_folder_is_free_again_after_an_error(tmp_path: Path):
    with pytest.raises(ZeroDivisionError), alone_in(tmp_path / "out"):
        raise ZeroDivisionError
    with alone_in(tmp_path / "out"):
        pass


@locking
def test_a_second_is_refused_while_the_first_works(tmp_path: Path):
    out = tmp_path / "out"
    with alone_in(out):
        with pytest.raises(UserError, match=f"{out}: another process is at work there; wait"):
            alone_in(out).__enter__()
        with alone_in(out / "part"):  # as an experiment's folder lies in its study's
            pass


def hold(folder: Path, ready: multiprocessing.synchronize.Event) -> None:
    with alone_in(folder):
        ready.set()
        multiprocessing.Event().wait(60)


@locking
def test_a_folder_is_free_once_its_process_was_killed(tmp_path: Path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=hold, args=(tmp_path, ready))
    process.start()
    assert ready.wait(60)
    with pytest.raises(UserError, match="at work there"), alone_in(tmp_path):
        pass
    process.kill()
    process.join()
    with alone_in(tmp_path):
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="file/out cannot be written"),
        workplace(tmp_path / "file/out"),
    ):
        pass
