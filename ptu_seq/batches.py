"""Tokenised examples as tensors, and batches of them, in memory or from a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import datasets
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import PreTrainedTokenizerFast

from ptu_seq.data import rows as texts
from ptu_seq.data.streams import StreamedBatches, TrainingRows
from ptu_seq.data.tokenization import encode_batch

Row = dict[str, Tensor]

#: Batches' worth of a stream's rows that are sorted by length together, as Trainer's are.
WINDOW_BATCHES = 50


class Examples(Dataset[Row]):
    """Tokenised examples as tensors, made once: epochs and evaluations then cost no conversion.

    Args:
        table: tokenised examples, see :func:`ptu_seq.data.encode`.
    """

    def __init__(self, table: datasets.Dataset) -> None:
        self.rows: list[Row] = []
        for part in table.iter(1000):
            for values in zip(*part.values(), strict=True):
                self.rows.append(dict(zip(part, map(torch.tensor, values), strict=True)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        return self.rows[index]


#: The label of positions that a loss leaves out.
IGNORED = -100


@dataclass(frozen=True)
class WithinRange:
    """Makes batches, and sees that their labels are in range: a GPU would end the whole process.

    Args:
        collate: makes a batch of rows.
        count: labels go from 0 to `count - 1`; -100 stands for none.

    Example:
        >>> from functools import partial
        >>> collate = WithinRange(partial(pad, pad_token_id=0), count=2)
        >>> collate([{"input_ids": torch.tensor([5]), "labels": torch.tensor(2)}])
        Traceback (most recent call last):
        ValueError: an example's label is 2; labels from 0 to 1 are accepted.
    """

    collate: Callable[[Any], dict[str, Any]]
    count: int

    def __call__(self, rows: Any) -> dict[str, Any]:
        """The batch.

        Raises:
            ValueError: for the first label that is out of range.
        """
        batch = self.collate(rows)
        labels = batch["labels"]
        outside = labels[((labels < 0) | (labels >= self.count)) & (labels != IGNORED)]
        if len(outside):
            raise ValueError(
                f"an example's label is {int(outside[0])}; labels from 0 to {self.count - 1} are "
                "accepted."
            )
        return batch


def pad(rows: Sequence[Row], pad_token_id: int) -> dict[str, Tensor]:
    """A batch: sequences padded on the right to the longest, single numbers stacked.

    Example:
        >>> rows = [{"input_ids": torch.tensor([5, 6])}, {"input_ids": torch.tensor([7])}]
        >>> pad(rows, pad_token_id=0)["input_ids"].tolist()
        [[5, 6], [7, 0]]
    """
    batch = {}
    for name, first in rows[0].items():
        values = [row[name] for row in rows]
        filler = pad_token_id if name == "input_ids" else 0
        batch[name] = (
            pad_sequence(values, batch_first=True, padding_value=filler)
            if first.dim()
            else torch.stack(values)
        )
    return batch


def stream_batches(
    rows: TrainingRows[texts.Row],
    text_columns: Sequence[str],
    tokenizer: PreTrainedTokenizerFast,
    max_length: int,
    batch_size: int,
    *,
    buffer: int,
    seed: int,
) -> StreamedBatches[texts.Row]:
    """Batches of a streamed data set for a classifier.

    Args:
        rows: its training rows.
        text_columns: ("text",) or ("premise", "hypothesis").
        tokenizer: of the classifier.
        max_length: tokens kept of each text.
        batch_size: examples of a batch.
        buffer: rows that are shuffled together.
        seed: decides the order.
    """

    def encoded(rows: list[texts.Row]) -> list[dict[str, Any]]:
        columns = {name: [row.texts[i] for row in rows] for i, name in enumerate(text_columns)}
        batch = {**columns, "label": [row.label for row in rows]}
        table = encode_batch(batch, tokenizer, text_columns, max_length)
        return [
            dict(zip(table, values, strict=True)) for values in zip(*table.values(), strict=True)
        ]

    def collate(rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        tensors = [{name: torch.tensor(value) for name, value in row.items()} for row in rows]
        return pad(tensors, int(tokenizer.pad_token_id))

    window = WINDOW_BATCHES * batch_size
    cut = partial(batches_by_length, batch_size=batch_size)
    return StreamedBatches(rows, buffer, window, encoded, cut, collate, seed)


def batches_by_length(
    examples: Sequence[dict[str, Any]], seed: int, batch_size: int
) -> list[list[int]]:
    """Batches of examples of about the same length, in random order.

    Example:
        >>> examples = [{"input_ids": [0] * length} for length in (5, 1, 4, 2)]
        >>> sorted(batches_by_length(examples, seed=0, batch_size=2))
        [[1, 3], [2, 0]]
    """
    order = sorted(range(len(examples)), key=lambda i: len(examples[i]["input_ids"]))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[i] for i in np.random.default_rng(seed).permutation(len(batches))]
