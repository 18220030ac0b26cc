"""Times PTULSTM and PTUGRU, at levels "layer" and "step", beside torch.nn.LSTM and GRU.

What is measured, for one unidirectional layer whose input and hidden size are equal:

- forward: an inference pass, in eval mode and without gradients;
- training: a whole training step but for the optimiser: clearing the gradients, the forward pass,
  and the backward pass down to the weights and to the input, as inside a larger network;
- saved: what that forward pass keeps in memory for the backward one, the weights not counted;
- peak: what torch holds at most during a training step beyond weights and input: what is saved,
  gradients and what the backward pass works with;
- trained, frozen: the numbers of weights, in thousands; the frozen ones are the source's.

The contenders of one size run in turn in one process, a call each, for so many rounds. A machine
that is busy with other work thus slows all of them alike: read the ratios first. A ratio is the
median over the rounds of a layer's time divided by that of torch.nn's layer in the same round. A
time is the median over the rounds; dividing two times need not give exactly the ratio.

What to expect. The source's forward pass and the unit come on top of the target's own work. By its
matrix products alone, a training step at level "layer" costs 44/24 = 1.83 times that of an LSTM
and 36/18 = 2 times that of a GRU. Sigmoids and interpolations add a little to that; on a CPU,
torch's GRU is further from the speed of its products, which makes the ratio smaller. Level "step"
leaves the fused kernels for a loop over time, with a hand-derived backward pass; the rows with
"loop" are the plain one, the reference. GatedLSTM and GatedGRU are given the source's activations,
computed beforehand, as a model does that caches them: without the source's forward pass the
products are 1.5 times an LSTM's and 1.67 times a GRU's.

With --check the ratios are held against those of an earlier report of the same settings: one that
is more than 15 percent larger ends the process with exit code 1.

    python scripts/benchmark_layers.py
    python scripts/benchmark_layers.py --kinds lstm --levels layer --sizes 256 --output layers.json
    python scripts/benchmark_layers.py --sizes 256 --check scripts/benchmark_layers.json
    python scripts/benchmark_layers.py --device cuda --batch 64 --length 50 --sizes 512 1024
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from benchmark_check import Check
from benchmark_rounds import (
    MIB,
    BenchmarkParser,
    Timing,
    count_parameters,
    kept_bytes,
    peak_bytes,
    timings,
    write_report,
)
from torch import Tensor, nn

from ptu_seq import PTUGRU, PTULSTM
from ptu_seq.nn import GatedGRU, GatedLSTM, layer_outputs, recurrence_backend
from ptu_seq.nn.gated import Level
from ptu_seq.nn.recurrence import Backend

KINDS: dict[
    str, tuple[type[nn.LSTM | nn.GRU], type[PTULSTM | PTUGRU], type[GatedLSTM | GatedGRU]]
] = {
    "lstm": (nn.LSTM, PTULSTM, GatedLSTM),
    "gru": (nn.GRU, PTUGRU, GatedGRU),
}
LEVELS = ("layer", "step")
CHECK = Check(rows=("layer", "size"), settings=("batch", "length", "threads", "device"))


class Contender(NamedTuple):
    """A layer, what the table calls it, and how it reads `(time, batch, size)`.

    The first contender of a size is the yardstick.
    """

    name: str
    layer: nn.Module
    read: Callable[[Tensor], Any]


@dataclass(frozen=True)
class Measurement:
    """A row of the table."""

    layer: str
    size: int
    forward: Timing
    training_step: Timing
    saved_bytes: int
    peak_bytes: int
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
            with torch.device(arguments.device):
                x = torch.randn(arguments.length, arguments.batch, size)
                of_size = measure(
                    contenders(kind, arguments.levels, x), x, arguments.repeats, arguments.warmup
                )
            print(*map(row, of_size), sep="\n", flush=True)
            measurements += of_size
            if arguments.output is not None:  # After every size: an interrupted run keeps them.
                write_report(arguments, measurements)
    CHECK.end(arguments, measurements)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags; a wrong one ends the process with exit code 2 and one sentence."""
    parser = BenchmarkParser(__doc__ or "")
    add, numbers = parser.add, parser.numbers
    add("--kinds", list(KINDS), "which layers", nargs="+", choices=KINDS)
    add("--levels", list(LEVELS), "where units act", nargs="+", choices=LEVELS)
    add("--sizes", [128, 256, 512], "input and hidden sizes", nargs="+", **numbers)
    add("--batch", 32, "sequences in a batch", **numbers)
    add("--length", 40, "time steps", **numbers)
    add("--device", "cpu", "where layers run", choices=("cpu", "cuda"))
    CHECK.add_flag(parser)
    arguments = parser.read(argv)
    CHECK.read(parser, arguments)
    return arguments


def contenders(kind: str, levels: Sequence[Level], x: Tensor) -> list[Contender]:
    """torch.nn's layer of this kind, and layers with units around it as their source."""
    plain, twin, gated = KINDS[kind]
    size = x.shape[-1]
    source = plain(size, size)
    hidden, _ = layer_outputs(source, x)
    found = [Contender(f"torch.nn.{plain.__name__}", source, source)]
    for level in levels:
        owner = twin.from_source(source, level=level)
        cached = gated(size, size, source_hidden_size=size, level=level)
        found += [
            Contender(f"{twin.__name__} {level}", owner, using("fused", owner)),
            Contender(f"{gated.__name__} {level}", cached, using("fused", given(cached, hidden))),
        ]
        if level == "step":
            found.append(Contender(f"{twin.__name__} loop", owner, using("reference", owner)))
    return found


def given(layer: nn.Module, hidden: Sequence[Any]) -> Callable[[Tensor], Any]:
    """The layer with the source's activations at hand."""
    return lambda x: layer(x, hidden)


def using(backend: Backend, layer: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """The layer with one way to compute step-level recurrences, on any device."""

    def read(x: Tensor) -> Any:
        with recurrence_backend(backend):
            return layer(x)

    return read


def measure(
    contestants: Sequence[Contender], x: Tensor, repeats: int, warmup: int
) -> list[Measurement]:
    """A measurement of every contender on the input `x`, `(time, batch, size)`."""
    for contender in contestants:
        contender.layer.eval()
    forward = timings([inference(contender, x) for contender in contestants], repeats, warmup)
    for contender in contestants:
        contender.layer.train()
    steps = timings([training_step(contender, x) for contender in contestants], repeats, warmup)
    return [
        Measurement(
            contender.name,
            x.shape[-1],
            forward=forward_timing,
            training_step=step_timing,
            saved_bytes=saved_bytes(contender, x),
            peak_bytes=step_bytes(contender, x),
            trained_parameters=count_parameters(contender.layer, trained=True),
            frozen_parameters=count_parameters(contender.layer, trained=False),
        )
        for contender, forward_timing, step_timing in zip(contestants, forward, steps, strict=True)
    ]


def inference(contender: Contender, x: Tensor) -> Callable[[], None]:
    """A forward pass without gradients, as a call."""

    def run() -> None:
        with torch.no_grad():
            contender.read(x)

    return run


def training_step(contender: Contender, x: Tensor) -> Callable[[], None]:
    """Forward and backward pass, as a call."""
    x = x.detach().clone().requires_grad_()
    with torch.no_grad():
        output_gradient = torch.randn_like(contender.read(x)[0])

    def run() -> None:
        contender.layer.zero_grad()
        x.grad = None
        contender.read(x)[0].backward(output_gradient)

    return run


def saved_bytes(contender: Contender, x: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward one, besides the weights."""
    x = x.detach().clone().requires_grad_()
    return kept_bytes(contender.layer, lambda: contender.read(x))


def step_bytes(contender: Contender, x: Tensor) -> int:
    """Bytes that torch holds at most during a training step, the weights and input not counted."""
    contender.layer.zero_grad()
    return peak_bytes(training_step(contender, x))


HEADER = (
    f"{'layer':<15} {'size':>4}  {'forward':>10} {'ratio':>6}  {'training':>10} {'ratio':>6}  "
    f"{'saved':>10} {'peak':>9}  {'trained':>8} {'frozen':>8}"
)


def row(measured: Measurement) -> str:
    """A line under `HEADER`."""
    forward, step = measured.forward, measured.training_step
    return (
        f"{measured.layer:<15} {measured.size:>4}  "
        f"{forward.milliseconds:>7.1f} ms {forward.ratio:>6.2f}  "
        f"{step.milliseconds:>7.1f} ms {step.ratio:>6.2f}  "
        f"{measured.saved_bytes / MIB:>6.1f} MiB {measured.peak_bytes / MIB:>5.1f} MiB  "
        f"{measured.trained_parameters / 1000:>7.0f}k {measured.frozen_parameters / 1000:>7.0f}k"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
