"""Small networks of every kind, each as trunk and head, with the sites that its trunk ends in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

LABELS = {0: "first", 1: "second", 2: "third"}


class Network(NamedTuple):
    """How a kind of network is built, and what the tests need to know of it.

    Attributes:
        build: makes one; what it takes is the width of the trunk.
        sites: patterns; the last site that is reached is all that the head reads.
        head: the name of the head.
        batch: makes arguments for so many examples.
    """

    build: Callable[[int], nn.Module]
    sites: list[str]
    head: str
    batch: Callable[[int], dict[str, Any]]


class Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(5, width), nn.Tanh(), nn.Dropout(0.5), nn.Linear(width, width)
        )
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


class Images(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, width, 3),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, width, 2),
        )
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x).mean(dim=(2, 3)))


class Signals(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = nn.Conv1d(2, width, 3)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x).amax(dim=2))


class Sentences(nn.Module):
    """Embedding and LSTM; the LSTM returns a tuple, its output sequence first."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, width)
        self.rnn = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embedding(x))[0].mean(dim=1))


class Block(nn.Module):
    """Returns a dict, as blocks of transformers' models may."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"hidden": self.linear(x), "input": x}


class Shared(nn.Module):
    """Runs one block several times."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.repeats = 3
        self.enter = nn.Linear(5, width)
        self.block = Block(width)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for _ in range(self.repeats):
            x = torch.tanh(self.block(x)["hidden"])
        return self.head(x)


def bert(width: int) -> nn.Module:
    config = BertConfig(
        vocab_size=11,
        hidden_size=width,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=16,
        id2label=LABELS,
    )
    return BertForSequenceClassification(config)


def resnet(width: int) -> nn.Module:
    config = ResNetConfig(
        num_channels=1,
        embedding_size=width,
        hidden_sizes=[width, width],
        depths=[1, 1],
        layer_type="basic",
        id2label=LABELS,
    )
    return ResNetForImageClassification(config)


def _tokens(count: int) -> Tensor:
    return torch.randint(11, (count, 6))


NETWORKS: dict[str, Network] = {
    "perceptron": Network(
        Perceptron, ["trunk.0", "trunk.3"], "head", lambda n: {"x": torch.randn(n, 5)}
    ),
    "images": Network(
        Images, ["trunk.0", "trunk.4"], "head", lambda n: {"x": torch.randn(n, 1, 9, 9)}
    ),
    "signals": Network(Signals, ["trunk"], "head", lambda n: {"x": torch.randn(n, 2, 7)}),
    "sentences": Network(Sentences, ["embedding", "rnn"], "head", lambda n: {"x": _tokens(n)}),
    "shared": Network(Shared, ["block"], "head", lambda n: {"x": torch.randn(n, 5)}),
    "bert": Network(
        bert,
        ["bert.embeddings", "bert.encoder.layer.*", "bert.pooler"],
        "classifier",
        lambda n: {"input_ids": _tokens(n), "labels": torch.arange(n) % 3},
    ),
    "resnet": Network(
        resnet,
        ["resnet.embedder", "resnet.encoder.stages.*", "resnet.pooler"],
        "classifier",
        lambda n: {"pixel_values": torch.randn(n, 1, 16, 16), "labels": torch.arange(n) % 3},
    ),
}


def logits(network: nn.Module, batch: dict[str, Any]) -> Tensor:
    output = network(**batch)
    return output if isinstance(output, Tensor) else output.logits


def loss(network: nn.Module, batch: dict[str, Any]) -> Tensor:
    output = network(**batch)
    return output.square().mean() if isinstance(output, Tensor) else output.loss


def perturb(module: nn.Module) -> None:
    """Random values for all weights, so that no gate is at its start."""
    with torch.no_grad():
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.5)
