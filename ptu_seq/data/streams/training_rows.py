"""The rows of a stream that may be learned from."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, Generic, NamedTuple, TypeVar

from datasets import IterableDataset

from ptu_seq.data.streams.sampling import SmallestHashes

T = TypeVar("T")

#: A row as its file has it, by column.
RawRow = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class TrainingRows(Generic[T]):
    """Training rows that are read when they are needed.

    Attributes:
        rows: all rows, as their files have them.
        read: makes of a row what is learned from; None where it cannot be used.
        keys: hashes of the texts of a row, by any of which it may be held out.
        held_out: hashes of the texts of validation and test sets, which nothing may learn.
        count: the rows that are left, found by reading all of them once.
    """

    rows: IterableDataset
    read: Callable[[RawRow], T | None]
    keys: Callable[[T], tuple[int, ...]]
    held_out: Set[int]
    count: int = 0

    def usable(self, row: RawRow) -> T | None:
        """What is learned from a row, or None."""
        read = self.read(row)
        if read is None or not self.held_out.isdisjoint(self.keys(read)):
            return None
        return read

    def __iter__(self) -> Iterator[T]:
        """The rows to learn from, once, in the order of the files."""
        return (usable for row in self.rows if (usable := self.usable(row)) is not None)


class Drawn(NamedTuple, Generic[T]):
    """What came of reading training rows once.

    Attributes:
        rows: those without the rows of other data sets' test sets, counted.
        sample: a uniform sample of them.
        left_out: the numbers, from 1, of the rows that are left out for being in such a test set.
        found: how many are in each of these sets.
    """

    rows: TrainingRows[T]
    sample: SmallestHashes[T]
    left_out: list[int]
    found: Counter[str]


def draw(
    rows: TrainingRows[T], hash_of: Callable[[T], int], others: Mapping[str, Set[int]], size: int
) -> Drawn[T]:
    """Reads training rows once, to count them and to draw a sample.

    Args:
        rows: the rows without their own validation and test set.
        hash_of: the hash of a row's text, equal where rows repeat each other.
        others: hashes of texts of other data sets' test sets, by the name of the set.
        size: most rows of the sample.
    """
    sample = SmallestHashes[T](size)
    left_out: list[int] = []
    found: Counter[str] = Counter()
    count = 0
    for number, raw in enumerate(rows.rows, start=1):
        row = rows.usable(raw)
        if row is None:
            continue
        keys = rows.keys(row)
        names = [name for name, hashes in others.items() if not hashes.isdisjoint(keys)]
        if names:
            found.update(names)
            left_out.append(number)
        else:
            count += 1
            sample.add(hash_of(row), row)
    held_out = frozenset(rows.held_out).union(*others.values())
    return Drawn(dataclasses.replace(rows, held_out=held_out, count=count), sample, left_out, found)
