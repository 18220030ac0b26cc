"""Times PTULSTM and PTUGRU, at levels "layer" and "step", beside torch.nn.LSTM and GRU.

What is measured, for one unidirectional layer whose input and hidden size are equal:

- forward: an inference pass, in eval mode and without gradients;
- training: a whole training step but for the optimiser: clearing the gradients, the forward pass,
  and the backward pass down to the weights and to the input, as inside a larger network;
- saved: what that forward pass keeps in memory for the backward one, the weights not counted;
- trained, frozen: the numbers of weights, in thousands; the frozen ones are the source's.

The contenders of one size run in turn in one process, a call each, for so many rounds. A machine
that is busy with other work thus slows all of them alike: read the ratios first. A ratio is the
median over the rounds of a layer's time divided by that of torch.nn's layer in the same round. A
time is the median over the rounds; dividing two times need not give exactly the ratio.

What to expect. The source's forward pass and the unit come on top of the target's own work. By its
matrix products alone, a training step at level "layer" costs 44/24 = 1.83 times that of an LSTM
and 36/18 = 2 times that of a GRU. Sigmoids and interpolations add a little to that; on a CPU,
torch's GRU is further from the speed of its products, which makes the ratio smaller. Level "step"
leaves the fused kernels for a loop over time.

    python scripts/benchmark_layers.py
    python scripts/benchmark_layers.py --kinds lstm --levels layer --sizes 256 --output layers.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ptu_seq import PTUGRU, PTULSTM, __version__
from ptu_seq.cli import Parser
from ptu_seq.nn.gated import Level

MIB = 2**20
KINDS: dict[str, tuple[type[nn.LSTM | nn.GRU], type[PTULSTM | PTUGRU]]] = {
    "lstm": (nn.LSTM, PTULSTM),
    "gru": (nn.GRU, PTUGRU),
}
LEVELS = ("layer", "step")


class Contender(NamedTuple):
    """A layer and what the table calls it; the first contender of a size is the yardstick."""

    name: str
    layer: nn.Module


@dataclass(frozen=True)
class Timing:
    """Times of one operation, a value a round, and their ratio to the yardstick's."""

    milliseconds: float
    ratio: float
    rounds: list[float]


@dataclass(frozen=True)
class Measurement:
    """A row of the table."""

    layer: str
    size: int
    forward: Timing
    training_step: Timing
    saved_bytes: int
    trained_parameters: int
    frozen_parameters: int


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what the flags ask for, prints the table and writes the JSON file."""
    arguments = parse(argv)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(
        f"batch {arguments.batch}, length {arguments.length}, threads {arguments.threads}, "
        f"medians of {arguments.repeats} rounds, torch {torch.__version__}"
    )
    print(HEADER, flush=True)
    measurements: list[Measurement] = []
    for kind in arguments.kinds:
        for size in arguments.sizes:
            x = torch.randn(arguments.length, arguments.batch, size)
            of_size = measure(
                contenders(kind, size, arguments.levels), x, arguments.repeats, arguments.warmup
            )
            print(*map(row, of_size), sep="\n", flush=True)
            measurements += of_size
            if arguments.output is not None:  # After every size: an interrupted run keeps them.
                write_report(arguments, measurements)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags; a wrong one ends the process with exit code 2 and one sentence."""
    parser = BenchmarkParser(__doc__ or "")
    add, numbers = parser.add, parser.numbers
    add("--kinds", list(KINDS), "which layers", nargs="+", choices=KINDS)
    add("--levels", list(LEVELS), "where units act", nargs="+", choices=LEVELS)
    add("--sizes", [128, 256, 512], "input and hidden sizes", nargs="+", **numbers)
    add("--batch", 32, "sequences in a batch", **numbers)
    add("--length", 40, "time steps", **numbers)
    return parser.read(argv)


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
    report = {
        "settings": {name: value for name, value in vars(arguments).items() if name != "output"},
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


def contenders(kind: str, size: int, levels: Sequence[Level]) -> list[Contender]:
    """torch.nn's layer of this kind, and layers with units around it as their source."""
    plain, twin = KINDS[kind]
    source = plain(size, size)
    layers = [
        Contender(f"{twin.__name__} {level}", twin.from_source(source, level=level))
        for level in levels
    ]
    return [Contender(f"torch.nn.{plain.__name__}", source), *layers]


def measure(
    contestants: Sequence[Contender], x: Tensor, repeats: int, warmup: int
) -> list[Measurement]:
    """A measurement of every contender on the input `x`, `(time, batch, size)`."""
    layers = [layer for _, layer in contestants]
    forward = timings([inference(layer.eval(), x) for layer in layers], repeats, warmup)
    steps = timings([training_step(layer.train(), x) for layer in layers], repeats, warmup)
    return [
        Measurement(
            contender.name,
            x.shape[-1],
            forward=forward_timing,
            training_step=step_timing,
            saved_bytes=saved_bytes(contender.layer, x),
            trained_parameters=count_parameters(contender.layer, trained=True),
            frozen_parameters=count_parameters(contender.layer, trained=False),
        )
        for contender, forward_timing, step_timing in zip(contestants, forward, steps, strict=True)
    ]


def inference(layer: nn.Module, x: Tensor) -> Callable[[], None]:
    """A forward pass without gradients, as a call."""

    def run() -> None:
        with torch.no_grad():
            layer(x)

    return run


def training_step(layer: nn.Module, x: Tensor) -> Callable[[], None]:
    """Forward and backward pass, as a call."""
    x = x.detach().clone().requires_grad_()
    with torch.no_grad():
        output_gradient = torch.randn_like(layer(x)[0])

    def run() -> None:
        layer.zero_grad()
        x.grad = None
        layer(x)[0].backward(output_gradient)

    return run


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


def saved_bytes(layer: nn.Module, x: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward one, besides the weights."""
    x = x.detach().clone().requires_grad_()
    return kept_bytes(layer, lambda: layer(x))


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


HEADER = (
    f"{'layer':<14} {'size':>4}  {'forward':>10} {'ratio':>6}  {'training':>10} {'ratio':>6}  "
    f"{'saved':>10}  {'trained':>8} {'frozen':>8}"
)


def row(measured: Measurement) -> str:
    """A line under `HEADER`."""
    forward, step = measured.forward, measured.training_step
    return (
        f"{measured.layer:<14} {measured.size:>4}  "
        f"{forward.milliseconds:>7.1f} ms {forward.ratio:>6.2f}  "
        f"{step.milliseconds:>7.1f} ms {step.ratio:>6.2f}  "
        f"{measured.saved_bytes / MIB:>6.1f} MiB  "
        f"{measured.trained_parameters / 1000:>7.0f}k {measured.frozen_parameters / 1000:>7.0f}k"
    )


def _milliseconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
