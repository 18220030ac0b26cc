"""So many images of each class, nested over sizes; and sources freed of test images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np

from ptu_seq.data.images import ImageDataset, keep
from ptu_seq.data.subsets import MAX_VALIDATION, MIN_VALIDATION, stratified_order
from ptu_seq.errors import UserError


def image_subset(dataset: ImageDataset, per_class: int | Literal["all"], seed: int) -> ImageDataset:
    """Cuts the training split to so many images of each class, and scales validation with it.

    Subsets are nested for the same seed: the first of each class are among the first three. The
    validation split keeps, stratified by class, as many images as are trained on, but 100 at least
    and 1,000 at most (fewer only where there are not enough). The test split stays whole.

    Args:
        dataset: the data set to cut.
        per_class: images of each class, or "all" that there are.
        seed: draws the subset; different seeds give different ones.

    Returns:
        The subset; its training images stand in a fixed shuffled order.

    Raises:
        UserError: if a class has fewer, or the number is not positive.
    """
    labels = dataset.train.labels
    order = np.random.default_rng(seed).permutation(len(labels))
    if per_class == "all":
        chosen = order
    else:
        chosen = np.concatenate(
            [_first(dataset, order, label, per_class) for label in range(len(dataset.label_names))]
        )
        chosen = chosen[np.argsort(np.argsort(order)[chosen])]
    wanted = min(max(len(chosen), MIN_VALIDATION), MAX_VALIDATION)
    validation = stratified_order(dataset.validation.labels.tolist(), seed)[:wanted]
    return dataclasses.replace(
        dataset,
        train=dataset.train.select(chosen),
        validation=dataset.validation.select(validation),
    )


def drop_shared(
    source: ImageDataset, targets: Sequence[ImageDataset]
) -> tuple[ImageDataset, list[int]]:
    """Frees a source's training images of those that are in a target's test set.

    Returns:
        The source, and the numbers of the images that were dropped, which a warning counts.
    """
    fingerprints = source.train.fingerprints()
    dropped: set[int] = set()
    train = source.train
    for target in targets:
        test = set(target.test.fingerprints())
        shared = {row for row, f in enumerate(fingerprints) if f in test}
        if shared - dropped:
            dropped |= shared
            rows = [row for row in range(len(source.train)) if row not in dropped]
            reason = f"that also occur in the test set of {target.name}"
            train = keep(source.train, rows, source.name, reason)
    return dataclasses.replace(source, train=train), sorted(dropped)


def _first(dataset: ImageDataset, order: np.ndarray, label: int, count: int) -> np.ndarray:
    own = order[dataset.train.labels[order] == label]
    if count < 1 or count > len(own):
        raise UserError(
            f"{count} training images of each class are not possible for {dataset.name!r}, which "
            f"has {len(own)} of the class {dataset.label_names[label]!r}: give a number from 1 to "
            f"{len(own)}, or 'all'."
        )
    return own[:count]
