"""Local files as streams of rows: JSON lines, CSV, TSV, Parquet and parallel plain text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow.parquet
from datasets import Features, IterableDataset

from ptu_seq.data.files import (
    EXTENSIONS,
    decoded_lines,
    parse_json_line,
    refuse,
    separated_records,
)
from ptu_seq.errors import UserError

#: Rows of a Parquet file that are decoded at a time.
PARQUET_ROWS = 1000

#: A part of a stream: one table, or the files of parallel text, one a language.
Shard = tuple[Path, ...]


def stream_files(shards: Sequence[Shard]) -> IterableDataset:
    """Rows of local files, one after the other, each a dictionary.

    Values are as the file has them: text in CSV, TSV and parallel text ("NA" and "007" included).

    Args:
        shards: at least one; files of a shard of several are parallel text.

    Returns:
        The stream. What `datasets` does with streams (`state_dict`, `split_dataset_by_node`,
        `set_epoch`, which puts the shards in another order) works.

    Raises:
        UserError: if an extension is not accepted or a file is empty; and while rows are read, for
            what cannot be parsed, naming file and line.
    """
    for shard in shards:
        for path in shard:
            if len(shard) == 1 and path.suffix.lower() not in EXTENSIONS:
                raise UserError(
                    f"{path} cannot be read: accepted are {', '.join(EXTENSIONS)} files."
                )
            if path.stat().st_size == 0:
                raise UserError(f"{path} is empty.")
    # A list is what `datasets` cuts into shards.
    return IterableDataset.from_generator(_read_shards, gen_kwargs={"shards": list(shards)})


def file_features(path: Path) -> Features | None:
    """The types of the columns where the file itself tells them: label names in Parquet."""
    if path.suffix.lower() != ".parquet":
        return None
    with _open_parquet(path) as file:
        return Features.from_arrow_schema(file.schema_arrow)


def _read_shards(shards: list[Shard]) -> Iterator[dict[str, Any]]:
    for shard in shards:
        yield from read_rows(shard[0]) if len(shard) == 1 else _read_parallel(shard)


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one file, in its order."""
    extension = path.suffix.lower()
    if extension == ".parquet":
        yield from _read_parquet(path)
    elif extension in (".csv", ".tsv"):
        records = separated_records(path, decoded_lines(path), "\t" if extension == ".tsv" else ",")
        header = next(records)
        for record in records:
            yield dict(zip(header, record, strict=True))
    else:
        yield from _read_json_lines(path)


def _read_json_lines(path: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(decoded_lines(path), start=1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith("["):
            raise UserError(
                f"{path} is one list, which has to be read as a whole; with --streaming, JSON "
                'files have one object a line, such as {"text": "...", "label": 0}.'
            )
        yield parse_json_line(path, number, line)


def _open_parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise _unreadable(path, error) from error


def _read_parquet(path: Path) -> Iterator[dict[str, Any]]:
    with _open_parquet(path) as file:
        try:
            for batch in file.iter_batches(batch_size=PARQUET_ROWS):
                yield from batch.to_pylist()
        except (pyarrow.ArrowException, OSError) as error:
            raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} cannot be read as parquet: {str(error).splitlines()[0]}")


def _read_parallel(paths: Shard) -> Iterator[dict[str, str]]:
    languages = [path.suffix.removeprefix(".") for path in paths]
    lines = (decoded_lines(path) for path in paths)
    for number, sides in enumerate(zip_longest(*lines), start=1):
        if None in sides:
            ended = paths[sides.index(None)]
            refuse(
                ended,
                number,
                f"the file ends before {' and '.join(p.name for p in paths if p != ended)}; line "
                "by line they must be translations of each other",
            )
        yield dict(zip(languages, map(_without_end, sides), strict=True))


def _without_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")
