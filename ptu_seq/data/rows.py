"""Rows of text and label, taken from tables whose columns go by various names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from datasets import ClassLabel, Dataset, List

from ptu_seq.data.sources import Table
from ptu_seq.errors import UserError, closest

logger = logging.getLogger("ptu_seq")

#: Column names that are accepted, ours first; a pair goes before a single text.
TEXT_NAMES = ("text", "sentence", "question", "content", "review", "tweet")
PAIR_NAMES = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("sentence_A", "sentence_B"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("question", "sentence"),
)
LABEL_NAMES = ("label", "coarse_label", "sentiment", "category", "target", "labels")


class Row(NamedTuple):
    """One example: its text or pair of texts, its label, and its number in the file, from 1."""

    texts: tuple[str, ...]
    label: Any
    number: int

    def fingerprint(self) -> tuple[str, ...]:
        """What two rows have in common if their texts differ in case and spacing only."""
        return tuple(" ".join(text.casefold().split()) for text in self.texts)


class Rows(NamedTuple):
    """One split's rows, and the file or hub split they come from, for messages."""

    where: str
    rows: list[Row]


def extract_rows(
    tables: Mapping[str, Table], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[str, Rows], tuple[str, ...] | None]:
    """Finds the text and label columns of every split and takes the usable rows out.

    Rows whose text is empty are dropped, and rows without a gold label where the metadata name the
    labels (the hub marks them with -1), each with one warning. A validation or test split of
    unlabelled rows only is left out.

    Args:
        tables: the splits, "train" among them.
        names: the names of the labels if they are known already.

    Returns:
        Our names of the text columns, the rows of each split, and the names of the labels, from
        the metadata if they were not known.

    Raises:
        UserError: if a column is missing, a split has no rows left, or splits differ in columns.
    """
    splits: dict[str, Rows] = {}
    text_columns: tuple[str, ...] = ()
    for split, table in tables.items():
        texts, label = find_columns(table)
        ours = ("text",) if len(texts) == 1 else ("premise", "hypothesis")
        if text_columns and ours != text_columns:
            raise UserError(
                f"{table.where} has the text columns {', '.join(texts)}, but "
                f"{tables['train'].where} has those for {', '.join(text_columns)}."
            )
        text_columns = ours
        feature = table.rows.features[label]
        rows = _drop_empty(table.where, _rows(table.rows, texts, label))
        if isinstance(feature, ClassLabel):
            names = names or tuple(feature.names)
            rows = _drop_unlabelled(table.where, rows)
        if rows or split == "train":
            splits[split] = Rows(table.where, rows)
    if not splits["train"].rows:
        raise UserError(f"{tables['train'].where} has no usable row: every one was dropped.")
    return text_columns, splits, names


def find_columns(table: Table) -> tuple[tuple[str, ...], str]:
    """The columns of text and the column of labels that a table has, as it calls them.

    Raises:
        UserError: if one is missing or holds lists.
    """
    columns = table.rows.column_names
    texts: list[tuple[str, ...]] = [pair for pair in PAIR_NAMES if set(pair) <= set(columns)]
    texts += [(name,) for name in TEXT_NAMES if name in columns]
    labels = [name for name in LABEL_NAMES if name in columns]
    if not texts or not labels:
        missing = "label" if texts else "text"
        raise UserError(
            f"{table.where} has no {missing} column: found {', '.join(columns)}"
            f"{_misspelt(missing, columns)}; accepted are text and label, or premise, hypothesis "
            "and label."
        )
    for name in (*texts[0], labels[0]):
        if isinstance(table.rows.features[name], (List, dict)):
            raise UserError(f"{table.where}: the column {name} must hold single values, not lists.")
    return texts[0], labels[0]


def _misspelt(missing: str, columns: Sequence[str]) -> str:
    return closest(missing, columns).replace("did you mean", "is it")


def _rows(table: Dataset, texts: Sequence[str], label: str) -> list[Row]:
    columns = [table[column][:] for column in (*texts, label)]
    return [
        Row(tuple("" if text is None else str(text).strip() for text in values), value, number)
        for number, (*values, value) in enumerate(zip(*columns, strict=True), start=1)
    ]


def _drop_empty(where: str, rows: list[Row]) -> list[Row]:
    kept = [row for row in rows if all(row.texts)]
    if len(kept) < len(rows):
        logger.warning(
            "%s: dropped %d of %d rows with empty text.", where, len(rows) - len(kept), len(rows)
        )
    return kept


def _drop_unlabelled(where: str, rows: list[Row]) -> list[Row]:
    kept = [row for row in rows if row.label not in (None, -1)]
    if len(kept) < len(rows):
        logger.warning(
            "%s: dropped %d of %d rows without a label.", where, len(rows) - len(kept), len(rows)
        )
    return kept
