"""Low-resource subsets, nested over sizes; for classification also stratified by label."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from ptu_seq.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

    from ptu_seq.data.classification import ClassificationDataset
    from ptu_seq.data.translation import TranslationDataset

#: Fewest and most validation examples that a subset keeps (fewer only where there are not enough).
MIN_VALIDATION = 100
MAX_VALIDATION = 1000


def stratified_order(labels: Sequence[int], seed: int) -> list[int]:
    """Orders rows at random such that every prefix holds the labels in proportion.

    The `n_c` shuffled rows of a class `c` get the positions `(i + 1/2) / n_c`, and all rows are
    sorted by position (ties at random). One row of every class comes first, the commonest class
    ahead, so that a prefix as long as the number of classes holds them all. Prefixes are nested by
    construction, and any slice of the order is stratified too.

    Args:
        labels: the label of each row.
        seed: decides the order; the same seed gives the same order.

    Returns:
        All row indices, each once.

    Example:
        >>> order = stratified_order([0, 0, 0, 0, 1, 1], seed=0)
        >>> sorted(order)
        [0, 1, 2, 3, 4, 5]
        >>> sorted([0, 0, 0, 0, 1, 1][row] for row in order[:3])
        [0, 0, 1]
    """
    random = np.random.default_rng(seed)
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        rows_of[label].append(row)
    keyed: list[tuple[float, float, int]] = []
    for label in sorted(rows_of):
        rows = rows_of[label]
        ties = random.random(len(rows))
        for i, row in enumerate(random.permutation(rows)):
            position = (i + 0.5) / len(rows)
            # The first rows go ahead of all others; minus the count puts the commonest first.
            keyed.append((position if i else -float(len(rows)), float(ties[i]), int(row)))
    return [row for _, _, row in sorted(keyed)]


def low_resource_subset(
    dataset: ClassificationDataset, size: int | Literal["all"], seed: int
) -> ClassificationDataset:
    """Cuts the training split to `size` examples and scales the validation split with it.

    Both are stratified by label (every class has at least one row where `size` allows) and nested
    over sizes for the same seed: the 100 are among the 500. The validation split keeps
    `min(max(size, 100), 1000)` examples, or all it has if those are fewer, so that a low-resource
    run does not choose its settings on more labels than a person would have. The test split stays
    whole.

    Args:
        dataset: the data set to cut.
        size: number of training examples, or "all".
        seed: draws the subset; different seeds give different ones.

    Returns:
        The subset; its training rows stand in a fixed shuffled order.

    Raises:
        UserError: if `size` is larger than the training split, or not positive.
    """
    count, validation_count = _counts(dataset, size)
    train_order = stratified_order(dataset.train["label"][:], seed)
    validation_order = stratified_order(dataset.validation["label"][:], seed)
    return dataclasses.replace(
        dataset,
        train=dataset.train.select(train_order[:count]),
        validation=dataset.validation.select(validation_order[:validation_count]),
    )


def translation_subset(
    dataset: TranslationDataset, size: int | Literal["all"], seed: int
) -> TranslationDataset:
    """Cuts the training split to `size` pairs and scales the validation split with it.

    Both are drawn at random and nested over sizes for the same seed: the 1,000 are among the 5,000.
    The validation split keeps `min(max(size, 100), 1000)` pairs, or all it has if those are fewer;
    the test split stays whole.

    Args:
        dataset: the data set to cut.
        size: number of training pairs, or "all".
        seed: draws the subset; different seeds give different ones.

    Returns:
        The subset; its training pairs stand in a fixed shuffled order.

    Raises:
        UserError: if `size` is larger than the training split, or not positive.
    """
    count, validation_count = _counts(dataset, size)
    train_order = np.random.default_rng(seed).permutation(len(dataset.train))
    validation_order = np.random.default_rng(seed).permutation(len(dataset.validation))
    return dataclasses.replace(
        dataset,
        train=dataset.train.select(train_order[:count]),
        validation=dataset.validation.select(validation_order[:validation_count]),
    )


def some_rows(split: Dataset, count: int) -> Dataset:
    """At most `count` rows of a split, drawn at random, the same each time."""
    return split.select(np.random.default_rng(0).permutation(len(split))[:count])


def excerpt(dataset: TranslationDataset, count: int) -> TranslationDataset:
    """A data set with at most `count` of its training pairs, see :func:`some_rows`.

    The others are not pickled with it, as they would be if only hidden by `select`.
    """
    rows = some_rows(dataset.train, count)
    return dataclasses.replace(dataset, train=type(rows).from_dict(rows.to_dict()))


def _counts(
    dataset: ClassificationDataset | TranslationDataset, size: int | Literal["all"]
) -> tuple[int, int]:
    """How many training and validation examples a subset keeps."""
    available = len(dataset.train)
    count = available if size == "all" else size
    if count < 1 or count > available:
        raise UserError(
            f"Size {size} is not possible for {dataset.name!r}, which has {available} training "
            f"examples: give a number from 1 to {available}, or 'all'."
        )
    return count, min(max(count, MIN_VALIDATION), MAX_VALIDATION, len(dataset.validation))
