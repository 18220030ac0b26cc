"""Times a training step of networks with units beside plain fine-tuning of the same network.

What is measured, on random images of 28 x 28 pixels or random texts of 24 tokens:

- training: a whole step of AdamW: clearing the gradients, forward, backward, the optimiser;
- memory: what a step needs: all weights, the trained ones' gradients, AdamW's two moments for each,
  and what the forward pass keeps for the backward one.

The two networks run in turn in one process, a step each, for so many rounds: read the ratios, each
the median over rounds of the one's time divided by the other's in the same round. With --check the
ratios are held against those of an earlier report of the same settings: one that is more than 15
percent larger ends the process with exit code 1.

    python scripts/benchmark_attached.py
    python scripts/benchmark_attached.py --networks lenet bert --output attached.json
    python scripts/benchmark_attached.py --check attached.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from benchmark_check import Check
from benchmark_rounds import (
    MIB,
    BenchmarkParser,
    Timing,
    count_parameters,
    kept_bytes,
    timings,
    write_report,
)
from torch import Tensor, nn

from ptu_seq.images.networks import NetworkShape, new_network
from ptu_seq.models import (
    EncoderConfig,
    EncoderForSequenceClassification,
    PTUEncoderForSequenceClassification,
    PTUForImageClassification,
)

LABELS = {0: "cold", 1: "mild", 2: "hot"}
IMAGES = ("lenet", "vgg", "resnet", "mobilenet_v1")
#: As large as MiniLM.
BERT = {
    "model_type": "bert",
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}

CHECK = Check(rows=("network", "units"), settings=("batch", "threads"))


@dataclass(frozen=True)
class Measurement:
    """A row of the table."""

    network: str
    units: bool
    training_step: Timing
    memory_bytes: int
    memory_ratio: float
    trained_parameters: int
    frozen_parameters: int


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what the flags ask for, prints the table and writes the JSON file."""
    arguments = parse(argv)
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    print(
        f"batch {arguments.batch}, threads {arguments.threads}, medians of {arguments.repeats} "
        f"rounds, torch {torch.__version__}"
    )
    print(HEADER, flush=True)
    measurements: list[Measurement] = []
    for name in arguments.networks:
        pair = measure(name, arguments.batch, arguments.repeats, arguments.warmup)
        print(*map(row, pair), sep="\n", flush=True)
        measurements += pair
        if arguments.output is not None:  # after every network: an interrupted run keeps them
            write_report(arguments, measurements)
    CHECK.end(arguments, measurements)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags; a wrong one ends the process with exit code 2 and one sentence."""
    parser = BenchmarkParser(__doc__ or "")
    names = [*IMAGES, "bert"]
    parser.add("--networks", names, "which networks", nargs="+", choices=names)
    parser.add("--batch", 32, "examples in a batch", **parser.numbers)
    CHECK.add_flag(parser)
    arguments = parser.read(argv)
    CHECK.read(parser, arguments)
    return arguments


def measure(name: str, batch: int, repeats: int, warmup: int) -> list[Measurement]:
    """A measurement of fine-tuning, and one of the same network with units."""
    source, inputs = networks(name, batch)
    twin: Any = PTUEncoderForSequenceClassification if name == "bert" else PTUForImageClassification
    pair = [source, twin.from_source(source, id2label=LABELS)]
    memory = [memory_bytes(network, inputs) for network in pair]
    steps = timings([training_step(network, inputs) for network in pair], repeats, warmup)
    return [
        Measurement(
            name,
            units=network is not source,
            training_step=step,
            memory_bytes=needed,
            memory_ratio=needed / memory[0],
            trained_parameters=count_parameters(network, trained=True),
            frozen_parameters=count_parameters(network, trained=False),
        )
        for network, step, needed in zip(pair, steps, memory, strict=True)
    ]


def networks(name: str, batch: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network and a batch for it."""
    labels = torch.arange(batch) % len(LABELS)
    if name == "bert":
        config = EncoderConfig(encoder=BERT, id2label=LABELS)
        ids = torch.randint(1, 30000, (batch, 24))
        return EncoderForSequenceClassification(config), {"input_ids": ids, "labels": labels}
    network = new_network(NetworkShape(name, 16, 28, 1, dropout=0.2), LABELS)
    return network, {"pixel_values": torch.randn(batch, 1, 28, 28), "labels": labels}


def training_step(network: nn.Module, inputs: dict[str, Tensor]) -> Callable[[], None]:
    """A step of AdamW, as a call."""
    network.train()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)

    def run() -> None:
        optimizer.zero_grad()
        network(**inputs).loss.backward()
        optimizer.step()

    return run


def memory_bytes(network: nn.Module, inputs: dict[str, Tensor]) -> int:
    """Bytes of weights, gradients and moments, and of what a forward pass keeps."""
    parameters = sum(
        p.numel() * p.element_size() * (4 if p.requires_grad else 1) for p in network.parameters()
    )
    return kept_bytes(network, lambda: network(**inputs)) + parameters


HEADER = f"{'network':<14} {'':<10} {'training':>10} {'ratio':>6}  {'memory':>10} {'ratio':>6}"


def row(measured: Measurement) -> str:
    """A line under `HEADER`."""
    step = measured.training_step
    return (
        f"{measured.network:<14} {'with units' if measured.units else 'fine-tuned':<10} "
        f"{step.milliseconds:>7.1f} ms {step.ratio:>6.2f}  "
        f"{measured.memory_bytes / MIB:>6.1f} MiB {measured.memory_ratio:>6.2f}"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
