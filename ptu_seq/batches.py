"""Tokenised examples as tensors, and batches of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import datasets
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

Row = dict[str, Tensor]


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
