"""Plots what a training step costs against sequence length, hidden size and batch.

Each of the three varies in a panel of its own while the others stay as the flags say: torch.nn's
layer and the layers with units, as scripts/benchmark_layers.py makes and times them, in turn and in
one process. Length and batch have linear axes, on which a cost in proportion is a line; the hidden
size has logarithmic ones, as products grow with its square.

    python scripts/benchmark_scaling.py --figure scaling.png --output scaling.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch
from benchmark_layers import KINDS, contenders, training_step
from benchmark_rounds import BenchmarkParser, Timing, timings, write_report
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ptu_seq.nn.gated import Level

#: What is varied, what a panel calls it, and the flag of its values.
VARIED = {"length": "time steps", "size": "hidden size", "batch": "sequences in a batch"}
VALUES = {"length": "lengths", "size": "sizes", "batch": "batches"}


@dataclass(frozen=True)
class Measurement:
    """A point of a line."""

    varied: str
    value: int
    layer: str
    training_step: Timing


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what the flags ask for, prints the numbers, draws them and writes the JSON file."""
    arguments = parse(argv)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(
        f"training step, threads {arguments.threads}, medians of {arguments.repeats} rounds, "
        f"torch {torch.__version__}"
    )
    measurements: list[Measurement] = []
    for varied, flag in VALUES.items():
        for value in getattr(arguments, flag):
            found = measure(arguments, varied, value)
            for point in found:
                time, ratio = point.training_step.milliseconds, point.training_step.ratio
                print(f"{varied:<7} {value:>5}  {point.layer:<15} {time:>8.1f} ms {ratio:>5.2f}")
            measurements += found
            if arguments.output is not None:  # after every value: an interrupted run keeps them
                write_report(arguments, measurements)
    draw(measurements).savefig(arguments.figure, dpi=150)
    print(f"Figure: {arguments.figure}")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags; a wrong one ends the process with exit code 2 and one sentence."""
    parser = BenchmarkParser(__doc__ or "")
    add, numbers = parser.add, parser.numbers
    add("--kind", "lstm", "which layers", choices=KINDS)
    add("--lengths", [10, 20, 40, 80, 160], "time steps that are tried", nargs="+", **numbers)
    add("--sizes", [64, 128, 256, 512], "sizes that are tried", nargs="+", **numbers)
    add("--batches", [8, 16, 32, 64], "batches that are tried", nargs="+", **numbers)
    add("--length", 40, "time steps elsewhere", **numbers)
    add("--size", 256, "input and hidden size elsewhere", **numbers)
    add("--batch", 32, "sequences in a batch elsewhere", **numbers)
    add("--figure", "scaling.png", "the figure, a .png file", metavar="FILE")
    arguments = parser.read(argv)
    figure = Path(arguments.figure)
    if figure.suffix != ".png" or not figure.parent.is_dir():
        parser.error(f"--figure: {figure} is no .png file in a folder that exists.")
    return arguments


def measure(arguments: argparse.Namespace, varied: str, value: int) -> list[Measurement]:
    """A measurement of torch's layer and of those with units, where one number is another."""
    shape = {**{name: getattr(arguments, name) for name in VARIED}, varied: value}
    x = torch.randn(shape["length"], shape["batch"], shape["size"])
    found = [
        c for c in contenders(arguments.kind, get_args(Level), x) if not c.name.endswith(" loop")
    ]
    times = timings([training_step(c, x) for c in found], arguments.repeats, arguments.warmup)
    return [
        Measurement(varied, value, contender.name, timing)
        for contender, timing in zip(found, times, strict=True)
    ]


def draw(measurements: Sequence[Measurement]) -> Figure:
    """A panel for each number that is varied, a line for each layer."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(1, len(VARIED))
    for axis, (varied, name) in zip(axes, VARIED.items(), strict=True):
        points = [m for m in measurements if m.varied == varied]
        for layer in dict.fromkeys(m.layer for m in points):
            own = [m for m in points if m.layer == layer]
            values = [m.value for m in own]
            axis.plot(values, [m.training_step.milliseconds for m in own], "o-", label=layer)
        axis.set_xlabel(name)
        axis.set_ylabel("training step, ms")
        if varied == "size":
            axis.set(xscale="log", yscale="log")
        else:
            axis.set(xlim=(0, None), ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].legend()
    return figure


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
