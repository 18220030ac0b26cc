"""Where tables come from: a folder of split files, or the Hugging Face hub.

Both give a dictionary from split ("train", "validation", "test", as far as there are any) to a
:class:`Table`.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import datasets
from datasets import Dataset

from ptu_seq.data.files import EXTENSIONS, read_table
from ptu_seq.errors import UserError, closest

#: Names of each split's file, or of the split on the hub; the first is ours.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "validation_matched"),
    "test": ("test", "testing"),
}


class Table(NamedTuple):
    """One split's rows, and the file or hub split they come from, for messages."""

    where: str
    rows: Dataset


def local_path(name: str) -> Path:
    """The file or folder that a data set's name may stand for.

    Raises:
        UserError: if the system takes no such name.
    """
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a home of nobody
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"the data set {name[:60]!r} cannot be looked for: {reason}.") from error
    return path


def read_folder(folder: Path, also: str = "") -> dict[str, Table]:
    """Reads the split files of a folder.

    Args:
        folder: holds train, validation (or valid, val, dev) and test files, each with one of the
            extensions of `read_table`; or one such file alone, which is then "train".
        also: what else is accepted there, for the message if there is nothing to read.

    Returns:
        The splits that are there.

    Raises:
        UserError: if there is no training file, two files for one split, or an unreadable one.
    """
    return {
        split: Table(str(path), read_table(path))
        for split, path in split_files(folder, also).items()
    }


def split_files(folder: Path, also: str = "") -> dict[str, Path]:
    """The file of each split that a folder has: see :func:`read_folder`."""
    files = named_files(folder)
    if "train" in files:
        return files
    alone = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in EXTENSIONS and path.is_file() and path.name != "labels.json"
    ]
    if len(alone) != 1 or files:
        raise UserError(
            f"{folder} has no train file: accepted are train, validation and test files "
            f"({', '.join(EXTENSIONS)}), or one file alone{also}."
        )
    return {"train": alone[0]}


def named_files(folder: Path) -> dict[str, Path]:
    """The files that are named by a split.

    Raises:
        UserError: if there are two for one split.
    """
    files = {}
    for split, accepted in SPLIT_NAMES.items():
        candidates = [folder / f"{stem}{end}" for stem in accepted for end in EXTENSIONS]
        found = [path for path in candidates if path.is_file()]
        if len(found) > 1:
            raise UserError(
                f"{folder} has both {found[0].name} and {found[1].name} for the {split} split: "
                "keep one of them."
            )
        if found:
            files[split] = found[0]
    return files


def read_hub(name: str, bundled: Mapping[str, object]) -> dict[str, Table]:
    """Loads a data set from the Hugging Face hub, or from its local cache.

    Args:
        name: "path" or "path/config" ("trec", "glue/mrpc", "owner/name/config").
        bundled: names that work without the hub; a single word much like one of them is taken for
            a slip of the pen, and the hub is not asked.

    Returns:
        The splits that it has.

    Raises:
        UserError: if `name` reads like a local path, the hub cannot be reached or does not have
            it, or it has no train split.
    """
    return {split: Table(where, rows) for split, (where, rows) in open_hub(name, bundled).items()}


def open_hub(
    name: str, bundled: Mapping[str, object], **options: Any
) -> dict[str, tuple[str, Any]]:
    """The splits of a data set on the hub, each with its name for messages.

    Args:
        name: see :func:`read_hub`.
        bundled: see :func:`read_hub`.
        **options: further ones of `datasets.load_dataset`, such as `streaming=True`.
    """
    path = local_path(name)
    if name.startswith((".", "/", "~")) or path.suffix.lower() in EXTENSIONS:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"There is no file or folder {name}{closest(path.name, beside)}.")
    if "/" not in name and get_close_matches(name, bundled, cutoff=0.75):
        raise UserError(
            f"There is no data set {name!r}{closest(name, bundled)}; bundled are "
            f"{', '.join(bundled)}, and a name on the Hugging Face hub this near to one of them "
            "needs its owner in front (owner/name)."
        )
    try:
        loaded = _load_from_hub(name, **options)
    except Exception as error:  # the hub's client raises a dozen unrelated types
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(
            f"There is no data set {name!r}{closest(name, bundled)}: it is not bundled "
            f"({', '.join(bundled)}), not a file or folder here, and the Hugging Face hub did not "
            f"give it ({reason})"
        ) from error
    splits = {}
    for split, accepted in SPLIT_NAMES.items():
        key = next((key for key in accepted if key in loaded), None)
        if key is not None:
            splits[split] = (f"{name}:{key}", loaded[key])
    if "train" not in splits:
        raise UserError(f"{name} has no train split, only {', '.join(loaded)}.")
    return splits


def _load_from_hub(name: str, **options: Any) -> Mapping[str, Any]:
    """Loads "path", and if that is not on the hub, "path" with the last part as configuration."""
    try:
        return _load(name, None, **options)
    except Exception as error:
        path, _, config = name.rpartition("/")
        if not path:
            raise
        try:
            return _load(path, config, **options)
        except ValueError:
            raise  # there is such a path, and the message lists its configurations
        except Exception:
            raise error from None


def _load(path: str, config: str | None, **options: Any) -> Mapping[str, Any]:
    try:
        return datasets.load_dataset(path, config, **options)
    except RuntimeError:
        # Older data sets are loading scripts, which `datasets` no longer runs; the hub keeps a
        # copy of what they gave.
        return datasets.load_dataset(path, config, revision="refs/convert/parquet", **options)
