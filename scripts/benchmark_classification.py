"""Times a training step of classifiers with units beside plain fine-tuning and torch.nn alone.

What is measured is one step as the recipe sentence_classification does it, with the first setting
of each method: the batch is made of its examples, then come the forward pass, the loss, the
backward pass, clipping and AdamW. The texts are random tokens, as long as film reviews of IMDB cut
to a limit: of 254 tokens in the median, spread log-normally.

- fine_tune: a copy of the source, trained in all its layers; all ratios are to it;
- torch.nn: Embedding, LSTM, maximum over time and Linear in ten lines, the same size and optimiser;
- ptu: with units at level "layer" or "step" beside the frozen source, which is run in the step;
- ptu, lent: the same with the source's activations computed beforehand, which is how the recipe
  trains: the step puts them into the batch;
- memory: weights, AdamW's two moments for each trained one, and the most that torch holds beside
  these during a step: gradients, what the forward pass keeps and what the backward pass works with.

Two sizes: `quick`, that of the recipe's quick preset, and `larger`. The contenders of one size run
in turn in one process, a step each, for so many rounds: read the ratios, each the median over
rounds of a time divided by fine-tuning's in the same round. With --check the ratios are held
against those of an earlier report of the same settings: one that is more than 15 percent larger
ends the process with exit code 1.

    python scripts/benchmark_classification.py
    python scripts/benchmark_classification.py --shapes quick --threads 2 --output two_threads.json
    python scripts/benchmark_classification.py --check scripts/benchmark_classification.json
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple, get_args

import datasets
import torch
from benchmark_check import Check
from benchmark_rounds import (
    MIB,
    BenchmarkParser,
    Timing,
    count_parameters,
    peak_bytes,
    timings,
    write_report,
)
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from ptu_seq.activation_table import WithActivations, compute_table
from ptu_seq.batches import Examples, Row, pad
from ptu_seq.methods import Task, get_method
from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from ptu_seq.nn.gated import Level
from ptu_seq.trainer_setup import make_optimizer

LABELS = {0: "negative", 1: "positive"}
#: Token ids from here on are words.
FIRST_WORD = 4
#: Logarithms of the lengths of IMDB's reviews in tokens of a vocabulary of 8,000 pieces.
LENGTHS = NormalDist(mu=5.54, sigma=0.66)
CLIPPING = 1.0


class Shape(NamedTuple):
    """The networks' size, and where texts are cut."""

    vocab_size: int
    embedding_size: int
    hidden_size: int
    length: int


SHAPES = {"quick": Shape(8000, 64, 64, 256), "larger": Shape(8000, 256, 256, 128)}
CHECK = Check(rows=("network", "shape"), settings=("batch", "threads"))


class Contender(NamedTuple):
    """A network, what the table calls it, its loss of a batch, its optimiser and its examples.

    The first contender is the yardstick.
    """

    name: str
    network: nn.Module
    loss: Callable[[Mapping[str, Tensor]], Tensor]
    optimizer: torch.optim.Optimizer
    examples: Dataset[Row]


@dataclass(frozen=True)
class Measurement:
    """A row of the table."""

    network: str
    shape: str
    training_step: Timing
    memory_bytes: int
    memory_ratio: float
    trained_parameters: int
    frozen_parameters: int


class TorchClassifier(nn.Module):
    """A classifier as torch.nn has its parts, with nothing of this project.

    Args:
        config: sizes and dropout.
    """

    def __init__(self, config: RNNConfig) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size, padding_idx=0)
        self.rnn = nn.LSTM(config.embedding_size, config.hidden_size, batch_first=True)
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.classifier = nn.Linear(config.hidden_size, len(LABELS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The logits."""
        hidden, _ = self.rnn(self.dropout(self.embedding(input_ids)))
        padding = attention_mask.unsqueeze(-1) == 0
        return self.classifier(self.dropout(hidden.masked_fill(padding, -1e9).max(1).values))


def main(argv: Sequence[str] | None = None) -> None:
    """Measures what the flags ask for, prints the table and writes the JSON file."""
    arguments = parse(argv)
    torch.set_num_threads(arguments.threads)
    print(
        f"batch {arguments.batch}, threads {arguments.threads}, medians of {arguments.repeats} "
        f"rounds, torch {torch.__version__}"
    )
    print(HEADER, flush=True)
    measurements: list[Measurement] = []
    for name in arguments.shapes:
        torch.manual_seed(0)
        of_shape = measure(name, arguments.batch, arguments.repeats, arguments.warmup)
        print(*map(row, of_shape), sep="\n", flush=True)
        measurements += of_shape
        if arguments.output is not None:  # after every shape: an interrupted run keeps them
            write_report(arguments, measurements)
    CHECK.end(arguments, measurements)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags; a wrong one ends the process with exit code 2 and one sentence."""
    parser = BenchmarkParser(__doc__ or "")
    parser.add("--shapes", list(SHAPES), "which sizes", nargs="+", choices=SHAPES)
    parser.add("--batch", 32, "texts in a batch", **parser.numbers)
    CHECK.add_flag(parser)
    arguments = parser.read(argv)
    CHECK.read(parser, arguments)
    return arguments


def measure(shape: str, batch: int, repeats: int, warmup: int) -> list[Measurement]:
    """A measurement of every contender of a size."""
    found = contenders(SHAPES[shape], batch)
    steps = timings([training_step(contender) for contender in found], repeats, warmup)
    memory = [memory_bytes(contender) for contender in found]
    return [
        Measurement(
            contender.name,
            shape,
            training_step=step,
            memory_bytes=needed,
            memory_ratio=needed / memory[0],
            trained_parameters=count_parameters(contender.network, trained=True),
            frozen_parameters=count_parameters(contender.network, trained=False),
        )
        for contender, step, needed in zip(found, steps, memory, strict=True)
    ]


def contenders(shape: Shape, batch: int) -> list[Contender]:
    """What is trained on the same batch: fine-tuning, torch.nn alone, and what has units."""
    examples = texts(shape, batch)
    config = RNNConfig(
        vocab_size=shape.vocab_size,
        embedding_size=shape.embedding_size,
        hidden_size=shape.hidden_size,
        id2label=LABELS,
    )
    source = RNNForSequenceClassification(config)
    found = [by_method("fine_tune", "fine_tune", source, examples, {}), plain(config, examples)]
    for level in get_args(Level):
        options = {"level": level}
        found.append(by_method(f"ptu {level}", "ptu", source, examples, options))
        found.append(lent(by_method(f"ptu {level}, lent", "ptu", source, examples, options)))
    return found


def texts(shape: Shape, batch: int) -> Examples:
    """Random texts, whose lengths are evenly spaced quantiles of IMDB's."""
    quantiles = [(i + 0.5) / batch for i in range(batch)]
    lengths = [min(shape.length, round(math.exp(LENGTHS.inv_cdf(q)))) for q in quantiles]
    ids = [torch.randint(FIRST_WORD, shape.vocab_size, (n,)).tolist() for n in lengths]
    return Examples(
        datasets.Dataset.from_dict(
            {
                "input_ids": ids,
                "attention_mask": [[1] * n for n in lengths],
                "labels": [i % len(LABELS) for i in range(batch)],
            }
        )
    )


def plain(config: RNNConfig, examples: Examples) -> Contender:
    """The network that has nothing of this project."""
    network = TorchClassifier(config).train()

    def loss(batch: Mapping[str, Tensor]) -> Tensor:
        logits = network(batch["input_ids"], batch["attention_mask"])
        return F.cross_entropy(logits, batch["labels"])

    optimizer = make_optimizer([{"params": list(network.parameters()), "lr": 1e-3}], 0.0)
    return Contender("torch.nn", network, loss, optimizer, examples)


def by_method(
    name: str,
    method: str,
    source: RNNForSequenceClassification,
    examples: Examples,
    unit_options: Mapping[str, Any],
) -> Contender:
    """What a method trains, with its first setting."""
    found = get_method(method)
    setting = found.grid[0]
    network: Any = found.build(source, Task(LABELS, unit_options), setting).train()
    optimizer = make_optimizer(found.parameter_groups(network, setting), 0.0)
    return Contender(name, network, lambda batch: network(**batch).loss, optimizer, examples)


def lent(contender: Contender) -> Contender:
    """The same with the frozen source's activations beside the examples."""
    assert isinstance(contender.network, PreTrainedModel)
    assert isinstance(contender.examples, Examples)
    lender = get_method("ptu").lender(contender.network)
    assert lender is not None
    table = compute_table(lender, contender.examples.rows)
    return contender._replace(examples=WithActivations(contender.examples, table))


def training_step(contender: Contender) -> Callable[[], None]:
    """A step on all the examples, from these to the trained weights, as a call."""
    optimizer, examples = contender.optimizer, contender.examples
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    count = len(examples)  # type: ignore[arg-type]

    def run() -> None:
        batch = pad([examples[i] for i in range(count)], pad_token_id=0)
        contender.loss(batch).backward()
        nn.utils.clip_grad_norm_(trained, CLIPPING)
        optimizer.step()
        optimizer.zero_grad()

    return run


def memory_bytes(contender: Contender) -> int:
    """Bytes of weights and moments, and the most that a step needs beside them."""
    run = training_step(contender)
    run()  # the first step makes the moments
    weights = sum(
        p.numel() * p.element_size() * (3 if p.requires_grad else 1)
        for p in contender.network.parameters()
    )
    return weights + peak_bytes(run)


HEADER = (
    f"{'network':<16} {'shape':<7} {'training':>10} {'ratio':>6}  {'memory':>10} {'ratio':>6}  "
    f"{'trained':>8} {'frozen':>8}"
)


def row(measured: Measurement) -> str:
    """A line under `HEADER`."""
    step = measured.training_step
    return (
        f"{measured.network:<16} {measured.shape:<7} "
        f"{step.milliseconds:>7.1f} ms {step.ratio:>6.2f}  "
        f"{measured.memory_bytes / MIB:>6.1f} MiB {measured.memory_ratio:>6.2f}  "
        f"{measured.trained_parameters / 1000:>7.0f}k {measured.frozen_parameters / 1000:>7.0f}k"
    )


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
