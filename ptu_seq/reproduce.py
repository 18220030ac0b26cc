"""Runs of a results folder made again from what the folder holds, and compared with their lines."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ptu_seq.arguments import as_flags
from ptu_seq.environment import environment
from ptu_seq.errors import UserError
from ptu_seq.experiment import Experiment, on_this_machine
from ptu_seq.jobs import Cell, Job, Outcome
from ptu_seq.recipe_files import load_recipe
from ptu_seq.records import append_line, read_json
from ptu_seq.report.results import Result, read_predictions
from ptu_seq.study import StudyDiffers

#: What every run of a folder begins with, one of them where the recipe trained it.
SOURCES = ("source", "parent")

#: What a line and an outcome both tell, beside the predictions.
COMPARED = ("score", "validation_score", "steps", "parameters")


@dataclass(frozen=True)
class Reproduction:
    """A run that was made again.

    Args:
        line: its line of `results.jsonl`.
        outcome: what it came to now.
        differences: each in words; none if all is identical.
        changes: of the environment since, each in words.
    """

    line: Result
    outcome: Outcome
    differences: Sequence[str]
    changes: Sequence[str]

    def __str__(self) -> str:
        """The verdict: a line, and one more where the environment may explain a difference."""
        line = self.line
        name = f"{line['target']}, size {line['size']}, {line['method']}, seed {line['seed']}"
        if not self.differences:
            return (
                f"identical: {name}: {line['metric']} {line['score']:g}, {line['steps']} steps, "
                f"{len(self.outcome.predictions)} predictions"
            )
        changed = "; ".join(self.changes) or "the same versions on a machine of the same kind"
        return f"differs: {name}: {'; '.join(self.differences)}\n  made with: {changed}"


def reproduce(
    folder: Path, lines: Sequence[Result], tell: Callable[[Reproduction], None]
) -> list[Reproduction]:
    """Makes runs again, in another folder that is removed then, and compares them.

    Each starts from the source network that the folder keeps, with the arguments that it notes and
    the setting that was chosen for the run; nothing is tuned, and nothing in the folder changes.

    Args:
        folder: a recipe's output folder.
        lines: of its `results.jsonl`.
        tell: is told of each as it ends.

    Raises:
        UserError: if the folder does not tell all that a run needs, or the data or the recipe have
            changed since.
    """
    note = read_json(folder / "study.json")
    made: list[Reproduction] = []
    for mark in dict.fromkeys(line.get("invocation") for line in lines):
        invocation = note.get("invocations", {}).get(mark, {})
        if not invocation.get("arguments"):
            raise UserError(
                f"RUN_DIR {folder}: it does not tell the recipe's arguments for "
                f"{next(x['run_id'] for x in lines if x.get('invocation') == mark)}, as folders of "
                "ptu-seq 0.1.0 do not; accepted are runs of later versions."
            )
        chosen = [line for line in lines if line.get("invocation") == mark]

        def compared(line: Result, outcome: Outcome, before: Mapping[str, Any]) -> None:
            kept = read_predictions(folder, line["run_id"])
            found = Reproduction(line, outcome, differences(line, kept, outcome), changes(before))
            made.append(found)
            tell(found)

        _run(folder, note, invocation, chosen, compared)
    return made


def differences(
    line: Result, kept: tuple[Sequence[Any], Sequence[Any]] | None, outcome: Outcome
) -> list[str]:
    """In what an outcome is not what a line and its predictions say, in words.

    Args:
        line: of `results.jsonl`.
        kept: the run's labels and predictions; None if they were lost.
        outcome: of the same run.
    """
    found = [
        f"{name.replace('_', ' ')} {line[name]} before, {now} now"
        for name in COMPARED
        if line.get(name) != (now := getattr(outcome, name))
    ]
    if kept is None:
        return [*found, "its predictions are not kept"]
    labels, predictions = kept
    if list(labels) != list(outcome.labels):
        return [*found, "the test set's labels are others"]
    unequal = sum(a != b for a, b in zip(predictions, outcome.predictions, strict=True))
    return [*found, f"{unequal} of {len(labels)} predictions"] if unequal else found


def changes(before: Mapping[str, Any]) -> list[str]:
    """What of an environment is not so here and now, in words; the number of threads is no matter.

    Args:
        before: see :func:`ptu_seq.environment.environment`.
    """
    now = environment()
    return [
        f"{name} {before[name]} (here {now.get(name)})"
        for name in before
        if name not in ("threads", "cpu_count") and before[name] != now.get(name)
    ]


def _run(
    folder: Path,
    note: Mapping[str, Any],
    invocation: Mapping[str, Any],
    lines: Sequence[Result],
    compared: Callable[[Result, Outcome, Mapping[str, Any]], None],
) -> None:
    """Has the recipe make ready a copy of the folder, and does the runs of some lines in it."""
    arguments = invocation["arguments"]
    by_job = {_key(line): line for line in lines}

    def conduct(experiment: Experiment) -> None:
        (experiment.study.output_dir / "results.jsonl").unlink()  # of the copy no report is made
        jobs = [_job(line) for line in lines]
        workers = min(len(jobs), experiment.workers)
        with on_this_machine(experiment.jobs, workers) as runner:
            for job, outcome in runner(jobs):
                assert isinstance(outcome, Outcome)
                cell = job.cell
                line = by_job[cell.target, cell.size, cell.method, job.seed]
                compared(line, outcome, invocation["environment"])

    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        _copy(folder, copy, lines, needs_source=arguments.get("parent_model") is None)
        module = load_recipe(note["recipe"])
        flags = {one.name for part in module.ARGUMENTS for one in dataclasses.fields(part)}
        given = {
            **arguments,
            "sizes": list(dict.fromkeys(line["size"] for line in lines)),
            "methods": list(dict.fromkeys(line["method"] for line in lines)),
            "seeds": max(line["seed"] for line in lines) + 1,
            "output_dir": str(copy),
        }
        try:
            words = as_flags(given, flags, folder / "study.json")
            with contextlib.redirect_stdout(io.StringIO()):
                module.main(words, conduct)
        except StudyDiffers as error:
            raise UserError(
                f"RUN_DIR {folder}: its runs cannot be made again, as {error.reason}."
            ) from error
        except UserError as error:
            raise UserError(f"RUN_DIR {folder}: {error}") from error


def _copy(folder: Path, copy: Path, lines: Iterable[Result], *, needs_source: bool) -> None:
    """Copies what the recipe looks for: the note on the study, the source network, some lines."""
    kept = [folder / name for name in SOURCES if (folder / name).is_dir()]
    if needs_source and not kept:
        raise UserError(
            f"RUN_DIR {folder}: it holds no {' and no '.join(f'{name}/' for name in SOURCES)}, the "
            "network that its runs began with."
        )
    copy.mkdir()
    shutil.copyfile(folder / "study.json", copy / "study.json")
    for part in kept:
        shutil.copytree(part, copy / part.name)
    for line in lines:  # so that other data or another configuration are refused
        append_line(copy / "results.jsonl", line)


def _job(line: Result) -> Job:
    return Job(Cell(line["target"], line["size"], line["method"]), line["setting"], line["seed"])


def _key(line: Result) -> tuple[Any, ...]:
    return line["target"], line["size"], line["method"], line["seed"]
