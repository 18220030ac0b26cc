"""Images from `.npz` files and from tables of the hub, as arrays of one form."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ptu_seq.data.sources import SPLIT_NAMES, Table
from ptu_seq.errors import UserError

#: Names of the columns that may hold images and labels in tables of the hub.
IMAGE_COLUMNS, LABEL_COLUMNS = ("image", "img", "images"), ("label", "labels", "fine_label")

#: Bytes of images and labels together, unpacked, at most: 4 GiB.
LARGEST = 2**32


class RawImages(NamedTuple):
    """Images of one split, before labels are numbered.

    Attributes:
        where: the file or hub split, for messages.
        pixels: `(images, channels, height, width)`, 0 to 255.
        labels: one an image, numbers or names.
    """

    where: str
    pixels: np.ndarray
    labels: np.ndarray


def read_npz(path: Path) -> RawImages:
    """Reads a file of numpy with images `x` and labels `y`; nothing in it is ever executed.

    How large the arrays are is read first, so that a small file cannot fill the memory.

    Args:
        path: the file. `x` is `(images, height, width)` or `(images, height, width, channels)`
            with 1 or 3 channels, whole numbers from 0 to 255 or fractions from 0 to 1.

    Raises:
        UserError: if it cannot be read, or holds something else.
    """
    try:
        sizes = _array_bytes(path)
        missing = [name for name in ("x", "y") if name not in sizes]
        if missing:
            raise UserError(
                f"{path} has no array {missing[0]!r}, only {', '.join(sizes) or 'nothing'}: it "
                "must hold images x and labels y."
            )
        if sizes["x"] + sizes["y"] > LARGEST:
            raise UserError(
                f"{path} unpacks to {sizes['x'] + sizes['y']:,} bytes; accepted are {LARGEST:,}."
            )
        with np.load(path, allow_pickle=False) as file:
            x, y = file["x"], file["y"]
    except UserError:
        raise
    except Exception as error:  # numpy and zipfile raise whatever their parsers raise
        reason = "it holds Python objects" if "pickle" in str(error).lower() else error
        raise UserError(f"{path} is no .npz file of plain arrays x and y ({reason}).") from error
    if y.ndim != 1 or x.ndim == 0 or len(x) != len(y):
        raise UserError(
            f"{path}: x has the shape {x.shape} and y {y.shape}; there must be one label an image."
        )
    return RawImages(str(path), to_pixels(x, str(path)), y)


def _array_bytes(path: Path) -> dict[str, int]:
    """Bytes of each array of an .npz file by its name, as x and y tell them; of others 0."""
    with zipfile.ZipFile(path) as archive:
        sizes = {name.removesuffix(".npy"): 0 for name in archive.namelist()}
        for name in sizes.keys() & {"x", "y"}:
            with archive.open(f"{name}.npy") as file:
                version = np.lib.format.read_magic(file)
                read_header = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                shape, _, dtype = read_header(file)
            sizes[name] = math.prod(shape) * dtype.itemsize
    return sizes


def read_image_folder(folder: Path) -> dict[str, RawImages]:
    """Reads train.npz, validation.npz (or valid, val, dev) and test.npz, as far as they are there.

    Raises:
        UserError: if there is no training file, or one cannot be read.
    """
    found = {}
    for split, stems in SPLIT_NAMES.items():
        paths = [folder / f"{stem}.npz" for stem in stems if (folder / f"{stem}.npz").is_file()]
        if paths:
            found[split] = read_npz(paths[0])
    if "train" not in found:
        raise UserError(
            f"{folder} has no train.npz: accepted are train.npz, validation.npz and test.npz, each "
            "with images x and labels y."
        )
    return found


def read_image_table(table: Table) -> tuple[RawImages, tuple[str, ...] | None]:
    """Reads a table of the hub with a column of images and one of labels.

    Returns:
        The images, and the labels' names if the table knows them.

    Raises:
        UserError: if it lacks a column, or images differ in size.
    """
    where, rows = table
    image, label = (
        next((name for name in accepted if name in rows.column_names), None)
        for accepted in (IMAGE_COLUMNS, LABEL_COLUMNS)
    )
    if image is None or label is None:
        raise UserError(
            f"{where} has the columns {', '.join(rows.column_names)}; there must be one of images "
            f"({', '.join(IMAGE_COLUMNS)}) and one of labels ({', '.join(LABEL_COLUMNS)})."
        )
    arrays = [np.asarray(picture) for picture in rows[image]]
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1:
        raise UserError(
            f"{where}: images have {len(shapes)} different sizes or kinds; all must be alike."
        )
    names = getattr(rows.features[label], "names", None)
    raw = RawImages(where, to_pixels(np.stack(arrays), where), np.asarray(rows[label][:]))
    return raw, None if names is None else tuple(names)


def to_pixels(x: Any, where: str) -> np.ndarray:
    """Images as `(images, channels, height, width)` from 0 to 255.

    Raises:
        UserError: if the array has another shape, or values that are no brightness.
    """
    x = np.asarray(x)
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or 0 in x.shape:
        raise UserError(
            f"{where}: images have the shape {x.shape}; accepted are (images, height, width) and "
            "(images, height, width, channels) with 1 or 3 channels."
        )
    if x.dtype == bool:
        x = x.astype(np.uint8) * 255
    elif x.dtype.kind not in "iuf":
        raise UserError(f"{where}: pixels are {x.dtype}; accepted are numbers.")
    if not (np.isfinite(x).all() and x.min() >= 0 and x.max() <= 255):
        raise UserError(f"{where}: pixels are not all from 0 to 255, or fractions from 0 to 1.")
    if x.dtype.kind == "f":
        x = np.rint(x * 255 if x.max() <= 1 else x)
    return np.ascontiguousarray(x.astype(np.uint8).transpose(0, 3, 1, 2))
