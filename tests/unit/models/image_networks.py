"""Small image classifiers of every kind, for tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MobileNetV1Config,
    MobileNetV1ForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
)

from ptu_seq.models import (
    CNNConfig,
    CNNForImageClassification,
    PTUForImageClassification,
)

#: Both sides of a comparison run in the same one: torch's kernels round differently.
GRAD_MODES = (torch.enable_grad, torch.no_grad)
LABELS = {0: "cat", 1: "dog", 2: "eel"}
OTHER = {0: "fox", 1: "gnu", 2: "hen", 3: "ibis"}
SIZE = 32

SITES = {
    "lenet": ["trunk.conv1", "trunk.conv2", "trunk.dense"],
    "vgg": ["trunk.block1", "trunk.block2", "trunk.block3", "trunk.pool"],
    "resnet": ["resnet.embedder", "resnet.encoder.stages.0", "resnet.encoder.stages.1"],
    "mobilenet_v1": [f"mobilenet_v1.layer.{i}" for i in (1, 5, 9, 21, 25)],
}
#: Fields of a target that is wider than its source.
WIDER: dict[str, dict[str, Any]] = {
    "lenet": {"width": 4},
    "vgg": {"width": 4},
    "resnet": {"embedding_size": 5, "hidden_sizes": [6, 7]},
    "mobilenet_v1": {"min_depth": 5},
}
#: Fields of a network that drops nothing.
AWAKE: dict[str, dict[str, Any]] = {
    "lenet": {"dropout": 0.0},
    "vgg": {"dropout": 0.0},
    "resnet": {},
    "mobilenet_v1": {"classifier_dropout_prob": 0.0},
}


def build(kind: str, id2label: dict[int, str] = LABELS, **fields: Any) -> PreTrainedModel:
    labels: dict[str, Any] = {
        "id2label": id2label,
        "label2id": {label: i for i, label in id2label.items()},
    }
    tiny: dict[str, Any]
    if kind == "resnet":
        tiny = {"num_channels": 1, "embedding_size": 4, "hidden_sizes": [4, 6], "depths": [1, 1]}
        return ResNetForImageClassification(
            ResNetConfig(**tiny | fields, layer_type="basic", **labels)
        )
    if kind == "mobilenet_v1":
        tiny = {"num_channels": 1, "image_size": SIZE, "depth_multiplier": 0.01, "min_depth": 4}
        return MobileNetV1ForImageClassification(
            MobileNetV1Config(**tiny | {"classifier_dropout_prob": 0.5} | fields, **labels)
        )
    tiny = {"architecture": kind, "image_size": SIZE, "width": 3, "dropout": 0.5}
    return CNNForImageClassification(CNNConfig(**tiny | fields, **labels))


def make_source(kind: str, id2label: dict[int, str] = LABELS, **fields: Any) -> PreTrainedModel:
    """A "trained" network, with statistics of its own in its batch norms.

    It leaves the random numbers of the test as they are.
    """
    with torch.random.fork_rng():
        torch.manual_seed(7)
        network = build(kind, id2label, **fields)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.2)  # type: ignore[arg-type]
                nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return network.eval()


def plain_target(model: PTUForImageClassification) -> PreTrainedModel:
    """The target network by itself."""
    network = type(model.target)(model.config.target_config)
    weights = model.target.state_dict()
    network.load_state_dict({n: w for n, w in weights.items() if not n.startswith("ptu.")})
    return network.eval()


def train(model: PTUForImageClassification, pixels: Tensor, steps: int = 3) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    labels = torch.tensor([0, 1, 2, 1])
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model(pixels, labels=labels).loss.backward()
        assert all(p.grad is None for p in model.source.parameters())
        optimizer.step()
