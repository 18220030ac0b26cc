"""Blocks of rows: each row once an epoch and for one process, and the same after a stop."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest
from datasets import Dataset, IterableDataset
from hypothesis import given, settings
from hypothesis import strategies as st

from ptu_seq.data.streams.blocks import ShuffledBlocks
from ptu_seq.data.streams.files import stream_files
from ptu_seq.errors import UserError


def in_files(folder: Path, sizes: list[int], kind: str) -> IterableDataset:
    """Numbered rows in files of these sizes."""
    first, shards = 0, []
    for i, size in enumerate(sizes):
        path = folder / f"{i}.{kind}"
        rows = Dataset.from_dict({"n": list(range(first, first + size))})
        rows.to_parquet(path) if kind == "parquet" else rows.to_json(path)
        shards.append((path,))
        first += size
    return stream_files(shards)


def in_memory(sizes: list[int]) -> IterableDataset:
    """As bundled data sets and those of the hub are: tables of Arrow."""
    rows = Dataset.from_dict({"n": list(range(sum(sizes)))})
    return rows.to_iterable_dataset(num_shards=len(sizes))


@pytest.fixture(scope="module", params=["jsonl", "parquet", "arrow"])
def opened(request, tmp_path_factory):
    """Opens a stream of files of some sizes, each once."""
    streams: dict[tuple[int, ...], IterableDataset] = {}

    def open_stream(sizes: list[int]) -> IterableDataset:
        key = tuple(sizes)
        if key not in streams:
            streams[key] = (
                in_memory(sizes)
                if request.param == "arrow"
                else in_files(tmp_path_factory.mktemp("files"), sizes, request.param)
            )
        return streams[key]

    return open_stream


def epochs(blocks: ShuffledBlocks, count: int) -> list[list[int]]:
    """The numbers of the rows of the first epochs."""
    read: list[list[int]] = [[] for _ in range(count)]
    for block in blocks:
        epoch = blocks.state_dict()["epoch"]
        if epoch == count:
            return read
        read[epoch] += [row["n"] for row in block.rows]
    raise AssertionError("the stream has ended")


SIZES = st.sampled_from([[7], [30], [13, 4], [5, 5, 5], [1, 9, 2, 8]])


@settings(max_examples=15, deadline=None)
@given(sizes=SIZES, length=st.integers(1, 40), world_size=st.integers(1, 5))
def test_every_row_comes_once_an_epoch_to_one_process(opened, sizes, length, world_size):
    rows = opened(sizes)
    of_ranks = [
        epochs(ShuffledBlocks(rows, length, seed=0, rank=rank, world_size=world_size), 2)
        for rank in range(world_size)
    ]
    for epoch in range(2):
        together = [n for read in of_ranks for n in read[epoch]]
        assert sorted(together) == list(range(sum(sizes)))


@settings(max_examples=15, deadline=None)
@given(
    sizes=SIZES,
    length=st.integers(1, 9),
    stop=st.integers(1, 20),
    world_size=st.integers(1, 3),
    data=st.data(),
)
def test_what_comes_after_a_stop_is_what_would_have_come(
    opened, sizes, length, stop, world_size, data
):
    rank = data.draw(st.integers(0, world_size - 1))

    def new() -> ShuffledBlocks:
        return ShuffledBlocks(opened(sizes), length, seed=3, rank=rank, world_size=world_size)

    blocks = new()
    read = iter(blocks)
    last = next(islice(read, stop - 1, None))
    state = json.loads(json.dumps(blocks.state_dict()))
    rest = [block.rows for block in islice(read, 12)]
    again = new()
    again.load_state_dict(state)
    gone_on = [block.rows for block in islice(again, 13)]
    assert gone_on == [last.rows, *rest]


def test_rows_are_shuffled_otherwise_in_each_epoch_and_with_each_seed(opened):
    rows = opened([30])
    orders = [*epochs(ShuffledBlocks(rows, 10, seed=0), 2), *epochs(ShuffledBlocks(rows, 10, 1), 1)]
    assert len({tuple(order) for order in orders}) == 3
    assert epochs(ShuffledBlocks(rows, 10, seed=0), 2) == orders[:2]
    assert sorted(orders[0]) != orders[0]


def test_a_process_without_rows_says_so(opened):
    with pytest.raises(UserError, match="no rows for process 9"):
        next(iter(ShuffledBlocks(opened([7]), 4, seed=0, rank=9, world_size=10)))
