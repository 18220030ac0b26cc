"""The vocabulary of studies: cells of the table, jobs that fill them, outcomes of jobs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ptu_seq.errors import NumericalError

if TYPE_CHECKING:
    from ptu_seq.gate_summary import GateSummary

Size = int | Literal["all"]

#: Tuning sees a subset and a start of its own, which no reported run uses: these have seeds below.
TUNING_SEED = 1000

Setting = Mapping[str, Any]
Grids = Mapping[str, Sequence[Setting]]


#: Characters that some system does not take in the name of a file.
_NOT_IN_FILE_NAMES = re.compile(r'[/\\:*?"<>|\0]|^\.{1,2}\Z')


def file_name(name: str) -> str:
    """The name of a data set as that of a file or folder, on any system.

    Example:
        >>> file_name("bible:tl-en"), file_name("wmt16/tr-en"), file_name("..")
        ('bible_tl-en', 'wmt16_tr-en', '_')
    """
    return _NOT_IN_FILE_NAMES.sub("_", name)


def flat(settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every name and value, those of inner mappings in their mapping's place.

    Example:
        >>> list(flat({"init": "source", "bias": {"embedding": 0.0, "rnn": -3.0}}))
        [('init', 'source'), ('embedding', 0.0), ('rnn', -3.0)]
    """
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from flat(value)
        else:
            yield name, value


@dataclass(frozen=True)
class Cell:
    """A cell of the table: a target, a size and a method."""

    target: str
    size: Size
    method: str


@dataclass(frozen=True)
class Job:
    """One training: a cell, a setting of its method and a seed."""

    cell: Cell
    setting: Setting
    seed: int

    @property
    def is_tuning(self) -> bool:
        """Whether it only helps to choose a setting."""
        return self.seed == TUNING_SEED

    @property
    def file_name(self) -> str:
        """Tells the job's files from those of all others in a study."""
        values = "-".join(str(value) for _, value in flat(self.setting))
        setting = values if self.is_tuning else self.seed
        return file_name(f"{self.cell.target}-{self.cell.size}-{self.cell.method}-{setting}")

    def __str__(self) -> str:
        setting = ", ".join(f"{name} {value}" for name, value in self.setting.items())
        seed = "tuning" if self.is_tuning else f"seed {self.seed}"
        return (
            f"{self.cell.method} on {self.cell.target}, size {self.cell.size}, {seed} ({setting})"
        )


@dataclass(frozen=True)
class Outcome:
    """What a finished job leaves.

    Args:
        validation_score: of the weights kept.
        score: on the test set; None of tuning jobs, which never see it.
        steps: optimisation steps taken.
        seconds: wall-clock time of training.
        parameters: number "trained" and "total".
        labels: the test set's: classes, or reference translations.
        predictions: for the test set, in its order: classes, or translations.
        gates: what its gates do, if the method has units.
        model_dir: where the trained model was saved, if it was.
        metric: what `score` is: "accuracy" (0 to 1), "bleu" or "chrf" (0 to 100).
        details: further fields of the run's line in `results.jsonl`, such as the `scores` by other
            metrics and their `signatures`.
    """

    validation_score: float
    steps: int
    seconds: float
    parameters: dict[str, int]
    score: float | None = None
    labels: Sequence[int] | Sequence[str] = ()
    predictions: Sequence[int] | Sequence[str] = ()
    gates: GateSummary | None = None
    model_dir: str | None = None
    metric: str = "accuracy"
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Diverged:
    """What is left of a job whose training came to numbers that are none.

    Args:
        error: where and when.
    """

    error: NumericalError


@dataclass(frozen=True)
class Surviving:
    """Does jobs so that a training that diverges does not end the others; picklable like `do`.

    Args:
        do: does a job.
    """

    do: Callable[[Job], Outcome]

    def __call__(self, job: Job) -> Outcome | Diverged:
        """The job's outcome, or what is left of it."""
        try:
            return self.do(job)
        except NumericalError as error:
            return Diverged(error.with_traceback(None))


Runner = Callable[[Iterable[Job]], Iterator[tuple[Job, Outcome | Diverged]]]
"""Does jobs, in any order, and yields each with its outcome as it ends.

Where it is given an iterator that has ended, it asks once more after every outcome: see
:class:`ptu_seq.agenda.Agenda`.
"""
