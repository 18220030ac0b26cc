"""Data sets for sentence and sentence-pair classification: bundled, local or from the hub."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets import Dataset, Features, Value

from ptu_seq.data.bundled import BUNDLED_CLASSIFICATION, load_bundled
from ptu_seq.data.files import read_table
from ptu_seq.data.labels import index_labels, read_label_names
from ptu_seq.data.rows import Rows, extract_rows
from ptu_seq.data.sources import Table, local_path, read_folder, read_hub
from ptu_seq.data.subsets import stratified_order
from ptu_seq.errors import UserError

logger = logging.getLogger("ptu_seq")

#: Shares of the rows that become validation and test where a data set has no such split, and the
#: seed that draws them: fixed, so that our splits are the same everywhere.
VALIDATION_SHARE = 0.10
TEST_SHARE = 0.25
SPLIT_SEED = 0


@dataclass(frozen=True)
class ClassificationDataset:
    """A data set for classification in three splits.

    Each split has the text columns and the integer column "label".

    Attributes:
        name: what it was loaded by.
        train: rows to learn from.
        validation: rows to choose settings and the stopping point on.
        test: rows to report scores on, and for nothing else.
        label_names: a label's name at its index.
        text_columns: ("text",), or ("premise", "hypothesis") for pairs.
    """

    name: str
    train: Dataset
    validation: Dataset
    test: Dataset
    label_names: tuple[str, ...]
    text_columns: tuple[str, ...]


def load_classification(name: str) -> ClassificationDataset:
    """Loads a data set for classification.

    Rows are `{"text", "label"}` or `{"premise", "hypothesis", "label"}`; the usual other column
    names are understood too (`ptu_seq.data.rows`). Labels are text, or integers that index the
    names in labels.json or in the hub's metadata.

    Missing splits are cut from the training rows: validation 10% and test 25% of them, stratified
    by label, always the same rows. So the bundled sets and single files become 65% train, 10%
    validation, 25% test, once rows with the same text (case and spacing apart) are dropped.

    Rows with empty text or without a gold label on the hub are dropped, and so are training rows
    that also occur in validation or test; a warning counts each kind.

    Args:
        name: a bundled name (`ptu_seq.data.bundled`); a folder with the files train, validation
            (or valid, val, dev) and test, each .jsonl, .json, .csv, .tsv or .parquet, and
            optionally labels.json; a single such file; or a name on the Hugging Face hub, with its
            configuration after a slash where it has several ("trec", "glue/mrpc").

    Returns:
        The data set.

    Raises:
        UserError: if it cannot be found or read, a column is missing, a row's label is missing or
            unknown, or there are fewer than two classes.
    """
    tables, names = _read(name)
    text_columns, splits, names = extract_rows(tables, names)
    splits, label_names = index_labels(splits, names)
    if len(splits) == 1:
        splits["train"] = _drop_repeats(splits["train"])
    splits = _fill_splits(splits)
    splits["train"] = _drop_leaks(splits)
    return ClassificationDataset(
        name=name,
        train=_to_dataset(splits["train"], text_columns),
        validation=_to_dataset(splits["validation"], text_columns),
        test=_to_dataset(splits["test"], text_columns),
        label_names=label_names,
        text_columns=text_columns,
    )


def _read(name: str) -> tuple[dict[str, Table], tuple[str, ...] | None]:
    path = local_path(name)
    if name in BUNDLED_CLASSIFICATION:
        table, names = load_bundled(name)
        return {"train": Table(name, table)}, names
    if path.is_dir():
        return read_folder(path), read_label_names(path / "labels.json")
    if path.is_file():
        return {"train": Table(name, read_table(path))}, read_label_names(
            path.parent / "labels.json"
        )
    return read_hub(name, BUNDLED_CLASSIFICATION), None


def _drop_repeats(rows: Rows) -> Rows:
    """Keeps the first of all rows with the same text."""
    first = {row.fingerprint(): row for row in reversed(rows.rows)}
    return _keep(rows, list(reversed(first.values())), "that repeat an earlier text")


def _fill_splits(splits: Mapping[str, Rows]) -> dict[str, Rows]:
    """Cuts the splits that are missing from the end of the stratified order of training rows."""
    where, rows = splits["train"]
    filled = dict(splits)
    order = stratified_order([row.label for row in rows], SPLIT_SEED)
    for split, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE)):
        if split not in splits:
            count = max(1, round(share * len(rows)))
            order, cut = order[:-count], order[-count:]
            filled[split] = Rows(where, [rows[i] for i in sorted(cut)])
    if len({rows[i].label for i in order}) < len({row.label for row in rows}):
        raise UserError(
            f"{where} has only {len(rows)} rows: too few to cut the splits it lacks from them and "
            "still train on every class."
        )
    filled["train"] = Rows(where, [rows[i] for i in sorted(order)])
    return filled


def _drop_leaks(splits: Mapping[str, Rows]) -> Rows:
    """The training rows whose text is in neither validation nor test."""
    held_out = {row.fingerprint() for key in ("validation", "test") for row in splits[key].rows}
    train = splits["train"]
    kept = [row for row in train.rows if row.fingerprint() not in held_out]
    if len({row.label for row in kept}) < 2:
        raise UserError(
            f"{train.where}: without the {len(train.rows) - len(kept)} rows that also occur in "
            "validation or test, fewer than two classes are left to train on."
        )
    return _keep(train, kept, "that also occur in validation or test")


def _keep(rows: Rows, kept: list, reason: str) -> Rows:
    dropped = len(rows.rows) - len(kept)
    if dropped:
        logger.warning("%s: dropped %d of %d rows %s.", rows.where, dropped, len(rows.rows), reason)
    return Rows(rows.where, kept)


def _to_dataset(rows: Rows, text_columns: Sequence[str]) -> Dataset:
    texts = {name: [row.texts[i] for row in rows.rows] for i, name in enumerate(text_columns)}
    features = Features({**{name: Value("string") for name in texts}, "label": Value("int64")})
    return Dataset.from_dict({**texts, "label": [row.label for row in rows.rows]}, features)
