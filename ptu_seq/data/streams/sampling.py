"""Random samples of a stream that depend on each row's text alone, not on its place or on a seed.

Cohen & Kaplan, "Summarizing Data Using Bottom-k Sketches", PODC 2007: hash every key; the rows with
the `k` smallest hashes are a uniform sample of the distinct keys, found in one pass and in memory
for `k` rows. Rows with the same key go the same way, so that no text is both in a sample and
outside of it.
"""

from __future__ import annotations

import hashlib
import heapq
from typing import Generic, TypeVar

from ptu_seq.errors import UserError

T = TypeVar("T")

#: Training rows that are kept in memory as a sample of all, at most.
SAMPLE_ROWS = 50_000


def text_hash(*texts: str) -> int:
    """64 bits that stand for some texts, the same on every machine.

    Example:
        >>> text_hash("a", "b") == text_hash("a", "b") != text_hash("ab")
        True
    """
    joined = "\0".join(texts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(joined, digest_size=8).digest(), "big")


class SmallestHashes(Generic[T]):
    """Of all rows added, those with the `size` smallest hashes; of equal hashes the first row.

    Args:
        size: most rows that are kept.

    Attributes:
        is_whole: whether no row but repeats was left out.

    Example:
        >>> sample = SmallestHashes[str](2)
        >>> for key, row in [(7, "a"), (3, "b"), (3, "again"), (5, "c")]:
        ...     sample.add(key, row)
        >>> sample.rows(), sample.is_whole
        (['b', 'c'], False)
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.is_whole = True
        self._rows: dict[int, T] = {}
        self._largest_first: list[int] = []  # negated, since heapq has the smallest first

    def add(self, key: int, row: T) -> None:
        """Adds a row by its hash."""
        if key in self._rows:
            return
        if len(self._rows) == self.size:
            self.is_whole = False
            if not self.size or key > -self._largest_first[0]:
                return
            del self._rows[-heapq.heappushpop(self._largest_first, -key)]
        else:
            heapq.heappush(self._largest_first, -key)
        self._rows[key] = row

    def rows(self) -> list[T]:
        """The rows in the order of their hashes, which is a random one."""
        return [self._rows[key] for key in sorted(self._rows)]


class HeldOut(Generic[T]):
    """Draws the splits that a data set lacks from its training rows, in one pass.

    Args:
        shares: the share of all rows that each missing split gets.
        most: the most rows that it gets.

    Attributes:
        count: how many rows were added.
    """

    def __init__(self, shares: dict[str, float], most: dict[str, int]) -> None:
        self.shares, self.most = shares, most
        self.count = 0
        # One more than is held out shows whether any would be left.
        self._sample = SmallestHashes[T](sum(most[split] for split in shares) + bool(shares))

    def add(self, key: int, row: T) -> None:
        """Adds a row by the hash of its text."""
        self.count += 1
        self._sample.add(key, row)

    def splits(self, where: str) -> dict[str, list[T]]:
        """The rows of each missing split, the same ones in whichever order rows were added.

        Args:
            where: what was read, for the message.

        Raises:
            UserError: if no row would be left to train on.
        """
        rows = self._sample.rows()
        drawn = {}
        for split, share in self.shares.items():
            count = min(max(1, round(share * self.count)), self.most[split])
            drawn[split], rows = rows[:count], rows[count:]
        if drawn and not rows:
            raise UserError(
                f"{where} has only {self.count} usable rows: too few to cut "
                f"{' and '.join(drawn)} from them and still train."
            )
        return drawn
