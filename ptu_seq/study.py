"""Methods x targets x sizes x seeds: runs what is not finished, and keeps what is.

A run is one method, target, size and seed with the setting that validation data chose for its
cell. It is written to `results.jsonl` the moment it ends, so nothing finished is ever lost and a
rerun does only what is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ptu_seq.errors import UserError
from ptu_seq.report.results import read_results

Size = int | Literal["all"]

#: Tuning sees a subset and a start of its own, which no reported run uses.
TUNING_SEED = 1000


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
    setting: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What a finished job leaves.

    Args:
        validation_score: accuracy, 0 to 1, of the weights kept.
        score: accuracy on the test set; None of tuning jobs, which never see it.
        steps: optimisation steps taken.
        seconds: wall-clock time of training.
        parameters: number "trained" and "total".
        labels: the test set's.
        predictions: for the test set, in its order.
        gates: the gates of every site, if the method has units.
        model_dir: where the trained model was saved, if it was.
    """

    validation_score: float
    steps: int
    seconds: float
    parameters: dict[str, int]
    score: float | None = None
    labels: list[int] = field(default_factory=list)
    predictions: list[int] = field(default_factory=list)
    gates: list[dict[str, Any]] | None = None
    model_dir: str | None = None


Runner = Callable[[Sequence[Job]], Iterator[tuple[Job, Outcome]]]
"""Does jobs, in any order, and yields each with its outcome as it ends."""


class Study:
    """The runs of one source, kept in a folder.

    Args:
        output_dir: where everything is written.
        recipe: its name.
        source: the source's name.
        config: all that decides a run's numbers beside its cell, setting and seed. Its hash marks
            every line, and results of another configuration are never mixed in.

    Raises:
        UserError: if the folder cannot be written, or holds results of another configuration.
    """

    def __init__(self, output_dir: Path, recipe: str, source: str, config: dict[str, Any]) -> None:
        self.output_dir = output_dir
        self.recipe = recipe
        self.source = source
        self.config_hash = config_hash(config)
        make_writable(output_dir)
        self._check_configuration()

    def run(
        self,
        cells: Iterable[Cell],
        grids: dict[str, Sequence[dict[str, Any]]],
        seeds: Sequence[int],
        runner: Runner,
        on_end: Callable[[Job, Outcome], None],
    ) -> None:
        """Does what is missing: for each target and size first the tuning, then the runs.

        Args:
            cells: what the table shall hold.
            grids: the settings to choose from, by method.
            seeds: of the reported runs.
            runner: does the jobs.
            on_end: is told of every job that ended, after it was written.
        """
        for group in _by_target_and_size(cells):
            for job, outcome in runner(self.missing_tuning(group, grids)):
                self._write_tuning(job, outcome)
                on_end(job, outcome)
            for job, outcome in runner(self.missing_runs(group, grids, seeds)):
                self._write_result(job, outcome)
                on_end(job, outcome)

    def missing_tuning(
        self, cells: Iterable[Cell], grids: dict[str, Sequence[dict[str, Any]]]
    ) -> list[Job]:
        """The tuning jobs that are still to be done."""
        tried = {(cell, _frozen(setting)) for cell, setting, _ in self._tuned()}
        return [
            Job(cell, setting, TUNING_SEED)
            for cell in cells
            for setting in grids[cell.method]
            if len(grids[cell.method]) > 1 and (cell, _frozen(setting)) not in tried
        ]

    def missing_runs(
        self,
        cells: Iterable[Cell],
        grids: dict[str, Sequence[dict[str, Any]]],
        seeds: Sequence[int],
    ) -> list[Job]:
        """The reported runs that are still to be done, each with the setting of its cell."""
        missing = self._missing(cells, seeds)
        return [Job(cell, self.chosen_setting(cell, grids), seed) for cell, seed in missing]

    def count_missing(self, cells: Iterable[Cell], seeds: Sequence[int]) -> int:
        """How many reported runs are still to be done."""
        return len(self._missing(cells, seeds))

    def _missing(self, cells: Iterable[Cell], seeds: Sequence[int]) -> list[tuple[Cell, int]]:
        done = {
            (r["target"], r["size"], r["method"], r["seed"]) for r in read_results(self.output_dir)
        }
        cells = list(cells)
        return [
            (cell, seed)
            for seed in seeds
            for cell in cells
            if (cell.target, cell.size, cell.method, seed) not in done
        ]

    def chosen_setting(
        self, cell: Cell, grids: dict[str, Sequence[dict[str, Any]]]
    ) -> dict[str, Any]:
        """The setting with the best validation score in tuning; of equal ones the first."""
        grid = list(grids[cell.method])
        if len(grid) == 1:
            return grid[0]
        scores = {_frozen(s): score for c, s, score in self._tuned() if c == cell}
        return max(grid, key=lambda setting: scores[_frozen(setting)])

    def run_id(self, job: Job) -> str:
        """Names a run's files."""
        place = [self.source, job.cell.target, job.cell.size, job.cell.method, job.seed]
        return f"{job.cell.method}-{job.cell.size}-{job.seed}-{config_hash(place)[:8]}"

    def _tuned(self) -> list[tuple[Cell, dict[str, Any], float]]:
        path = self.output_dir / "tuning.jsonl"
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
        tuned = []
        for line in lines:
            try:
                trial = json.loads(line)
            except ValueError:
                continue  # half a line, as a kill in mid-write leaves it: it is done again
            if trial["config_hash"] == self.config_hash and trial["source"] == self.source:
                cell = Cell(trial["target"], trial["size"], trial["method"])
                tuned.append((cell, trial["setting"], trial["validation_score"]))
        return tuned

    def _write_tuning(self, job: Job, outcome: Outcome) -> None:
        line = {
            "source": self.source,
            **asdict(job.cell),
            "setting": job.setting,
            "seed": job.seed,
            "validation_score": outcome.validation_score,
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 2),
            "config_hash": self.config_hash,
        }
        append_line(self.output_dir / "tuning.jsonl", line)

    def _write_result(self, job: Job, outcome: Outcome) -> None:
        run_id = self.run_id(job)
        predictions = {"labels": outcome.labels, "predictions": outcome.predictions}
        write_json(self.output_dir / "predictions" / f"{run_id}.json", predictions)
        if outcome.gates is not None:
            write_json(self.output_dir / "gates" / f"{run_id}.json", {"sites": outcome.gates})
        line = {
            "run_id": run_id,
            "method": job.cell.method,
            "source": self.source,
            "target": job.cell.target,
            "size": job.cell.size,
            "seed": job.seed,
            "metric": "accuracy",
            "score": outcome.score,
            "validation_score": outcome.validation_score,
            "setting": job.setting,
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 2),
            "parameters": outcome.parameters,
            "config_hash": self.config_hash,
        }
        # Last, as it says that the run and its files are complete.
        append_line(self.output_dir / "results.jsonl", line)

    def _check_configuration(self) -> None:
        others = {r.get("config_hash") for r in read_results(self.output_dir)} - {self.config_hash}
        if others:
            raise UserError(
                f"{self.output_dir} holds results of another configuration "
                f"({', '.join(sorted(map(str, others)))}, now {self.config_hash}): choose another "
                "--output_dir, or remove that folder."
            )


def config_hash(config: Any) -> str:
    """16 hexadecimal digits that stand for a configuration.

    Example:
        >>> config_hash({"a": 1, "b": 2}) == config_hash({"b": 2, "a": 1})
        True
    """
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_writable(folder: Path) -> None:
    """Makes a folder, and tries whether it can be written, before hours of work depend on it.

    Raises:
        UserError: if not.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"--output_dir {folder} cannot be written ({error.strerror}): give a folder that can."
        ) from error


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Adds one JSON line, on a line of its own even where a kill left half a line before it."""
    with path.open("ab+") as file:
        if file.tell() > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")


def write_json(path: Path, content: Any) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    half.write_text(json.dumps(content, separators=(",", ":")), "utf-8")
    half.replace(path)


def _by_target_and_size(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    groups: dict[tuple[str, Size], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.target, cell.size), []).append(cell)
    yield from groups.values()


def _frozen(setting: dict[str, Any]) -> str:
    return json.dumps(setting, sort_keys=True)
