"""Keeps a report inside the folder that it is made of, which may come from anybody."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ptu_seq.errors import UserError
from ptu_seq.jobs import file_name

#: What reading a value of another kind than a recipe writes ends in.
NOT_AS_WRITTEN = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError),
    *(RecursionError, MemoryError),
)

#: What a report writes, or removes first.
_WRITTEN = ("summary.json", "summary.md", "report.html", "figures")


def check_no_links(folder: Path) -> None:
    """Checks that nothing which a report writes is a link to somewhere else.

    Args:
        folder: a recipe's output folder, or a study's; it may be a link itself.

    Raises:
        UserError: for the first link.
    """
    written = [folder / f"{name}{end}" for name in _WRITTEN for end in ("", ".part")]
    figures = folder / "figures"
    inside = sorted(figures.iterdir()) if figures.is_dir() else []
    for path in (*written, *inside):
        if path.is_symlink():
            raise UserError(
                f"RUN_DIR {folder}: {path.relative_to(folder)} is a link to {path.readlink()}, "
                "through which a report would be written elsewhere; remove it."
            )


def experiment_names(study: Mapping[str, Any], folder: Path) -> list[str]:
    """The names of a study's experiments, which are those of folders in its own.

    Args:
        study: content of `experiments.json`, or of a study's `summary.json`.
        folder: the study's.

    Raises:
        UserError: for a name that is none of a folder there.
    """
    names = [one["name"] for one in study["experiments"]]
    for name in names:
        if not isinstance(name, str) or file_name(name) != name or (folder / name).is_symlink():
            raise UserError(
                f"RUN_DIR {folder}: {name!r} is no experiment's name; accepted is that of a "
                "folder in it."
            )
    return names
