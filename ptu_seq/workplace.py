"""Output folders: one process at a time works in each."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ptu_seq.errors import UserError
from ptu_seq.records import make_writable

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def workplace(output_dir: Path) -> Iterator[Path]:
    """A folder for what is unfinished, in the output folder, as models move from here to there.

    What a process that was killed left in its own is removed; so there must not be two of them.
    Within it, and not before, is the output folder read: another process could be writing there.

    Args:
        output_dir: of a recipe; made if it is not there.

    Raises:
        UserError: if the output folder cannot be written, or another process works there.
    """
    with alone_in(output_dir):
        for left in output_dir.glob(".unfinished-*"):
            # A link is removed, but not what somebody keeps where it leads.
            remove = shutil.rmtree if left.is_dir() and not left.is_symlink() else os.unlink
            remove(left)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=output_dir) as folder:
            yield Path(folder)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Locks a folder; when this process and its forks have ended, the system unlocks it.

    Args:
        folder: made if it is not there. Some network file systems, and Windows, lock no folders.

    Raises:
        UserError: if it cannot be written, or another process has locked it.
    """
    make_writable(folder)
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
    try:
        yield
    finally:
        os.close(descriptor)
