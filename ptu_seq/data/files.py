"""Local tables: JSONL, JSON, CSV, TSV and Parquet files as `datasets.Dataset`.

Every way in which such a file is commonly broken ends in one sentence that names the file and the
line, because a person has to mend it there.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any, NoReturn

import datasets
from datasets import Dataset

from ptu_seq.data.nesting import DEEPEST, is_too_deep
from ptu_seq.errors import UserError, storage_trouble

#: File extensions that can be read, in the order in which a folder is searched.
EXTENSIONS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Hides what `datasets` prints: progress bars of small tables, and errors that we report."""
    had_bars, verbosity = (
        not datasets.are_progress_bars_disabled(),
        datasets.logging.get_verbosity(),
    )
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(datasets.logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if had_bars:
            datasets.enable_progress_bars()


def read_table(path: Path, encoding: str = "utf-8") -> Dataset:
    """Reads one local file; rows keep the order of the file.

    Values of CSV and TSV files stay text, exactly as written ("NA" and "007" included).

    Args:
        path: a file whose extension is one of `EXTENSIONS`. CSV and TSV files begin with a header;
            JSON files are JSON lines or one list of objects.
        encoding: how its text is encoded (Parquet ignores it).

    Returns:
        The table, one row for each record of the file.

    Raises:
        UserError: if the extension is not accepted, or the file is empty, is not in `encoding` or
            cannot be parsed; the sentence names the file and, where there is one, the line.
    """
    extension = path.suffix.lower()
    if extension not in EXTENSIONS:
        raise UserError(f"{path} cannot be read: accepted are {', '.join(EXTENSIONS)} files.")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty.")
    _check_kind(path)
    if extension != ".parquet":
        _check_encoding(path, encoding)
    if extension in (".json", ".jsonl") and is_too_deep(path):
        raise UserError(f"{path}: its JSON is nested more than {DEEPEST} deep; rows are flat.")
    if extension in (".csv", ".tsv"):
        table = _read_separated(path, "\t" if extension == ".tsv" else ",", encoding)
    else:
        table = _read_built(path, "parquet" if extension == ".parquet" else "json")
    if len(table) == 0:
        raise UserError(f"{path} holds no rows.")
    return table


def read_lines(path: Path) -> list[str]:
    """Reads a plain-text file in UTF-8, one text a line.

    Lines end with a line feed, or a carriage return and a line feed, and with nothing else, so that
    line `n` here is line `n` of every other tool.

    Args:
        path: the file.

    Returns:
        Its lines without their ends; an empty line is an empty text.

    Raises:
        UserError: if the file is empty or not in UTF-8.
    """
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty.")
    _check_encoding(path, "utf-8")
    lines = path.read_bytes().decode("utf-8-sig").split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def _read_built(path: Path, builder: str) -> Dataset:
    try:
        with quiet_datasets():
            return datasets.load_dataset(builder, data_files=escape(str(path)), split="train")
    except Exception as error:  # the builders raise whatever their parsers raise
        if path.suffix.lower() == ".jsonl":
            _check_json_lines(path)
        trouble = storage_trouble(error)
        if trouble is not None:  # not the file's: it was read to its end before
            raise UserError(
                f"the cache of `datasets` cannot be written ({trouble}), through which {path} is "
                "read: set HF_DATASETS_CACHE to a folder that can."
            ) from error
        reason = str(error.__cause__ or error).strip() or repr(error)
        raise UserError(f"{path} cannot be read as {builder}: {reason.splitlines()[0]}") from error


def _read_separated(path: Path, separator: str, encoding: str) -> Dataset:
    # "utf-8-sig" is UTF-8 that skips the byte-order mark spreadsheets write.
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    with path.open(encoding=encoding, newline="") as file:
        records = separated_records(path, file, separator)
        columns: dict[str, list[str]] = {name: [] for name in next(records)}
        for record in records:
            for column, value in zip(columns.values(), record, strict=True):
                column.append(value)
    return Dataset.from_dict(columns)


def separated_records(path: Path, lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    """The records of a CSV or TSV file, its header first; blank lines are none.

    Args:
        path: the file, for messages.
        lines: its lines, with their ends.
        separator: what stands between fields.

    Raises:
        UserError: naming the line, for a column name that occurs twice, a record that is not as
            long as the header, or bad quotation marks.
    """
    records = csv.reader(lines, delimiter=separator, strict=True)
    try:
        header = next(records, [])
        if any("\0" in name for name in header):
            raise UserError(f"{path}, line 1: a column's name holds a zero byte.")
        if len(set(header)) < len(header):
            raise UserError(f"{path}, line 1: a column name occurs twice in the header.")
        yield header
        for record in records:
            if record and len(record) != len(header):
                refuse(
                    path,
                    records.line_num,
                    f"{len(record)} fields where the header has {len(header)}; put quotation "
                    "marks around a text that contains the separator",
                )
            if record:
                yield record
    except csv.Error as error:
        refuse(
            path,
            records.line_num,
            f"{error}; double the quotation marks inside a quoted text",
        )


def _check_kind(path: Path) -> None:
    """Raises for an archive, which `datasets` would unpack, and for Parquet that is none."""
    with path.open("rb") as file:
        start = file.read(4)
    if path.suffix.lower() == ".parquet" and start != b"PAR1":
        raise UserError(f"{path} cannot be read as parquet: it does not begin like such a file.")
    if start in (b"PK\3\4", b"PK\5\6"):
        raise UserError(f"{path} is a zip archive; unpack it first.")


def _check_json_lines(path: Path) -> None:
    """Raises for the first line that is not a JSON object (called once loading has failed)."""
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                parse_json_line(path, number, line)


def parse_json_line(path: Path, number: int, line: str) -> dict[str, Any]:
    """The object that a line of a JSON-lines file holds.

    Raises:
        UserError: naming the line, if it is no JSON object.
    """
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        refuse(path, number, f"not valid JSON ({error.msg})")
    if not isinstance(row, dict):
        refuse(path, number, 'not a JSON object such as {"text": "...", "label": 0}')
    return row


def decoded_lines(path: Path, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of a text file with their ends, one at a time.

    Raises:
        UserError: naming the line, for one that is not in `encoding`.
    """
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode(encoding)
            except UnicodeDecodeError as error:
                refuse(
                    path,
                    number,
                    f"byte {error.start + 1} of the line (0x{line[error.start]:02x}) is not "
                    f"{encoding.upper()}; convert the file first, for instance with "
                    f"`iconv -f latin1 -t utf-8 {path.name} > converted{path.suffix}`",
                )
            yield text.removeprefix("\ufeff") if number == 1 else text


def _check_encoding(path: Path, encoding: str) -> None:
    for _ in decoded_lines(path, encoding):
        pass


def refuse(path: Path, line: int, what: str) -> NoReturn:
    """Raises the error for a line of a file."""
    raise UserError(f"{path}, line {line}: {what}.")
