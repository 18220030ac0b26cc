"""Checkpoints on disk: whole or not at all, verified, the one before in place of a damaged one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ptu_seq.checkpoints import Checkpoints, CheckpointStore
from ptu_seq.jobs import Cell, Job
from tests.unit.resuming import STEPS, Stopped, text

STATE = {
    "weights": {"a": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3, dtype=torch.uint8)},
    "random": [3, [1, 2], None],
    "best": -torch.inf,
    "score": 0.1 + 0.2,
}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


#: What may befall a file of a checkpoint.
DAMAGES: dict[str, Callable[[Path], None]] = {
    "wrong byte": flip,
    "truncated": truncate,
    "missing": Path.unlink,
}
FILES = ("state.json", "tensors.safetensors", "manifest.json", "more.json")


def two(folder: Path) -> tuple[Checkpoints, list[Path]]:
    checkpoints = Checkpoints(folder, identity={"seed": 1})
    written = [checkpoints.write(i, {**STATE, "step": i}, {"more.json": "{}"}) for i in (5, 10)]
    return Checkpoints(folder, identity={"seed": 1}), written


def test_what_is_read_is_what_was_written(tmp_path: Path):
    checkpoints, written = two(tmp_path)
    found = checkpoints.read_last()
    assert found is not None
    assert (found.path, found.step, found.is_finished) == (written[1], 10, False)
    assert repr(found.state) == repr({**STATE, "step": 10})
    assert checkpoints.last_good == written[1]


def test_the_last_two_are_kept_and_nothing_else(tmp_path: Path):
    checkpoints, written = two(tmp_path)
    (tmp_path / ".unfinished").mkdir()  # by a process that was killed
    assert checkpoints.read_last() is not None
    third = checkpoints.write(15, STATE)
    assert set(tmp_path.iterdir()) == {written[1], third}
    last = checkpoints.write(15, STATE, is_finished=True)
    assert set(tmp_path.iterdir()) == {third, last}
    found = Checkpoints(tmp_path, identity={"seed": 1}).read_last()
    assert found is not None and found.is_finished


def test_all_of_it_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch):
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino))
    place = Checkpoints(tmp_path, 0).write(1, STATE, {"more.json": "{}"})
    assert {path.stat().st_ino for path in place.iterdir()} == set(synced)


def test_what_a_file_manager_leaves_beside_them_does_no_harm(tmp_path: Path):
    (tmp_path / ".DS_Store").write_text("")
    checkpoints = Checkpoints(tmp_path, 0)
    for step in range(1, 4):
        checkpoints.write(step, STATE)
    assert {path.name for path in tmp_path.glob("step-*")} == {"step-000000002", "step-000000003"}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_one_before_is_used_if_the_last_is_damaged(
    damage: str, file: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    checkpoints, (first, second) = two(tmp_path)
    DAMAGES[damage](second / file)
    found = checkpoints.read_last()
    assert found is not None and found.step == found.state["step"] == 5
    (warning,) = caplog.messages
    assert warning.startswith(f"The checkpoint {second} is damaged ({file} ")
    assert warning.endswith(f"; training goes on from {first.name} before it.")
    # Going on, the training comes to the same step again, and the damaged one gives way.
    assert checkpoints.write(10, STATE) == second
    assert set(tmp_path.iterdir()) == {first, second}
    caplog.clear()
    assert Checkpoints(tmp_path, identity={"seed": 1}).read_last() is not None
    assert not caplog.messages


def test_training_begins_anew_if_all_are_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    checkpoints, (first, second) = two(tmp_path)
    flip(first / "state.json")
    shutil.rmtree(second)
    second.mkdir()
    assert checkpoints.read_last() is None
    (warning,) = caplog.messages
    assert str(first) in warning and str(second) in warning
    assert warning.endswith("training begins anew.")


def test_those_of_another_training_are_not_read_and_give_way(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    two(tmp_path)
    other = Checkpoints(tmp_path, identity={"seed": 2})
    assert other.read_last() is None
    (warning,) = caplog.messages
    assert "other settings, data, versions of libraries or kind of device" in warning
    written = other.write(1, STATE)
    assert list(tmp_path.iterdir()) == [written]


def test_no_code_is_kept(tmp_path: Path):
    _, written = two(tmp_path)
    assert {path.suffix for path in written[0].iterdir()} == {".json", ".safetensors"}


def test_jobs_are_told_apart(tmp_path: Path):
    job = Job(Cell("films", 100, "ptu"), {"rate": 0.1}, 3)
    store = CheckpointStore(tmp_path / "checkpoints", "books", "abc", {"books": "1", "films": "2"})
    others = [
        CheckpointStore(store.folder, "books", "abd", store.data),
        CheckpointStore(store.folder, "books", "abc", {"books": "1", "films": "3"}),
        CheckpointStore(store.folder, "books", "abc", {"books": "2", "films": "2"}),
    ]
    same = CheckpointStore(store.folder, "books", "abc", {**store.data, "songs": "4"})
    own = store.of_job(job)
    assert same.of_job(job) == own
    assert all(other.of_job(job).identity != own.identity for other in others)
    assert all(other.of_job(job).folder == own.folder for other in others)
    own.write(1, STATE)
    store.remove(job.file_name)
    assert not store.folder.exists()


def test_a_training_goes_on_from_the_one_before(tmp_path: Path):
    run, checkpoints = text("ptu"), Checkpoints(tmp_path / "run", identity=0)
    with pytest.raises(Stopped):
        run(checkpoints, 9)
    flip(checkpoints.folder / "step-000000008" / "tensors.safetensors")
    ended = run(Checkpoints(checkpoints.folder, 0), None)
    assert ended.taken == list(range(8, STEPS + 1))
    assert ended.is_like(run(None, None))
