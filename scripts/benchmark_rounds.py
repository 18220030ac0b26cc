"""What the benchmarks in rounds share: their flags, clocks, memory and the report."""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from ptu_seq import __version__
from ptu_seq.cli import Parser

MIB = 2**20


@dataclass(frozen=True)
class Timing:
    """Times of one operation, a value a round, and their ratio to the yardstick's."""

    milliseconds: float
    ratio: float
    rounds: list[float]


def positive(word: str) -> int:
    """A flag's whole number of at least 1."""
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is no whole number of at least 1")
    return int(word)


class BenchmarkParser(Parser):
    """A parser of what all benchmarks in rounds have: their number, threads and the report.

    Args:
        description: a summary, an empty line, and all that the help says below the flags.
    """

    numbers: Mapping[str, Any] = {"type": positive, "metavar": "N"}

    def __init__(self, description: str) -> None:
        summary, _, details = description.partition("\n\n")
        super().__init__(
            description=summary,
            epilog=details,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    def add(self, flag: str, default: Any, help_: str, **options: Any) -> None:
        """Adds a flag whose help tells its default."""
        shown = " ".join(map(str, default)) if isinstance(default, list) else default
        self.add_argument(flag, default=default, help=f"{help_}; default: {shown}", **options)

    def read(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """The flags, with those of all benchmarks."""
        self.add("--repeats", 9, "rounds that are timed", **self.numbers)
        self.add("--warmup", 2, "rounds before them that are not", **self.numbers)
        self.add("--threads", 1, "threads that torch may use inside one operation", **self.numbers)
        self.add_argument(
            "--output",
            type=Path,
            metavar="FILE",
            help="also write settings, environment and the times of every round to this JSON file",
        )
        arguments = self.parse_args(argv)
        if arguments.output is not None:
            try:  # Now, not after minutes of measuring.
                arguments.output.parent.mkdir(parents=True, exist_ok=True)
                arguments.output.open("a").close()
            except OSError as error:
                self.error(f"--output: cannot write to {arguments.output}: {error.strerror}.")
        return arguments


def write_report(arguments: argparse.Namespace, measurements: Sequence[Any]) -> None:
    """Writes the JSON file."""
    settings = {name: v for name, v in vars(arguments).items() if name not in ("output", "check")}
    report = {
        "settings": settings,
        "environment": environment(),
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def environment() -> dict[str, str]:
    """What the numbers depend on beside the settings."""
    return {
        "ptu_seq": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
    }


def timings(calls: Sequence[Callable[[], None]], repeats: int, warmup: int) -> list[Timing]:
    """Times the calls in turn, round after round; ratios are to the first call."""
    rounds = [[_milliseconds(call) for call in calls] for _ in range(warmup + repeats)][warmup:]
    return [
        Timing(
            milliseconds=statistics.median(times),
            ratio=statistics.median(
                time_ / of_round[0] for time_, of_round in zip(times, rounds, strict=True)
            ),
            rounds=list(times),
        )
        for times in zip(*rounds, strict=True)
    ]


def kept_bytes(layer: nn.Module, forward: Callable[[], Any]) -> int:
    """Bytes that a forward pass keeps for the backward one, besides the weights.

    Tensors that share their memory are counted once, and the input counts where it is kept.

    Args:
        layer: a module.
        forward: has it read something.
    """
    weights = {weight.untyped_storage().data_ptr() for weight in layer.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}  # Holding them keeps addresses from being reused.

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage
        return tensor

    layer.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(storage.nbytes() for address, storage in kept.items() if address not in weights)


def count_parameters(layer: nn.Module, *, trained: bool) -> int:
    """How many numbers the layer trains, or holds frozen."""
    return sum(p.numel() for p in layer.parameters() if p.requires_grad == trained)


def peak_bytes(call: Callable[[], None]) -> int:
    """Bytes that torch holds at most during a call, beyond those that it holds before.

    What a library allocates by itself, such as oneDNN's scratch space, is not seen.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        call()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "trace.json")
        record.export_chrome_trace(str(file))
        events = json.loads(file.read_text(encoding="utf-8"))["traceEvents"]
    changes = [event for event in events if event["name"] == "[memory]"]
    changes.sort(key=lambda event: event["args"]["Ev Idx"])
    return max(itertools.accumulate(event["args"]["Bytes"] for event in changes), default=0)


def _milliseconds(call: Callable[[], None]) -> float:
    _wait_for_gpu()
    start = time.perf_counter()
    call()
    _wait_for_gpu()
    return (time.perf_counter() - start) * 1000


def _wait_for_gpu() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
