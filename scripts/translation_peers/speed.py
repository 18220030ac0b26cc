"""Tokens per second in training and decoding, of three systems in turns."""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translation_peers.environment import PROJECT, SCRIPTS, variables
from translation_peers.speed_task import SpeedOptions, make_task
from translation_peers.turns import Batch

from ptu_seq.data import TranslationDataset
from ptu_seq.errors import UserError

#: What the table calls the systems, by the module that runs each; the first is compared with.
SYSTEMS = {
    "ptu-seq": "ptu_seq_worker",
    "joeynmt-2.3.0": "joeynmt_worker",
    "eole-0.6.4": "eole_worker",
    "ptu-seq-units": "ptu_seq_worker",
    "ptu-seq-int8": "ptu_seq_worker",
}
WITH_UNITS, IN_INT8 = "ptu-seq-units", "ptu-seq-int8"


@dataclass(frozen=True)
class Rate:
    """Tokens per second, a value a round, their median, and that of the ratios to ours."""

    median: float
    ratio: float
    rounds: list[float]


@dataclass(frozen=True)
class Measurement:
    """A row of the table."""

    system: str
    parameters: int
    training: Rate
    decoding: Rate


def measure(
    dataset: TranslationDataset, options: SpeedOptions, python: Path, systems: Sequence[str]
) -> list[Measurement]:
    """Times the systems on the same batches.

    Args:
        dataset: the text.
        options: what is measured.
        python: the peers' Python.
        systems: names in :data:`SYSTEMS`.
    """
    with tempfile.TemporaryDirectory(prefix="ptu-seq-speed-") as folder, ExitStack() as stack:
        task = make_task(dataset, options, Path(folder))
        workers = [
            stack.enter_context(start_worker(name, task, Path(folder), python)) for name in systems
        ]
        parameters = [int(worker.answer()["parameters"]) for worker in workers]
        turns = options.warmup + options.rounds
        tokens = tokens_in_turns(task, options.train_steps)
        trained = [
            [count / worker.ask("train")["seconds"] for worker in workers]
            for count in itertools.islice(tokens, turns)
        ]
        decoded = [
            [answer["tokens"] / answer["seconds"] for w in workers for answer in [w.ask("decode")]]
            for _ in range(turns)
        ]
    return [
        Measurement(name, count, training, decoding)
        for name, count, training, decoding in zip(
            systems,
            parameters,
            rates(trained[options.warmup :]),
            rates(decoded[options.warmup :]),
            strict=True,
        )
    ]


def rates(rounds: Sequence[Sequence[float]]) -> list[Rate]:
    """Medians of the rounds; ratios are to the first system in the same round.

    Example:
        >>> [(rate.median, rate.ratio) for rate in rates([[10.0, 5.0], [20.0, 5.0], [30.0, 30.0]])]
        [(20.0, 1.0), (5.0, 0.5)]
    """
    return [
        Rate(
            statistics.median(values),
            statistics.median(v / r[0] for v, r in zip(values, rounds, strict=True)),
            list(values),
        )
        for values in zip(*rounds, strict=True)
    ]


def tokens_in_turns(task: dict[str, Any], steps: int) -> Iterator[int]:
    """Target tokens, `</s>` included and padding not, of each turn's batches."""
    endless = itertools.cycle(task["batches"])
    while True:
        batches: Iterator[Batch] = itertools.islice(endless, steps)
        yield sum(len(task["train_target_ids"][i]) for batch in batches for i in batch)


class Worker:
    """A process with a system in it; see :mod:`translation_peers.turns`."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        self.name, self.process, self.log = name, process, log

    def ask(self, word: str) -> dict[str, float]:
        """Lets it do a turn."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")
        self.process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, float]:
        """Its next answer.

        Raises:
            UserError: if it has ended, with the last of what it said.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            said = self.log.read_text("utf-8", errors="replace").strip().splitlines()
            raise UserError(f"{self.name} has stopped: {' | '.join(said[-3:])}")
        return dict(json.loads(line))


def own_task(name: str, task: dict[str, Any], place: Path) -> dict[str, Any]:
    """What of the task is a system's own: what ours is made of, where the others write."""
    return {
        "units": name == WITH_UNITS,
        "int8": name == IN_INT8,
        "joeynmt": {**task["joeynmt"], "model_dir": str(place / "model")},
        "eole": {
            **task["eole"],
            "training": {**task["eole"]["training"], "model_path": str(place / "model")},
        },
        "eole_decoding": {**task["eole_decoding"], "model_path": [str(place / "model")]},
    }


@contextmanager
def start_worker(name: str, task: dict[str, Any], folder: Path, python: Path) -> Iterator[Worker]:
    """Starts a system; it ends with the context."""
    place = folder / name
    place.mkdir()
    own = own_task(name, task, place)
    file = place / "task.json"
    file.write_text(json.dumps({**task, **own}), encoding="utf-8")
    is_ours = SYSTEMS[name] == "ptu_seq_worker"
    with (place / "log").open("w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [
                sys.executable if is_ours else str(python),
                *("-m", f"translation_peers.{SYSTEMS[name]}", str(file)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            cwd=place,
            env=variables(search_path=[SCRIPTS, PROJECT] if is_ours else [SCRIPTS]),
        )
        try:
            yield Worker(name, process, place / "log")
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


HEADER = (
    f"{'system':<20} {'parameters':>10}  {'training':>13} {'ratio':>6}  "
    f"{'decoding':>13} {'ratio':>6}"
)


def row(measured: Measurement) -> str:
    """A line under `HEADER`."""
    training, decoding = measured.training, measured.decoding
    return (
        f"{measured.system:<20} {measured.parameters / 1e6:>9.2f}M  "
        f"{training.median:>7.0f} tok/s {training.ratio:>6.2f}  "
        f"{decoding.median:>7.0f} tok/s {decoding.ratio:>6.2f}"
    )
