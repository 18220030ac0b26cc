"""The runs of a study that came to numbers that are none."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path

from ptu_seq.errors import NumericalError, UserError
from ptu_seq.jobs import Cell, Job
from ptu_seq.records import append_line, read_lines

logger = logging.getLogger("ptu_seq")


class Failures:
    """Writes them, a line each, while the others go on.

    Args:
        path: the file of lines; those of runs that are done again are forgotten.
        again: these runs, as cell and seed.
    """

    def __init__(self, path: Path, again: Collection[tuple[Cell, int]]) -> None:
        self.path = path
        self.sentences: list[str] = []
        lines = read_lines(path)
        path.unlink(missing_ok=True)
        for line in lines:
            cell = Cell(line["target"], line["size"], line["method"])
            if (cell, line["seed"]) not in again:
                append_line(path, line)

    def add(self, job: Job, error: NumericalError, source: str, config_hash: str) -> None:
        """Writes a line, and tells it."""
        logger.warning("%s: %s The other runs go on.", job, error)
        self.sentences.append(f"{job}: {error}")
        line = {
            "source": source,
            **asdict(job.cell),
            "setting": dict(job.setting),
            "seed": job.seed,
            "failure": str(error),
            **error.details,
            "config_hash": config_hash,
        }
        append_line(self.path, line)

    def raise_any(self) -> None:
        """Tells all of them once more.

        Raises:
            UserError: if there were any.
        """
        if self.sentences:
            count = len(self.sentences)
            raise UserError(
                f"{count} {'runs' if count > 1 else 'run'} diverged and all others are finished; "
                "the same command tries again, but no setting that diverged in tuning. "
                f"{' '.join(self.sentences)}"
            )
