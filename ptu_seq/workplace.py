"""Where a recipe works in its output folder: one process at a time."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ptu_seq.errors import UserError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def workplace(output_dir: Path) -> Iterator[Path]:
    """A folder for what is unfinished, in the output folder, as models move from here to there.

    What a process that was killed left in its own is removed; so there must not be two of them.

    Args:
        output_dir: of a recipe.

    Raises:
        UserError: if another process works in the output folder.
    """
    with _alone_in(output_dir):
        for left in output_dir.glob(".unfinished-*"):
            shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=output_dir) as folder:
            yield Path(folder)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Locks a folder; when this process ends, however it does, the system unlocks it."""
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            os.close(descriptor)
            raise UserError(
                f"--output_dir {folder}: another process is at work there; wait until it has "
                "ended, or choose another folder."
            ) from error
        # Some network file systems lock no folders.
    try:
        yield
    finally:
        os.close(descriptor)
