"""Folders of parallel plain text: train.fr beside train.en, line for line."""

from __future__ import annotations

import re
from pathlib import Path

from datasets import Dataset

from ptu_seq.data.files import EXTENSIONS, read_lines
from ptu_seq.data.sources import SPLIT_NAMES, Table
from ptu_seq.errors import UserError

#: What follows the dot of a file that is named by its language: "fr", "tl", "pt_br", "zh-Hant".
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([_-][A-Za-z]{2,4})?")

#: Endings that look like languages and are not.
_NOT_LANGUAGES = {"md", "csv", "tsv", "txt", "gz", "zip", "bz2", "xz", "py", "sh", "log", "tar"}


def is_parallel_text(folder: Path) -> bool:
    """Whether a folder has no table for training but a plain-text file by a language's name."""
    stems = SPLIT_NAMES["train"]
    if any((folder / f"{stem}{end}").is_file() for stem in stems for end in EXTENSIONS):
        return False
    return any(path.stem in stems for path in _language_files(folder))


def read_parallel_text(folder: Path) -> dict[str, Table]:
    """Reads the parallel files of a folder.

    Args:
        folder: holds train.SOURCE and train.TARGET, and the same for validation (or valid, val,
            dev) and test as far as there are any, such as train.fr and train.en. There may be more
            languages than two.

    Returns:
        The splits that are there, each with a column for each of its languages.

    Raises:
        UserError: if the sides of a split differ in length, or a side is missing, empty or not in
            UTF-8.
    """
    return {
        split: Table(f"{folder / sides[0].stem}.*", _read_sides(sides))
        for split, sides in parallel_files(folder).items()
    }


def parallel_files(folder: Path) -> dict[str, list[Path]]:
    """The files of each split that a folder has, one a language.

    Raises:
        UserError: if a split has files by two names, or in one language only.
    """
    files = _language_files(folder)
    splits = {}
    for split, accepted in SPLIT_NAMES.items():
        stems = [stem for stem in accepted if any(path.stem == stem for path in files)]
        if len(stems) > 1:
            raise UserError(
                f"{folder} has files named {stems[0]} and files named {stems[1]} for the {split} "
                "split: keep one of them."
            )
        if stems:
            splits[split] = [path for path in files if path.stem == stems[0]]
            _check_sides(splits[split])
    return splits


def _language_files(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if path.is_file()
        and _LANGUAGE.fullmatch(ending := path.suffix.removeprefix("."))
        and ending.lower() not in _NOT_LANGUAGES
    ]


def _check_sides(paths: list[Path]) -> None:
    if len(paths) < 2:
        raise UserError(
            f"{paths[0]} has no other side: parallel text needs a file for each language, such as "
            f"{paths[0].stem}.fr and {paths[0].stem}.en."
        )


def _read_sides(paths: list[Path]) -> Dataset:
    columns = {path.suffix.removeprefix("."): read_lines(path) for path in paths}
    (first, *others) = zip(paths, columns.values(), strict=True)
    for path, lines in others:
        if len(lines) != len(first[1]):
            raise UserError(
                f"{first[0]} has {len(first[1])} lines but {path} has {len(lines)}: line by line "
                "they must be translations of each other."
            )
    return Dataset.from_dict(columns)
