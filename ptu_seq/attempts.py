"""A job that is done in another process: what comes back, and what its failure is called."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ptu_seq.errors import UserError

logger = logging.getLogger("ptu_seq")

#: A job whose process dies begins again so often; after that the job itself is taken to kill it.
RETRIES = 2


class RemoteTraceback(Exception):
    """The traceback of another process, as text: the cause of an error that was raised there."""


@dataclass(frozen=True)
class Failure:
    """An exception that a job raised, with its traceback as text."""

    error: Exception
    traceback: str

    def raised_by(self, job: object) -> Exception:
        """The exception to raise here."""
        self.error.__cause__ = RemoteTraceback(f"\n{self.traceback}")
        return named(self.error, job)


def attempt(do: Callable[[Any], Any], job: Any) -> Any:
    """What `do` makes of the job, or the :class:`Failure` that came of it."""
    try:
        return do(job)
    except Exception as error:
        text = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))  # some exceptions cannot be sent
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return Failure(error, text)


def named(error: Exception, job: object) -> Exception:
    """The error, saying which job it befell."""
    if isinstance(error, UserError):
        return UserError(f"{job}: {error}")
    error.add_note(f"This happened in the run {job}.")
    return error


def died_too_often(job: object) -> UserError:
    """What is said of a job whose process dies each time."""
    return UserError(
        f"{job}: its process died {RETRIES + 1} times (out of memory?); the finished runs are "
        "kept: run the same command again, with fewer --workers."
    )


def warn_of_death(job: object) -> None:
    """Tells that a job is done again."""
    logger.warning("%s: its process died; the run begins again.", job)
