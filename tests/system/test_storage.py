"""A disk that is full, read-only or gone: one sentence, exit code 2, and all that was finished."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ptu_seq.arguments import run_recipe
from ptu_seq.errors import storage_trouble
from ptu_seq.records import content_digest, read_lines
from ptu_seq.study import Study
from recipes.sentence_classification import main
from tests.tiny import sentences, write_dataset

SMALL: dict[str, Any] = {
    "sizes": "50",
    "methods": ["scratch", "ptu"],
    "embedding_size": 8,
    "hidden_size": 8,
    "vocab_size": 100,
    "source_max_steps": 60,
    "min_steps": 20,
    "max_steps": 20,
    "evaluations": 1,
    "tuning_trials": 2,
    "workers": 1,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    rows = (sentences(count, seed) for seed, count in enumerate((200, 40, 40, 100, 40, 40)))
    for name in ("books", "films"):
        write_dataset(folder / name, next(rows), next(rows), next(rows))
    return folder


def run(data: Path, out: Path, seeds: int, *words: str) -> int:
    """The exit code of the recipe."""
    given = [f"--source_dataset={data / 'books'}", f"--target_datasets={data / 'films'}"]
    for name, value in SMALL.items():
        given += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    try:
        run_recipe(lambda: main([*given, f"--output_dir={out}", f"--seeds={seeds}", *words]))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def finished(out: Path) -> dict[str, Any]:
    lines = read_lines(out / "results.jsonl")
    return {line["run_id"]: {**line, "seconds": None, "invocation": None} for line in lines}


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("undisturbed")
    assert run(data, out, seeds=3) == 0
    return finished(out)


def test_no_space_left_in_the_middle_of_a_run(data, undisturbed, tmp_path: Path, capsys):
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    out = tmp_path / "out"
    assert run(data, out, seeds=1) == 0
    kept = finished(out)
    # The file that a run of the next seed writes first is on a device that takes nothing.
    name = content_digest(["books", "films", 50, "ptu", 1])[:8]
    half = out / "predictions" / f"ptu-50-1-{name}.json.part"
    half.symlink_to(full)
    assert run(data, out, seeds=2) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == (
        f"error: {half.with_suffix('')}: No space left on device. What was finished is kept: once "
        "that is mended, the same command goes on from there."
    )
    assert finished(out).items() >= kept.items()
    assert not half.is_symlink()  # nothing half written stays
    assert run(data, out, seeds=3) == 0
    assert finished(out) == undisturbed


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: content[:-400] + bytes(400), id="zeros at its end"),
        pytest.param(lambda content: content[:-1], id="cut", marks=pytest.mark.slow),
        pytest.param(lambda content: b"", id="empty", marks=pytest.mark.slow),
    ],
)
def test_a_source_that_was_damaged_is_not_used(data, tmp_path: Path, capsys, damage):
    out = tmp_path / "out"
    assert run(data, out, seeds=1) == 0
    kept, weights = finished(out), out / "source" / "model.safetensors"
    weights.write_bytes(damage(weights.read_bytes()))
    assert run(data, out, seeds=2) == 2
    said = f"{weights} is damaged or was exchanged: remove {weights.parent}, and the same"
    assert said in capsys.readouterr().err
    assert finished(out) == kept


@pytest.mark.skipif(os.name == "nt", reason="folders are not locked there")
def test_a_second_process_in_the_same_folder_is_refused(data, tmp_path: Path, capsys, monkeypatch):
    out = tmp_path / "out"
    write, codes = Study._write_result, []

    def write_and_start_again(self: Study, *result: Any) -> None:
        own = set(out.glob(".unfinished-*"))
        lines = (out / "tuning.jsonl").read_bytes()
        (out / "tuning.jsonl").write_bytes(lines + b'{"source": "bo')  # being appended
        codes.append(run(data, out, 1))
        assert own and own <= set(out.glob(".unfinished-*"))
        assert (out / "tuning.jsonl").read_bytes() == lines + b'{"source": "bo'
        (out / "tuning.jsonl").write_bytes(lines)
        write(self, *result)

    monkeypatch.setattr(Study, "_write_result", write_and_start_again)
    assert run(data, out, seeds=1) == 0
    assert codes == [2, 2]
    assert "another process is at work there; wait until it has ended" in capsys.readouterr().err
    assert len(finished(out)) == 2
    assert run(data, out, seeds=1) == 0  # the lock is gone with the first


def test_a_folder_that_is_removed_in_the_middle(data, tmp_path: Path, capsys, monkeypatch):
    out = tmp_path / "out"
    write = Study._write_result

    def write_and_lose(self: Study, *result: Any) -> None:
        write(self, *result)
        shutil.rmtree(out)

    monkeypatch.setattr(Study, "_write_result", write_and_lose)
    assert run(data, out, seeds=2) == 2
    error = capsys.readouterr().err
    assert f"{out} was removed or emptied while its study was running" in error
    assert "Traceback" not in error
    assert not (out / "results.jsonl").exists()


def test_a_cache_that_cannot_be_written_is_not_called_a_fault_of_the_data(
    data, tmp_path: Path, capsys, monkeypatch
):
    (tmp_path / "file").write_text("")  # below which nothing can be made
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "file" / "cache")
    shutil.copytree(data, tmp_path / "unread")  # what was read before is found in memory
    assert run(tmp_path / "unread", tmp_path / "out", seeds=1) == 2
    error = capsys.readouterr().err
    assert "Not a directory" in error and "set HF_DATASETS_CACHE to a folder that can." in error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "x", "a/b.json"), f"a/b.json: {os.strerror(errno.ENOSPC)}"),
        (OSError(errno.EROFS, "x"), os.strerror(errno.EROFS)),
        (BrokenPipeError(errno.EPIPE, "x"), None),
        (ValueError("No space left"), None),
    ],
)
def test_trouble_is_told_from_mistakes_in_the_program(error: Exception, said: str | None):
    assert storage_trouble(error) == said
    wrapped = RuntimeError("while saving")
    wrapped.__cause__ = error
    assert storage_trouble(wrapped) == said


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[None]:
    """A disk of so many KiB at the folder."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "ptu-seq-test", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("only the administrator can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@pytest.mark.slow
def test_a_disk_that_grows_a_little_each_time(data, undisturbed, tmp_path: Path, capsys):
    disk = tmp_path / "disk"
    out = disk / "out"
    codes = []
    with small_disk(disk, 16):
        kept: dict[str, Any] = {}
        for kib in (16, 64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 1024, 2048, 8192):
            remount(disk, f"size={kib}k")
            codes.append(run(data, out, seeds=3))
            captured = capsys.readouterr()
            assert "Traceback" not in captured.err
            if codes[-1]:
                assert codes[-1] == 2
                assert os.strerror(errno.ENOSPC) in captured.err, captured.err
            with suppress(FileNotFoundError):
                assert finished(out).items() >= kept.items()
                kept = finished(out)
        assert codes[-1] == 0
        assert codes.count(2) >= 3
        assert finished(out) == undisturbed


@pytest.mark.slow
def test_a_disk_that_becomes_read_only(data, tmp_path: Path, capsys, monkeypatch):
    untuned = "--tuning_trials=0"  # as Optuna's database is open, which keeps the disk writable
    assert run(data, tmp_path / "undisturbed", 3, untuned) == 0
    disk = tmp_path / "disk"
    write = Study._write_result

    def write_and_lock(self: Study, *result: Any) -> None:
        write(self, *result)
        remount(disk, "ro")

    with small_disk(disk, 8192):
        with monkeypatch.context() as patch:
            patch.setattr(Study, "_write_result", write_and_lock)
            assert run(data, disk / "out", 3, untuned) == 2
        assert os.strerror(errno.EROFS) in capsys.readouterr().err
        assert len(finished(disk / "out")) == 1
        assert run(data, disk / "out", 3, untuned) == 2  # now before anything is trained
        assert "cannot be written (Read-only file system)" in capsys.readouterr().err
        remount(disk, "rw")
        assert run(data, disk / "out", 3, untuned) == 0
        assert finished(disk / "out") == finished(tmp_path / "undisturbed")
