"""Methods x targets x sizes x seeds: runs what is not finished, and keeps what is.

A run is one method, target, size and seed with the setting that validation data chose for its
cell. It is written to `results.jsonl` the moment it ends, so nothing finished is ever lost and a
rerun does only what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptu_seq.errors import UserError
from ptu_seq.jobs import TUNING_SEED, Cell, Grids, Job, Outcome, Runner, Setting, Size, flat
from ptu_seq.records import (
    append_line,
    content_digest,
    make_writable,
    mend_lines,
    read_json,
    read_lines,
    write_json,
)
from ptu_seq.report.results import read_results


class Study:
    """The runs of one source, kept in a folder.

    Args:
        output_dir: where everything is written.
        recipe: its name.
        source: the source's name.
        configuration: all that decides a run's numbers beside its cell, setting and seed. Its hash
            marks every line, and results of another configuration are never mixed in.

    Raises:
        UserError: if the folder cannot be written, or holds results of another configuration.
    """

    def __init__(
        self, output_dir: Path, recipe: str, source: str, configuration: Mapping[str, Any]
    ) -> None:
        self.output_dir = output_dir
        self.source = source
        self.config_hash = content_digest([recipe, source, configuration])
        self._note: dict[str, Any] = {
            "recipe": recipe,
            "source": source,
            "config_hash": self.config_hash,
            "configuration": dict(configuration),
        }
        make_writable(output_dir)
        for name in ("results.jsonl", "tuning.jsonl"):
            mend_lines(output_dir / name)
        self._check_configuration()

    @property
    def is_begun(self) -> bool:
        """Whether anything has been tried or finished."""
        return bool(self._tuned() or read_results(self.output_dir))

    def check_data(self, digests: Mapping[str, str]) -> None:
        """Notes what the data sets hold, so that results on other data are never mixed in.

        Args:
            digests: of the data sets' contents, by name.

        Raises:
            UserError: if one has changed since the study began.
        """
        known = self._note.get("data", {}) if self.is_begun else {}
        for name, digest in digests.items():
            if known.get(name, digest) != digest:
                raise UserError(
                    f"the data set {name} is not the one that {self.output_dir} has results on: "
                    "choose another --output_dir, or remove that folder."
                )
        self._note["data"] = {**known, **digests}
        write_json(self.output_dir / "study.json", self._note)

    def run(
        self,
        cells: Iterable[Cell],
        grids: Grids,
        seeds: Sequence[int],
        runner: Runner,
        on_end: Callable[[Job, Outcome], None],
    ) -> None:
        """Does what is missing: for each target and size first the tuning, then the runs.

        Args:
            cells: what the table shall hold.
            grids: the settings to choose from, by method.
            seeds: of the reported runs, below `TUNING_SEED`.
            runner: does the jobs.
            on_end: is told of every job that ended, before it is written: what a kill in between
                leaves is done again.
        """
        for group in _by_target_and_size(cells):
            for job, outcome in runner(self.missing_tuning(group, grids, seeds)):
                on_end(job, outcome)
                self._write_tuning(job, outcome)
            for job, outcome in runner(self._missing_jobs(group, grids, seeds)):
                on_end(job, outcome)
                self._write_result(job, outcome)

    def missing_tuning(
        self, cells: Iterable[Cell], grids: Grids, seeds: Sequence[int]
    ) -> list[Job]:
        """The tuning jobs that are still to be done, for cells that lack runs."""
        unfinished = dict.fromkeys(cell for cell, _ in self.missing_runs(cells, seeds))
        tried = {(cell, _frozen(setting)) for cell, setting, _ in self._tuned()}
        return [
            Job(cell, setting, TUNING_SEED)
            for cell in unfinished
            for setting in grids[cell.method]
            if len(grids[cell.method]) > 1 and (cell, _frozen(setting)) not in tried
        ]

    def missing_runs(self, cells: Iterable[Cell], seeds: Sequence[int]) -> list[tuple[Cell, int]]:
        """The reported runs, as cell and seed, that are still to be done."""
        done = {
            (Cell(result["target"], result["size"], result["method"]), result["seed"])
            for result in read_results(self.output_dir)
        }
        wanted = list(cells)
        return [(cell, seed) for seed in seeds for cell in wanted if (cell, seed) not in done]

    def chosen_setting(self, cell: Cell, grids: Grids) -> Setting:
        """The setting with the best validation score in tuning; of equal ones the first."""
        grid = grids[cell.method]
        if len(grid) == 1:
            return grid[0]
        scores = {_frozen(s): score for c, s, score in self._tuned() if c == cell}
        return max(grid, key=lambda setting: scores[_frozen(setting)])

    def run_id(self, job: Job) -> str:
        """Names a run's files."""
        place = [self.source, job.cell.target, job.cell.size, job.cell.method, job.seed]
        return f"{job.cell.method}-{job.cell.size}-{job.seed}-{content_digest(place)[:8]}"

    def _missing_jobs(self, cells: list[Cell], grids: Grids, seeds: Sequence[int]) -> list[Job]:
        missing = self.missing_runs(cells, seeds)
        chosen = {cell: self.chosen_setting(cell, grids) for cell, _ in missing}
        return [Job(cell, chosen[cell], seed) for cell, seed in missing]

    def _tuned(self) -> list[tuple[Cell, Setting, float]]:
        return [
            (
                Cell(trial["target"], trial["size"], trial["method"]),
                trial["setting"],
                trial["validation_score"],
            )
            for trial in read_lines(self.output_dir / "tuning.jsonl")
            if (trial.get("config_hash"), trial.get("source")) == (self.config_hash, self.source)
        ]

    def _write_tuning(self, job: Job, outcome: Outcome) -> None:
        line = {
            "source": self.source,
            **asdict(job.cell),
            "setting": dict(job.setting),
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
            outcome.gates.write(self.output_dir / "gates", run_id)
        line = {
            "run_id": run_id,
            "method": job.cell.method,
            "source": self.source,
            "target": job.cell.target,
            "size": job.cell.size,
            "seed": job.seed,
            "metric": outcome.metric,
            "score": outcome.score,
            "validation_score": outcome.validation_score,
            "setting": dict(job.setting),
            "steps": outcome.steps,
            "seconds": round(outcome.seconds, 2),
            "parameters": outcome.parameters,
            **outcome.details,
            "config_hash": self.config_hash,
        }
        # Last, as it says that the run and its files are complete.
        append_line(self.output_dir / "results.jsonl", line)

    def _check_configuration(self) -> None:
        note = read_json(self.output_dir / "study.json")
        found = {result.get("config_hash") for result in read_results(self.output_dir)}
        if found - {self.config_hash}:
            raise UserError(
                f"{self.output_dir} holds results of another configuration"
                f"{_differences(note, self._note)}: choose another --output_dir, or remove that "
                "folder."
            )
        if note.get("config_hash") == self.config_hash:
            self._note = note
        write_json(self.output_dir / "study.json", self._note)


def _by_target_and_size(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    groups: dict[tuple[str, Size], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.target, cell.size), []).append(cell)
    yield from groups.values()


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first few settings that differ, in brackets."""
    old, new = (dict(flat({k: v for k, v in d.items() if k != "data"})) for d in (before, now))
    changed = [
        f"{name} was {old.get(name, 'not set')}, now {new.get(name, 'not set')}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name) and name != "config_hash"
    ]
    return f" ({'; '.join(changed[:3])}{'; ...' if len(changed) > 3 else ''})" if old else ""


def _frozen(setting: Setting) -> str:
    return json.dumps(dict(setting), sort_keys=True)
