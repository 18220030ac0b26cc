"""Where streams come from: a folder of split files, one file, the hub, or a bundled data set."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow
from datasets import Dataset, Features, IterableDataset

from ptu_seq.data.files import EXTENSIONS
from ptu_seq.data.sources import SPLIT_NAMES, Table, named_files, open_hub, split_files
from ptu_seq.data.streams.files import Shard, file_features, stream_files
from ptu_seq.errors import UserError

#: Rows that tell which columns there are and of what type.
HEAD_ROWS = 1000


class StreamTable(NamedTuple):
    """One split's rows as a stream, and the file or hub split they come from, for messages.

    Attributes:
        where: the name for messages.
        rows: the rows, each a dictionary, in the order of the file.
        head: the first of them as a table, for its columns.
    """

    where: str
    rows: IterableDataset
    head: Dataset


def stream_folder(folder: Path, also: str = "") -> dict[str, StreamTable]:
    """Opens the split files of a folder.

    Args:
        folder: as for :func:`ptu_seq.data.sources.read_folder`; a split may also lie in several
            files, its name followed by a hyphen: train-00000-of-00002.jsonl, train-00001-of-....
        also: what else is accepted there, for the message if there is nothing to read.

    Returns:
        The splits that are there.

    Raises:
        UserError: as `read_folder`, but of rows only the first are read.
    """
    sharded = {split: _shards(folder, split) for split in SPLIT_NAMES}
    whole = named_files(folder) if sharded["train"] else split_files(folder, also)
    opened = {}
    for split, paths in sharded.items():
        if paths:
            where = str(paths[0]) if len(paths) == 1 else f"{folder} ({len(paths)} {split} files)"
            opened[split] = open_shards(where, [(path,) for path in paths])
        elif split in whole:
            opened[split] = open_shards(str(whole[split]), [(whole[split],)])
    return opened


def _shards(folder: Path, split: str) -> list[Path]:
    """The files whose name is the split's, a hyphen, and anything; in alphabetical order."""
    return sorted(
        path
        for name in SPLIT_NAMES[split]
        for path in folder.glob(f"{name}-*")
        if path.suffix.lower() in EXTENSIONS
    )


def open_shards(where: str, shards: list[Shard]) -> StreamTable:
    """A split that lies in local files."""
    rows = stream_files(shards)
    return _open(where, rows, file_features(shards[0][0]))


def stream_hub(name: str, bundled: Mapping[str, object]) -> dict[str, StreamTable]:
    """Opens a data set on the Hugging Face hub: see :func:`ptu_seq.data.sources.read_hub`."""
    return {
        split: _open(where, rows, rows.features)
        for split, (where, rows) in open_hub(name, bundled, streaming=True).items()
    }


def stream_tables(tables: Mapping[str, Table]) -> dict[str, StreamTable]:
    """Tables that are in memory already, as bundled data sets are, by the same means."""
    return {
        split: _open(where, rows.to_iterable_dataset(), rows.features)
        for split, (where, rows) in tables.items()
    }


def _open(where: str, rows: IterableDataset, features: Features | None) -> StreamTable:
    first = list(islice(rows, HEAD_ROWS))
    if not first:
        raise UserError(f"{where} holds no rows.")
    columns = {name: None for row in first for name in row}
    try:
        head = Dataset.from_list([{**columns, **row} for row in first], features=features)
    except (pyarrow.ArrowException, TypeError, ValueError) as error:
        raise UserError(
            f"{where}: a column holds values of more than one kind ({str(error).splitlines()[0]})."
        ) from error
    return StreamTable(where, rows, head)
