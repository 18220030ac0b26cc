"""Methods x targets x sizes x seeds: runs what is not finished, and keeps what is.

A run is one method, target, size and seed with the setting that validation data chose for its
cell. It is written to `results.jsonl` the moment it ends, so nothing finished is ever lost and a
rerun does only what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ptu_seq import formats
from ptu_seq.agenda import Agenda
from ptu_seq.checkpoints import CheckpointStore
from ptu_seq.environment import environment
from ptu_seq.errors import UserError
from ptu_seq.failures import Failures
from ptu_seq.jobs import Cell, Diverged, Grids, Job, Outcome, Runner, Size, flat
from ptu_seq.records import (
    append_line,
    content_digest,
    make_writable,
    mend_lines,
    read_json,
    read_lines,
    write_json,
)
from ptu_seq.report.results import REQUIRED, read_results
from ptu_seq.tuning import GridTuner, Trial, Tuner

#: The files of lines, and what a line of each has at least.
_FIELDS = {
    "results.jsonl": (*REQUIRED, "config_hash"),
    "tuning.jsonl": ("source", "target", "size", "method", "setting", "validation_score"),
}


#: What a setting with which a training diverges is taken to score: the least of every metric.
DIVERGED_SCORE = 0.0


class StudyDiffers(UserError):
    """A folder has results on something else than what is asked for.

    Args:
        message: says so, without advice.
        reason: what differs, for those who can give other advice.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(f"{message}: choose another --output_dir, or remove that folder.")
        self.reason = reason


class Study:
    """The runs of one source, kept in a folder.

    Args:
        output_dir: where everything is written.
        recipe: its name.
        source: the source's name.
        configuration: all that decides a run's numbers beside its cell, setting and seed. Its hash
            marks every line, and results of another configuration are never mixed in.
        arguments: the recipe's, from which `ptu-seq reproduce` makes a run again. They and the
            environment are noted for every run, as those of reruns may differ.

    Raises:
        UserError: if the folder cannot be written, or holds results of another configuration or of
            an older or newer format.
    """

    def __init__(
        self,
        output_dir: Path,
        recipe: str,
        source: str,
        configuration: Mapping[str, Any],
        arguments: Mapping[str, Any] | None = None,
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
        self._invocation = {"arguments": dict(arguments or {}), "environment": environment()}
        formats.check_results(output_dir)
        make_writable(output_dir)
        for name in _FIELDS:
            mend_lines(output_dir / name)
        self._check_format()
        self._check_configuration()

    @property
    def is_begun(self) -> bool:
        """Whether anything has been tried or finished."""
        return bool(self.trials() or read_results(self.output_dir))

    @property
    def checkpoints(self) -> CheckpointStore:
        """Where trainings keep what they need to go on after an interruption."""
        return CheckpointStore(
            self.output_dir / "checkpoints",
            self.source,
            self.config_hash,
            self._note.get("data", {}),
        )

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
                raise StudyDiffers(
                    f"the data set {name} is not the one that {self.output_dir} has results on",
                    f"the data set {name} has changed since",
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
        tuner: Tuner | None = None,
        on_diverged: Callable[[Job, Diverged], None] | None = None,
    ) -> None:
        """Does what is missing: for each target and size first the tuning, then the runs.

        Args:
            cells: what the table shall hold.
            grids: the settings to choose from, by method.
            seeds: of the reported runs, below `TUNING_SEED`.
            runner: does the jobs.
            on_end: is told of every job that ended, before it is written: what a kill in between
                leaves is done again.
            tuner: chooses each cell's setting; by trying all of its method's grid if None.
            on_diverged: is told of every job that ended without an outcome.

        Raises:
            UserError: at the end, if trainings diverged; `failures.jsonl` has them. A later call
                does the runs among them again; of a trial it is known that its setting diverges.
        """
        cells = list(cells)
        groups = [self.missing_runs(group, seeds) for group in _by_target_and_size(cells)]
        again = {run for group in groups for run in group}
        failures = Failures(self.output_dir / "failures.jsonl", again)
        tuner = tuner or GridTuner()
        trials = self.trials()
        tuner.begin(grids, trials)
        agenda = Agenda(groups, grids, tuner, trials)
        for job, outcome in runner(agenda):
            if isinstance(outcome, Diverged):
                if on_diverged is not None:
                    on_diverged(job, outcome)
                failures.add(job, outcome.error, self.source, self.config_hash)
                if job.is_tuning:
                    self._write_tuning(job, DIVERGED_SCORE, diverged=True)
                    agenda.tell(job, DIVERGED_SCORE)
                continue
            on_end(job, outcome)
            if job.is_tuning:
                score, seconds = outcome.validation_score, round(outcome.seconds, 2)
                self._write_tuning(job, score, steps=outcome.steps, seconds=seconds)
            else:
                self._write_result(job, outcome)
            self.checkpoints.remove(job.file_name)
            agenda.tell(job, outcome.validation_score)
        failures.raise_any()
        self.checkpoints.clear()  # of what is no longer asked for

    def missing_trials(
        self, cells: Iterable[Cell], grids: Grids, seeds: Sequence[int], tuner: Tuner
    ) -> int:
        """How many tuning jobs are still to be done, for cells that lack runs."""
        trials = self.trials()
        unfinished = dict.fromkeys(cell for cell, _ in self.missing_runs(cells, seeds))
        wanted = {cell: tuner.count(grids[cell.method]) for cell in unfinished}
        return sum(max(0, count - len(trials.get(cell, []))) for cell, count in wanted.items())

    def missing_runs(self, cells: Iterable[Cell], seeds: Sequence[int]) -> list[tuple[Cell, int]]:
        """The reported runs, as cell and seed, that are still to be done."""
        done = {
            (Cell(result["target"], result["size"], result["method"]), result["seed"])
            for result in read_results(self.output_dir)
        }
        wanted = list(cells)
        return [(cell, seed) for seed in seeds for cell in wanted if (cell, seed) not in done]

    def trials(self) -> dict[Cell, list[Trial]]:
        """What has been tried in tuning, by cell."""
        tried: dict[Cell, list[Trial]] = {}
        for line in read_lines(self.output_dir / "tuning.jsonl"):
            if (line.get("config_hash"), line.get("source")) == (self.config_hash, self.source):
                cell = Cell(line["target"], line["size"], line["method"])
                trial = Trial(line["setting"], line["validation_score"])
                tried.setdefault(cell, []).append(trial)
        return tried

    def run_id(self, job: Job) -> str:
        """Names a run's files."""
        place = [self.source, job.cell.target, job.cell.size, job.cell.method, job.seed]
        return f"{job.cell.method}-{job.cell.size}-{job.seed}-{content_digest(place)[:8]}"

    def _check_folder(self) -> None:
        """Raises if the folder has been removed: what came next would lie in one that lacks all."""
        if not (self.output_dir / "study.json").exists():
            raise UserError(
                f"{self.output_dir} was removed or emptied while its study was running; start it "
                "again, and it begins anew there."
            )

    def _write_tuning(self, job: Job, score: float, **details: Any) -> None:
        self._check_folder()
        line = {
            "source": self.source,
            **asdict(job.cell),
            "setting": dict(job.setting),
            "seed": job.seed,
            "validation_score": score,
            **details,
            "config_hash": self.config_hash,
        }
        append_line(self.output_dir / "tuning.jsonl", line)

    def _write_result(self, job: Job, outcome: Outcome) -> None:
        self._check_folder()
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
            "invocation": self._note_invocation(),
        }
        # Last, as it says that the run and its files are complete.
        append_line(self.output_dir / "results.jsonl", line)

    def _note_invocation(self) -> str:
        """What marks the runs of this process; `study.json` tells what it stands for."""
        digest = content_digest(self._invocation)
        known = self._note.setdefault("invocations", {})
        if digest not in known:
            known[digest] = self._invocation
            write_json(self.output_dir / "study.json", self._note)
        return digest

    def _check_format(self) -> None:
        """Refuses whole lines that lack a field: no kill leaves those."""
        for name, fields in _FIELDS.items():
            for number, line in enumerate(read_lines(self.output_dir / name), start=1):
                absent = [field for field in fields if field not in line]
                if absent:
                    raise UserError(
                        f"{self.output_dir / name}, line {number}, is of an older format, without "
                        f"{' and '.join(absent)}: choose another --output_dir, or remove that "
                        "folder."
                    )

    def _check_configuration(self) -> None:
        note = read_json(self.output_dir / "study.json")
        found = {result.get("config_hash") for result in read_results(self.output_dir)}
        if found - {self.config_hash}:
            differences = _differences(note, self._note)
            raise StudyDiffers(
                f"{self.output_dir} holds results of another configuration{differences}",
                f"their configuration is not this version's{differences}",
            )
        if note.get("config_hash") == self.config_hash:
            self._note = note
        self._note[formats.KEY] = formats.RESULTS.stamp()
        write_json(self.output_dir / "study.json", self._note)


def _by_target_and_size(cells: Iterable[Cell]) -> Iterator[list[Cell]]:
    groups: dict[tuple[str, Size], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.target, cell.size), []).append(cell)
    yield from groups.values()


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The first few settings that differ, in brackets."""
    decisive = ("recipe", "source", "configuration")
    old, new = (dict(flat({k: d[k] for k in decisive if k in d})) for d in (before, now))
    changed = [
        f"{name} was {old.get(name, 'not set')}, now {new.get(name, 'not set')}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
    return f" ({'; '.join(changed[:3])}{'; ...' if len(changed) > 3 else ''})" if old else ""
