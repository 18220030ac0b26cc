"""Kept activations: the same numbers, never more room than allowed, never a broken file."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import cached_assets_path

from ptu_seq import source_cache
from ptu_seq.activation_table import ActivationTable, table_bytes
from ptu_seq.batches import Row
from ptu_seq.errors import UserError
from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from ptu_seq.models.lending import LendsHidden
from ptu_seq.source_cache import SourceCache, SourceCacheArguments, make_room

ROOM = 2**20


def lender(seed: int = 0, **fields: Any) -> LendsHidden:
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": 20,
        "embedding_size": 6,
        "hidden_size": 5,
        "bidirectional": True,
    }
    return LendsHidden(RNNForSequenceClassification(RNNConfig(**{**shape, **fields})).eval())


def rows(seed: int = 0, count: int = 7) -> list[Row]:
    torch.manual_seed(seed)
    return [
        {"input_ids": torch.randint(1, 20, (3 + i % 4,)), "labels": torch.tensor(i)}
        for i in range(count)
    ]


def read(cache: SourceCache, *, source: LendsHidden | None = None, of: int = 0) -> ActivationTable:
    table = cache.table(source or lender(), rows(of))
    assert table is not None
    return table


def same(one: ActivationTable, other: ActivationTable) -> bool:
    assert one.lengths == other.lengths
    return all(torch.equal(one.columns[name], other.columns[name]) for name in one.columns)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


@pytest.fixture
def cache(tmp_path: Path) -> SourceCache:
    return SourceCache(ROOM, tmp_path / "cache")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of examples whenever activations are computed."""
    sizes: list[int] = []
    lend = LendsHidden.lend

    def spy(self: LendsHidden, inputs: dict[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        sizes.append(len(inputs["input_ids"]))
        return lend(self, inputs)

    monkeypatch.setattr(LendsHidden, "lend", spy)
    return sizes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_in_memory_written_and_read_are_the_same_to_the_bit(tmp_path, computed, dtype):
    memory, disk = SourceCache(ROOM, None, dtype), SourceCache(ROOM, tmp_path, dtype)
    expected = read(memory)
    assert same(read(disk), expected)
    assert computed == [7, 7]
    assert same(read(disk), expected)
    assert computed == [7, 7]
    assert {column.dtype for column in expected.columns.values()} == {dtype}


def test_the_size_is_said_before_it_is_written(cache, capsys):
    read(cache)
    (path,) = files(cache.folder)
    said = capsys.readouterr().out
    assert "7 examples" in said
    assert str(path) in said
    size = table_bytes(lender(), rows(), torch.float32)
    assert size <= path.stat().st_size < size + 1000
    read(cache)
    assert not capsys.readouterr().out


def test_labels_do_not_matter_but_all_else_does(cache):
    read(cache)
    relabelled = [{**row, "labels": torch.tensor(0)} for row in rows()]
    cache.table(lender(), relabelled)
    assert len(files(cache.folder)) == 1
    read(cache, of=1)
    read(cache, source=lender(seed=1))
    read(cache, source=lender(pooling="mean"))
    cache.table(lender(), rows()[:-1])
    cache.table(lender(), rows()[::-1])
    read(SourceCache(ROOM, cache.folder, torch.float16))
    torch.set_num_threads(2)
    try:
        read(cache)
    finally:
        torch.set_num_threads(1)
    assert len(files(cache.folder)) == 8


@pytest.mark.parametrize("folder", [False, True], ids=["memory", "disk"])
def test_what_needs_more_room_than_allowed_is_not_kept(tmp_path, computed, caplog, folder):
    size = table_bytes(lender(), rows(), torch.float32)
    cache = SourceCache(size - 1, tmp_path if folder else None)
    source_cache._tell_once.cache_clear()
    assert cache.table(lender(), rows()) is None
    assert cache.table(lender(), rows()) is None
    assert not computed
    assert not files(tmp_path)
    (message,) = caplog.messages
    assert "7 examples" in message
    assert "--source_cache_gib" in message


def test_no_room_at_all_is_no_news(caplog):
    assert SourceCache(0).table(lender(), rows()) is None
    assert not caplog.messages


def test_what_was_not_used_longest_makes_room(cache, computed):
    read(cache)
    size = files(cache.folder)[0].stat().st_size
    narrow = SourceCache(int(2.5 * size), cache.folder)
    read(narrow, of=1)
    for age, path in enumerate(sorted(cache.folder.iterdir(), key=os.path.getmtime)):
        os.utime(path, ns=(age, age))  # file systems tell time too coarsely
    read(narrow)  # the older one is used again
    read(narrow, of=2)
    assert sum(path.stat().st_size for path in files(cache.folder)) <= narrow.limit
    computed.clear()
    read(narrow)
    assert not computed
    read(narrow, of=1)
    assert computed == [7]


def test_files_of_others_in_the_folder_stay(cache):
    cache.folder.mkdir(parents=True, exist_ok=True)
    others = [cache.folder / name for name in ("model.safetensors", "mine.unfinished")]
    for path in others:
        path.write_bytes(b"x" * ROOM)
        os.utime(path, (0, 0))
    assert cache.table(lender(), rows()) is not None
    make_room(cache.folder, 0)
    assert files(cache.folder) == sorted(others)


def test_a_table_stays_readable_when_its_file_is_removed(cache):
    read(cache)
    table = read(cache)
    make_room(cache.folder, 0)
    assert not files(cache.folder)
    assert same(table, read(SourceCache(ROOM)))


def test_what_a_killed_process_left_is_removed_after_a_day(cache):
    read(cache)
    old, new = (cache.folder / f"{digit * 32}.unfinished" for digit in "01")
    for path, age in ((old, 2 * source_cache.ABANDONED), (new, 60)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    make_room(cache.folder, ROOM)
    assert [old.exists(), new.exists()] == [False, True]


def test_a_process_that_fails_while_writing_leaves_nothing(cache, monkeypatch):
    def fail(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(source_cache, "save_file", fail)
    with pytest.raises(KeyboardInterrupt):
        read(cache)
    assert not files(cache.folder)


@pytest.mark.parametrize("content", [b"", b"half a file", b"\x10" + bytes(40)])
def test_a_damaged_file_is_replaced(cache, content):
    expected = read(SourceCache(ROOM))
    read(cache)
    (path,) = files(cache.folder)
    path.write_bytes(content)
    assert same(read(cache), expected)
    assert same(read(cache), expected)


def test_a_folder_that_cannot_be_written_is_said_and_does_no_harm(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    source_cache._tell_once.cache_clear()
    table = read(SourceCache(ROOM, tmp_path / "file"))
    assert same(table, read(SourceCache(ROOM)))
    assert "cannot be written" in caplog.text


def _read_often(folder: Path, start: float) -> None:
    time.sleep(max(0.0, start - time.time()))
    for of in range(4):
        assert same(read(SourceCache(ROOM, folder), of=of), read(SourceCache(ROOM), of=of))


def test_two_processes_may_write_the_same(tmp_path):
    context = multiprocessing.get_context("fork")
    start = time.time() + 0.2
    processes = [
        context.Process(target=_read_often, args=(tmp_path / "cache", start)) for _ in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert [path.suffix for path in files(tmp_path / "cache")] == [".safetensors"] * 4


def test_flags(tmp_path):
    assert SourceCacheArguments().cache() == SourceCache(2**30)
    wanted = SourceCacheArguments("disk", 0.5, "bfloat16", str(tmp_path))
    assert wanted.cache() == SourceCache(2**29, tmp_path, torch.bfloat16)
    assert "ptu_seq" in str(SourceCacheArguments("disk").cache().folder)
    with pytest.raises(UserError, match="--source_cache_gib is -1"):
        SourceCacheArguments(source_cache_gib=-1)


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_a_home_that_cannot_be_written_does_not_matter(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "home").write_text("")  # below which nothing can be made
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "home/assets"))
    table = SourceCacheArguments(place).cache().table(lender(), rows())
    assert table is not None


def test_the_folder_is_that_of_hugging_face_for_assets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path))
    wanted = cached_assets_path("ptu_seq", "activations", assets_dir=tmp_path)
    assert SourceCacheArguments("disk").cache().folder == wanted
