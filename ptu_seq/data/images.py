"""Data sets of images: bundled, local or from the hub."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from ptu_seq.data.bundled_images import BUNDLED_IMAGES, read_bundled_images
from ptu_seq.data.classification import SPLIT_SEED, TEST_SHARE, VALIDATION_SHARE
from ptu_seq.data.image_files import RawImages, read_image_folder, read_image_table, read_npz
from ptu_seq.data.image_splits import ImageDataset, ImageSplit, image_digest, prepare
from ptu_seq.data.labels import read_label_names
from ptu_seq.data.sources import local_path, read_hub
from ptu_seq.data.subsets import stratified_order
from ptu_seq.errors import UserError

logger = logging.getLogger("ptu_seq")

__all__ = ["ImageDataset", "ImageSplit", "image_digest", "load_images", "prepare"]


def load_images(name: str) -> ImageDataset:
    """Loads a data set of images.

    Missing splits are cut from the training images: validation 10% and test 25% of them, stratified
    by label, always the same. A single file is first freed of images that repeat an earlier one,
    and training images that also occur in validation or test are dropped; a warning counts each.

    Args:
        name: a bundled name (`ptu_seq.data.bundled_images`); a `.npz` file with images `x` and
            labels `y`; a folder with train.npz, validation.npz (or valid, val, dev) and test.npz,
            and optionally labels.json; or a name on the Hugging Face hub.

    Returns:
        The data set.

    Raises:
        UserError: if it cannot be found or read, a label is unknown, or there are fewer than two
            classes.
    """
    raw, names = _read(name)
    label_names, splits = _number_labels(raw, names)
    where = raw["train"].where
    if len(splits) == 1:
        splits["train"] = _without(splits["train"], set(), where, "that repeat an earlier one")
    splits = _fill_splits(splits, where)
    held_out = {f for key in ("validation", "test") for f in splits[key].fingerprints()}
    splits["train"] = _without(
        splits["train"], held_out, where, "that also occur in validation or test"
    )
    if len(np.unique(splits["train"].labels)) < 2:
        raise UserError(f"{where} has fewer than two classes to learn; a classifier needs two.")
    return ImageDataset(name, splits["train"], splits["validation"], splits["test"], label_names)


def _read(name: str) -> tuple[dict[str, RawImages], tuple[str, ...] | None]:
    path = local_path(name)
    if name in BUNDLED_IMAGES:
        return {"train": RawImages(name, *read_bundled_images(name))}, None
    if path.is_dir():
        return read_image_folder(path), read_label_names(path / "labels.json")
    if path.is_file():
        return {"train": read_npz(path)}, read_label_names(path.parent / "labels.json")
    if path.suffix == ".npz":
        raise UserError(f"There is no file {name}.")
    read = {
        split: read_image_table(table) for split, table in read_hub(name, BUNDLED_IMAGES).items()
    }
    return {split: raw for split, (raw, _) in read.items()}, read["train"][1]


def _number_labels(
    raw: Mapping[str, RawImages], names: tuple[str, ...] | None
) -> tuple[tuple[str, ...], dict[str, ImageSplit]]:
    """The labels' names, and the splits with their numbers."""
    seen = np.unique(raw["train"].labels)
    if names is None:
        names = tuple(str(label) for label in seen)
        numbers = {label: i for i, label in enumerate(seen.tolist())}
    else:
        numbers = {i: i for i in range(len(names))} | {name: i for i, name in enumerate(names)}
    splits = {}
    for split, (where, pixels, labels) in raw.items():
        for row, label in enumerate(labels.tolist()):
            if label not in numbers:
                raise UserError(
                    f"{where}, image {row + 1}: unknown label {label!r}; accepted are "
                    f"{', '.join(names)}."
                )
        numbered = [numbers[label] for label in labels.tolist()]
        splits[split] = ImageSplit(pixels, np.array(numbered, dtype=np.int64))
    absent = sorted(
        {int(n) for s in splits.values() for n in s.labels} - set(splits["train"].labels)
    )
    if absent:
        raise UserError(
            f"{raw['train'].where}: the label {names[absent[0]]!r} occurs in another split and "
            "never here, so no classifier can learn it."
        )
    return names, splits


def _fill_splits(splits: Mapping[str, ImageSplit], where: str) -> dict[str, ImageSplit]:
    """Cuts the splits that are missing from the end of the stratified order of training images."""
    images = splits["train"]
    filled = dict(splits)
    order = stratified_order(images.labels.tolist(), SPLIT_SEED)
    for split, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE)):
        if split not in splits:
            count = max(1, round(share * len(images)))
            order, cut = order[:-count], order[-count:]
            filled[split] = images.select(sorted(cut))
    filled["train"] = images.select(sorted(order))
    if set(filled["train"].labels) < set(images.labels):
        raise UserError(
            f"{where} has only {len(images)} images: too few to cut the splits it lacks from them "
            "and still train on every class."
        )
    return filled


def _without(split: ImageSplit, known: set[bytes], where: str, reason: str) -> ImageSplit:
    """The images that are not known, the first of equal ones where nothing is."""
    kept: list[int] = []
    repeated = set(known)
    for row, fingerprint in enumerate(split.fingerprints()):
        if fingerprint not in repeated:
            kept.append(row)
            if not known:
                repeated.add(fingerprint)
    return keep(split, kept, where, reason)


def keep(split: ImageSplit, rows: Sequence[int], where: str, reason: str) -> ImageSplit:
    """Some of the images, with a warning that counts the others."""
    dropped = len(split) - len(rows)
    if not dropped:
        return split
    logger.warning("%s: dropped %d of %d images %s.", where, dropped, len(split), reason)
    return split.select(rows)
