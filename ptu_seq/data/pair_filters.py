"""Filters for tokenised sentence pairs that are too long or too unlike in length."""

from __future__ import annotations

import logging
from collections.abc import Sequence

logger = logging.getLogger("ptu_seq")

#: A tokenised pair: "input_ids" and "labels", both with `</s>` last.
Example = dict[str, list[int]]

#: Sentences so short (in tokens, `</s>` included) may differ in length as they like.
SHORT = 10


def filter_pairs(
    examples: Sequence[Example],
    max_length: int,
    max_length_ratio: float | None = None,
    *,
    truncate: bool = False,
    where: str = "train",
) -> list[Example]:
    """Drops training pairs that are too long or too unlike in length, and prints how many.

    Meant for training pairs alone: the pairs of a test set keep their place, so that every system
    is scored on the same ones (see :func:`truncate_pairs`).

    Args:
        examples: tokenised pairs.
        max_length: most tokens of either side, `</s>` included.
        max_length_ratio: most times that one side may be as long as the other; None for any. Pairs
            with no more than 10 tokens on both sides are kept.
        truncate: cut sides that are too long instead of dropping their pairs.
        where: what the pairs are, for the line that is printed.

    Returns:
        The pairs that are left, in their order.

    Raises:
        ValueError: if `max_length` is below 2 or `max_length_ratio` below 1.
    """
    if max_length_ratio is not None and max_length_ratio < 1:
        raise ValueError(f"max_length_ratio must be at least 1, not {max_length_ratio}")
    even = [example for example in examples if _is_even(example, max_length_ratio)]
    if len(even) < len(examples):
        _warn(
            where,
            len(examples),
            "dropped",
            len(examples) - len(even),
            f"one side of which is over {max_length_ratio:g} times as long as the other",
        )
    if truncate:
        return truncate_pairs(even, max_length, where=where)
    _check(max_length)
    kept = [example for example in even if _length(example) <= max_length]
    if len(kept) < len(even):
        _warn(
            where,
            len(examples),
            "dropped",
            len(even) - len(kept),
            f"with a side of over {max_length} tokens",
        )
    return kept


def truncate_pairs(
    examples: Sequence[Example], max_length: int, *, where: str = "test"
) -> list[Example]:
    """Cuts sides that are too long, and prints how many pairs have one; all keep their place.

    Args:
        examples: tokenised pairs.
        max_length: most tokens of either side, `</s>` included, which stays the last.
        where: what the pairs are, for the line that is printed.

    Returns:
        As many pairs as there were.

    Raises:
        ValueError: if `max_length` is below 2.
    """
    _check(max_length)
    long = sum(_length(example) > max_length for example in examples)
    if long:
        _warn(where, len(examples), "cut", long, f"with a side of over {max_length} tokens")
    return [{side: cut(ids, max_length) for side, ids in example.items()} for example in examples]


def learnable(
    example: Example,
    max_length: int,
    max_length_ratio: float | None = None,
    *,
    truncate: bool = False,
) -> Example | None:
    """What :func:`filter_pairs` leaves of one pair: the pair, cut if need be, or None.

    Example:
        >>> learnable({"input_ids": [7, 8, 9, 3], "labels": [5, 3]}, 3) is None
        True
        >>> learnable({"input_ids": [7, 8, 9, 3], "labels": [5, 3]}, 3, truncate=True)
        {'input_ids': [7, 8, 3], 'labels': [5, 3]}
    """
    if not _is_even(example, max_length_ratio):
        return None
    if truncate:
        return {side: cut(ids, max_length) for side, ids in example.items()}
    return example if _length(example) <= max_length else None


def cut(ids: list[int], limit: int) -> list[int]:
    """The first tokens of a sentence that is too long, with the end token that it had.

    Example:
        >>> cut([7, 8, 9, 3], limit=3)
        [7, 8, 3]
    """
    return ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]]


def _length(example: Example) -> int:
    return max(len(example["input_ids"]), len(example["labels"]))


def _is_even(example: Example, ratio: float | None) -> bool:
    shorter, longer = sorted((len(example["input_ids"]), len(example["labels"])))
    return ratio is None or longer <= SHORT or longer <= ratio * shorter


def _check(max_length: int) -> None:
    if max_length < 2:
        raise ValueError(f"max_length must leave room for a token and </s>, not {max_length}")


def _warn(where: str, total: int, done: str, count: int, reason: str) -> None:
    logger.warning("%s: %s %d of %d pairs %s.", where, done, count, total, reason)
