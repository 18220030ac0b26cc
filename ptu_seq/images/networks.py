"""The image classifiers that the recipe can make: two of our own, two of transformers'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from transformers import (
    MobileNetV1Config,
    MobileNetV1ForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
)

from ptu_seq.errors import UserError, closest
from ptu_seq.models import CNNConfig, CNNForImageClassification


@dataclass(frozen=True)
class NetworkShape:
    """The shape of an image classifier.

    Args:
        architecture: a key of :data:`ARCHITECTURES`.
        width: channels of the first block; later ones have multiples of it.
        image_size: height and width that it reads.
        num_channels: 1 for grey images, 3 for colour.
        dropout: before the classifier, of our own networks.
    """

    architecture: str
    width: int
    image_size: int
    num_channels: int
    dropout: float


def new_network(shape: NetworkShape, id2label: dict[int, str]) -> PreTrainedModel:
    """A network with random weights.

    Args:
        shape: its shape.
        id2label: names of its classes.

    Raises:
        UserError: for an unknown architecture, or images too small for its poolings.
    """
    if shape.architecture not in ARCHITECTURES:
        raise UserError(
            f"--architecture is {shape.architecture!r}{closest(shape.architecture, ARCHITECTURES)};"
            f" accepted: {', '.join(ARCHITECTURES)}."
        )
    try:
        network = ARCHITECTURES[shape.architecture](shape, id2label)
    except ValueError as error:
        raise UserError(f"--architecture {shape.architecture}: {error}") from error
    return with_mean_loss(network)


def with_mean_loss(network: PreTrainedModel) -> PreTrainedModel:
    """Has Trainer divide the loss itself where a network's own is the mean over a part of a batch.

    transformers' networks accept, and ignore, the number of images that ours divide by.
    """
    if not isinstance(network, CNNForImageClassification):
        network.accepts_loss_kwargs = False  # type: ignore[assignment]
    return network


def _own(shape: NetworkShape, id2label: dict[int, str]) -> PreTrainedModel:
    config = CNNConfig(
        architecture=shape.architecture,  # type: ignore[arg-type]
        num_channels=shape.num_channels,
        image_size=shape.image_size,
        width=shape.width,
        dropout=shape.dropout,
        id2label=id2label,
    )
    return CNNForImageClassification(config)


def _resnet(shape: NetworkShape, id2label: dict[int, str]) -> PreTrainedModel:
    config = ResNetConfig(
        num_channels=shape.num_channels,
        embedding_size=shape.width,
        hidden_sizes=[shape.width, 2 * shape.width, 4 * shape.width],
        depths=[1, 1, 1],
        layer_type="basic",
        id2label=id2label,
        label2id={name: i for i, name in id2label.items()},
    )
    return ResNetForImageClassification(config)


def _mobilenet(shape: NetworkShape, id2label: dict[int, str]) -> PreTrainedModel:
    config = MobileNetV1Config(
        num_channels=shape.num_channels,
        image_size=shape.image_size,
        depth_multiplier=shape.width / _MOBILENET_WIDTH,
        classifier_dropout_prob=shape.dropout,
        id2label=id2label,
        label2id={name: i for i, name in id2label.items()},
    )
    return MobileNetV1ForImageClassification(config)


#: Channels of MobileNetV1's first block at a depth multiplier of 1.
_MOBILENET_WIDTH = 32

#: What makes each architecture.
ARCHITECTURES: dict[str, Callable[[NetworkShape, dict[int, str]], PreTrainedModel]] = {
    "lenet": _own,
    "vgg": _own,
    "resnet": _resnet,
    "mobilenet_v1": _mobilenet,
}
