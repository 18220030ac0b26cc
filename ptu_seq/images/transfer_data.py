"""The data of an image study: a source and its targets, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ptu_seq.data.image_subsets import drop_shared
from ptu_seq.data.images import ImageDataset, image_digest, load_images
from ptu_seq.errors import UserError
from ptu_seq.jobs import Size
from ptu_seq.transfer_data import short_name


@dataclass(frozen=True)
class ImageData:
    """A source and its targets.

    Attributes:
        source: learns from no image that is also in a target's test set.
        targets: by the name that tables call them.
        left_out: numbers of the source's training images that were dropped for that.
        digests: of what each data set holds as it was loaded, by the name that tables call it.
    """

    source: ImageDataset
    targets: Mapping[str, ImageDataset]
    left_out: Sequence[int]
    digests: Mapping[str, str]


def load_image_data(source: str, targets: Sequence[str], sizes: Sequence[Size]) -> ImageData:
    """Loads the data sets of a study.

    Args:
        source: what :func:`ptu_seq.data.images.load_images` knows the source by.
        targets: the same of the targets.
        sizes: training images of each class that will be taken of every target.

    Raises:
        UserError: if a data set cannot be used as what it was given for.
    """
    loaded = load_images(source)
    digests = {short_name(source): image_digest(loaded)}
    by_name: dict[str, ImageDataset] = {}
    for name in targets:
        target = load_images(name)
        if image_digest(target) == digests[short_name(source)]:
            raise UserError(
                f"--target_datasets {name!r} is the source itself, whose network would have "
                "learned from it before; give another target."
            )
        if short_name(name) in digests:
            raise UserError(
                f"--target_datasets {name!r}: there would be two data sets named "
                f"{short_name(name)!r} in all tables; give each once, under names that differ."
            )
        _check_sizes(target, sizes)
        by_name[short_name(name)] = target
        digests[short_name(name)] = image_digest(target)
    learned, left_out = drop_shared(loaded, list(by_name.values()))
    return ImageData(learned, by_name, left_out, digests)


def _check_sizes(target: ImageDataset, sizes: Sequence[Size]) -> None:
    counts = np.bincount(target.train.labels, minlength=len(target.label_names))
    rarest = int(counts.argmin())
    for size in sizes:
        if size != "all" and size > counts[rarest]:
            raise UserError(
                f"--sizes {size}: {target.name!r} has {counts[rarest]} training images of the "
                f"class {target.label_names[rarest]!r}; give a smaller size or 'all'."
            )
