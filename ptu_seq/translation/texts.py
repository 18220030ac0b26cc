"""Translations as plain text, beside what was translated and the references."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ptu_seq.jobs import Job, Outcome, file_name


def write_translations(folder: Path, job: Job, outcome: Outcome, sources: Sequence[str]) -> None:
    """Writes a run's test translations, a line each.

    They go to `CHILD/SIZE-METHOD-SEED.txt`, beside `source.txt` and `reference.txt`.

    Args:
        folder: where the children's folders are.
        job: names the files.
        outcome: holds translations and references.
        sources: the test sentences.
    """
    cell = job.cell
    child = folder / file_name(cell.target)
    child.mkdir(parents=True, exist_ok=True)
    texts = {
        "source": sources,
        "reference": outcome.labels,
        f"{cell.size}-{cell.method}-{job.seed}": outcome.predictions,
    }
    for name, lines in texts.items():
        # A line each, whatever line ends a text may hold.
        text = "".join(" ".join(str(line).splitlines()) + "\n" for line in lines)
        (child / f"{name}.txt").write_text(text, encoding="utf-8")
