"""Data sets for classification that are larger than memory."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, Features, Value

from ptu_seq.data.bundled import BUNDLED_CLASSIFICATION, load_bundled
from ptu_seq.data.classification import TEST_SHARE, VALIDATION_SHARE, ClassificationDataset
from ptu_seq.data.labels import LabelIndex, canonical, check_classes, read_label_names
from ptu_seq.data.rows import Row, find_columns
from ptu_seq.data.sources import Table
from ptu_seq.data.streams.arguments import SHUFFLE_BUFFER
from ptu_seq.data.streams.sampling import SAMPLE_ROWS, HeldOut, text_hash
from ptu_seq.data.streams.sources import (
    StreamTable,
    open_shards,
    stream_folder,
    stream_hub,
    stream_tables,
)
from ptu_seq.data.streams.training_rows import RawRow, TrainingRows, draw
from ptu_seq.errors import UserError

logger = logging.getLogger("ptu_seq")

#: The share of the rows that a split gets which is cut from the training rows, and the most rows.
SHARES = {"test": TEST_SHARE, "validation": VALIDATION_SHARE}
MOST = {"test": 10_000, "validation": 2_000}

#: A column with more different values than this is no column of labels.
MOST_LABELS = 1000


@dataclass(frozen=True)
class ClassificationStream:
    """A data set for classification whose training rows are read when they are needed.

    Attributes:
        dataset: the data set with a random sample of its training rows, texts that repeat an
            earlier one left out, in place of all.
        rows: all of its training rows, each with its label's index.
        is_whole: whether the sample holds every training text.
        left_out: numbers of the rows, from 1, that are training rows but for being in a test set
            that was given.
        digest: 16 hexadecimal digits that stand for all that the data set holds.
    """

    dataset: ClassificationDataset
    rows: TrainingRows[Row]
    is_whole: bool
    left_out: list[int]
    digest: str


def stream_classification(
    name: str, tests: Mapping[str, Set[int]] | None = None
) -> ClassificationStream:
    """Opens a data set for classification, and reads it through twice.

    So every row is checked before anything is trained. Beyond what is said in
    :func:`ptu_seq.data.load_classification`:

    Splits that are missing get the rows whose texts have the smallest hashes: of rows with one
    text (case and spacing apart) all go the same way, and the same rows are taken wherever they
    stand. Test gets 25% and at most 10,000 rows, validation 10% and at most 2,000; they are not
    stratified. Training rows that also occur in validation or test are left out; those that repeat
    each other are kept.

    Args:
        name: as for `load_classification`; a split of a folder may lie in several files, such as
            train-00000-of-00002.jsonl. JSON files are JSON lines.
        tests: hashes of texts (:func:`row_hash`) that are left out of the training rows, by the
            name of the data set whose test set they are.

    Returns:
        The data set.

    Raises:
        UserError: as `load_classification`, and where labels take more than 1,000 values.
    """
    tables, names = _open(name)
    columns = _find_columns(tables)
    names = names or columns["train"].names
    survey = _Survey()
    splits = {
        # A split of unlabelled rows only is none.
        split: rows
        for split in SHARES
        if split in tables and (rows := list(survey.read(split, tables[split], columns[split])))
    }
    held_out = HeldOut[Row](
        {split: share for split, share in SHARES.items() if split not in splits}, MOST
    )
    train = tables["train"]
    for row in survey.read("train", train, columns["train"]):
        held_out.add(row_hash(row), row)
    labels = survey.index(names, tables)
    cut = held_out.splits(train.where)
    splits |= cut
    learned = TrainingRows(
        train.rows,
        _Labelled(columns["train"], labels),
        row_keys,
        frozenset(row_hash(row) for rows in splits.values() for row in rows),
    )
    drawn = draw(learned, row_hash, tests or {}, SAMPLE_ROWS)
    left = held_out.count - sum(map(len, cut.values()))
    kept = drawn.rows.count + len(drawn.left_out)
    sets = {"validation or test": left - kept}
    sets |= {f"the test set of {other}": count for other, count in drawn.found.items()}
    for others, count in sets.items():
        if count:
            logger.warning(
                "%s: left out %d training rows that also occur in %s.", train.where, count, others
            )
    sample = drawn.sample.rows()
    if not sample:
        raise UserError(
            f"{train.where}: without the rows that also occur in a validation or test set, none is "
            "left to train on."
        )
    check_classes({row.label for row in sample}, labels.names, train.where)
    texts = columns["train"].ours
    validation, test = (
        _to_dataset([row._replace(label=labels.look_up(row.label)) for row in splits[split]], texts)
        for split in ("validation", "test")
    )
    return ClassificationStream(
        ClassificationDataset(
            name, _to_dataset(sample, texts), validation, test, labels.names, texts
        ),
        drawn.rows,
        drawn.sample.is_whole,
        drawn.left_out,
        survey.digest(labels.names),
    )


def row_hash(row: Row) -> int:
    """What stands for a row's text, case and spacing apart."""
    return text_hash(*row.fingerprint())


def row_keys(row: Row) -> tuple[int, ...]:
    """By what a row is found in a validation or test set."""
    return (row_hash(row),)


def hashes_of_test(dataset: ClassificationDataset) -> frozenset[int]:
    """The hashes of a data set's test texts."""
    columns = [dataset.test[column][:] for column in dataset.text_columns]
    return frozenset(row_hash(Row(texts, None, 0)) for texts in zip(*columns, strict=True))


@dataclass(frozen=True)
class _Columns:
    """Where texts and labels are in a row."""

    texts: tuple[str, ...]
    label: str
    names: tuple[str, ...] | None

    @classmethod
    def of(cls, table: StreamTable) -> _Columns:
        texts, label = find_columns(Table(table.where, table.head))
        feature = table.head.features[label]
        return cls(texts, label, tuple(feature.names) if isinstance(feature, ClassLabel) else None)

    @property
    def ours(self) -> tuple[str, ...]:
        return ("text",) if len(self.texts) == 1 else ("premise", "hypothesis")

    def row(self, raw: RawRow, number: int = 0) -> Row:
        texts = (raw.get(column) for column in self.texts)
        clean = tuple("" if text is None else str(text).strip() for text in texts)
        return Row(clean, raw.get(self.label), number)

    def flaw(self, row: Row) -> str | None:
        """Why a row cannot be used; a label that is no label is an error, found elsewhere."""
        if not all(row.texts):
            return "with empty text"
        if self.names is not None and row.label in (None, -1):
            return "without a label"
        return None


def _find_columns(tables: Mapping[str, StreamTable]) -> dict[str, _Columns]:
    columns = {split: _Columns.of(table) for split, table in tables.items()}
    for split, found in columns.items():
        if found.ours != columns["train"].ours:
            raise UserError(
                f"{tables[split].where} has the text columns {', '.join(found.texts)}, but "
                f"{tables['train'].where} has those for {', '.join(columns['train'].ours)}."
            )
    return columns


@dataclass(frozen=True)
class _Labelled:
    """Makes a row with its label's index of a raw one."""

    columns: _Columns
    labels: LabelIndex

    def __call__(self, raw: RawRow) -> Row | None:
        row = self.columns.row(raw)
        if self.columns.flaw(row):
            return None
        return row._replace(label=self.labels.look_up(row.label))


class _Survey:
    """Reads splits and notes their labels and their content."""

    def __init__(self) -> None:
        #: For each split and label, as the file has it, the number of the first row with it.
        self._labels: dict[str, dict[Any, int]] = defaultdict(dict)
        self._sha = hashlib.sha256()

    def read(self, split: str, table: StreamTable, columns: _Columns) -> Iterator[Row]:
        """The usable rows of a split; what was dropped is told at the end."""
        dropped: Counter[str] = Counter()
        labels = self._labels[split]
        number = 0
        for number, raw in enumerate(table.rows, start=1):
            row = columns.row(raw, number)
            flaw = columns.flaw(row)
            if flaw:
                dropped[flaw] += 1
                continue
            label = row.label if isinstance(row.label, str) else canonical(row.label)
            if label not in labels:
                labels[label] = number
                if len(labels) > MOST_LABELS:
                    raise UserError(
                        f"{table.where}: the column {columns.label} has more than {MOST_LABELS} "
                        "different values, which are too many for labels."
                    )
            self._sha.update(repr((split, row.texts, label)).encode("utf-8", "surrogatepass"))
            yield row
        for reason, count in dropped.items():
            logger.warning("%s: dropped %d of %d rows %s.", table.where, count, number, reason)
        if split == "train" and number == dropped.total():
            raise UserError(f"{table.where} has no usable row: every one was dropped.")

    def index(self, names: tuple[str, ...] | None, tables: Mapping[str, StreamTable]) -> LabelIndex:
        """The index of all labels, each of them checked."""
        train = self._labels["train"]
        found = LabelIndex.of(names, train)
        seen = {found.look_up(label) for label in train}
        for split, labels in self._labels.items():
            for label, number in labels.items():
                index = found.look_up(label)
                if index is None or index not in seen:
                    found.refuse(
                        f"{tables[split].where}, row {number}", label, tables["train"].where
                    )
        check_classes(seen, found.names, tables["train"].where)
        second = sorted(train.values())[1]
        if second > SHUFFLE_BUFFER:
            logger.warning(
                "%s: the first %d rows have one label, so it seems to be sorted; shuffle it first, "
                "as only rows near to each other are mixed while it is read.",
                tables["train"].where,
                second - 1,
            )
        return found

    def digest(self, names: Sequence[str]) -> str:
        """What stands for all that was read."""
        self._sha.update(repr(tuple(names)).encode())
        return self._sha.hexdigest()[:16]


def _open(name: str) -> tuple[dict[str, StreamTable], tuple[str, ...] | None]:
    path = Path(name).expanduser()
    if name in BUNDLED_CLASSIFICATION:
        table, names = load_bundled(name)
        return stream_tables({"train": Table(name, table)}), names
    if path.is_dir():
        return stream_folder(path), read_label_names(path / "labels.json")
    if path.is_file():
        return {"train": open_shards(name, [(path,)])}, read_label_names(
            path.parent / "labels.json"
        )
    return stream_hub(name, BUNDLED_CLASSIFICATION), None


def _to_dataset(rows: Sequence[Row], text_columns: Sequence[str]) -> Dataset:
    texts = {name: [row.texts[i] for row in rows] for i, name in enumerate(text_columns)}
    features = Features({**{name: Value("string") for name in texts}, "label": Value("int64")})
    return Dataset.from_dict({**texts, "label": [row.label for row in rows]}, features)
