"""Images with labels, in three splits, and as the tensors that networks read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

#: Shares of red, green and blue in grey (ITU-R BT.601).
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class ImageSplit:
    """Images and their labels.

    Attributes:
        pixels: `(images, channels, height, width)`, 0 to 255.
        labels: `(images,)`, numbers of classes from 0.
    """

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: Sequence[int] | np.ndarray | range) -> ImageSplit:
        """The images in these rows, in this order."""
        chosen = np.asarray(rows, dtype=np.int64)
        return ImageSplit(self.pixels[chosen], self.labels[chosen])

    def fingerprints(self) -> list[bytes]:
        """A hash of each image: equal for equal pixels in an equal shape."""
        shape = str(self.pixels.shape[1:]).encode()
        return [hashlib.sha256(shape + image.tobytes()).digest() for image in self.pixels]


@dataclass(frozen=True)
class ImageDataset:
    """A data set of images in three splits.

    Attributes:
        name: what it was loaded by.
        train: images to learn from.
        validation: images to choose settings and the stopping point on.
        test: images to report scores on, and for nothing else.
        label_names: a label's name at its number.
    """

    name: str
    train: ImageSplit
    validation: ImageSplit
    test: ImageSplit
    label_names: tuple[str, ...]


def prepare(split: ImageSplit, size: int, channels: int) -> Tensor:
    """Images as a network reads them: in one size, grey or colour, from -1 to 1.

    They are resized by antialiased bilinear interpolation. Grey becomes colour by repetition,
    colour grey by the weights of ITU-R BT.601.

    Args:
        split: the images.
        size: height and width of the result.
        channels: 1 for grey, 3 for colour.

    Returns:
        `(images, channels, size, size)`.

    Example:
        >>> split = ImageSplit(np.full((1, 1, 2, 2), 255, dtype=np.uint8), np.zeros(1, dtype=int))
        >>> prepare(split, size=4, channels=3).shape, prepare(split, 4, 1).unique().tolist()
        (torch.Size([1, 3, 4, 4]), [1.0])
    """
    images = torch.from_numpy(split.pixels).float() / 127.5 - 1
    if images.shape[1] == 3 and channels == 1:
        images = (images * images.new_tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)
    elif images.shape[1] == 1:
        images = images.expand(-1, channels, -1, -1)
    if images.shape[2:] != (size, size):
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    return images.contiguous()


def image_digest(dataset: ImageDataset) -> str:
    """16 hexadecimal digits that stand for all that a data set holds, whatever it is called."""
    sha = hashlib.sha256(repr(dataset.label_names).encode())
    for split in (dataset.train, dataset.validation, dataset.test):
        sha.update(repr(split.pixels.shape).encode())
        sha.update(np.ascontiguousarray(split.pixels).tobytes())
        sha.update(split.labels.astype("<i8").tobytes())
    return sha.hexdigest()[:16]
