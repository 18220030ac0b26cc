"""Rows of a stream without end, shuffled block by block, so that a stop can be gone on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count, islice
from typing import Any, NamedTuple

import numpy as np
from datasets import IterableDataset
from datasets.distributed import split_dataset_by_node

from ptu_seq.errors import UserError


class Block(NamedTuple):
    """Shuffled rows, and numbers drawn for whatever is decided about them."""

    rows: list[dict[str, Any]]
    random: np.random.Generator


class ShuffledBlocks:
    """Reads a stream epoch after epoch, in blocks of neighbouring rows that are shuffled.

    A block's order follows from the seed, its epoch and its number alone. So a state is a place in
    the stream and no rows, and going on costs no more than reading one block again; the shuffle
    buffer of `datasets`, whose rows come and go one by one, is lost with a stop. The first block of
    an epoch has a random length, or the same rows would meet in every epoch. Where a stream has
    several files, their order changes as well.

    Args:
        rows: the stream.
        length: rows of a block.
        seed: decides the order.
        rank: which of the processes this is, from 0; each has rows of its own.
        world_size: how many processes there are.

    Example:
        >>> from datasets import Dataset
        >>> rows = Dataset.from_dict({"n": range(5)}).to_iterable_dataset()
        >>> blocks = iter(ShuffledBlocks(rows, length=1, seed=0))
        >>> [row["n"] for _ in range(6) for row in next(blocks).rows]
        [0, 1, 2, 3, 4, 0]
    """

    def __init__(
        self,
        rows: IterableDataset,
        length: int,
        seed: int,
        *,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.rows = split_dataset_by_node(rows, rank, world_size)
        self.length, self.seed, self.rank = length, seed, rank
        self._state: dict[str, Any] = {"epoch": 0, "block": 0, "rows": None}

    def state_dict(self) -> dict[str, Any]:
        """Where the block that was given last begins; fit for JSON."""
        return dict(self._state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Makes the next iteration begin with the block that a state is of."""
        self._state = dict(state)

    def __iter__(self) -> Iterator[Block]:
        """The blocks from the state on.

        Raises:
            UserError: if an epoch has no row.
        """
        while True:
            yield from self._epoch()
            self._state = {"epoch": self._state["epoch"] + 1, "block": 0, "rows": None}

    def _epoch(self) -> Iterator[Block]:
        epoch, first, start = self._state["epoch"], self._state["block"], self._state["rows"]
        self.rows.set_epoch(epoch)  # the order of the files
        self.rows.load_state_dict(start)
        rows = iter(self.rows)
        for number in count(first):
            random = np.random.default_rng([self.seed, self.rank, epoch, number])
            length = self.length if number else int(random.integers(1, self.length + 1))
            block = list(islice(rows, length))
            if not block:
                if number == 0:
                    raise UserError(f"There are no rows for process {self.rank} to learn from.")
                return
            self._state = {"epoch": epoch, "block": number, "rows": start}
            yield Block([block[i] for i in random.permutation(len(block))], random)
            start = self.rows.state_dict()
