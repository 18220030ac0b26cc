"""Configurations of the image classifiers, as transformers saves and loads them."""

from __future__ import annotations

from typing import Any, Literal, get_args

from ptu_seq.models.attached_config import AttachedConfig
from ptu_seq.models.config import LabelledConfig, check_choice

Architecture = Literal["lenet", "vgg"]

#: How often each architecture halves an image by pooling.
HALVINGS = {"lenet": 2, "vgg": 3}


class CNNConfig(LabelledConfig):
    """Shape of a :class:`~ptu_seq.models.CNNForImageClassification`.

    Args:
        architecture: "lenet" (two convolutions of 5x5 and a fully connected layer, after LeCun et
            al. 1998) or "vgg" (three blocks of two 3x3 convolutions with batch norm, after
            Simonyan & Zisserman 2015).
        num_channels: channels of an image: 1 for grey, 3 for colour.
        image_size: its height and width.
        width: channels of the first block; each later one has twice as many.
        dropout: probability that a feature is dropped before the classifier in training.
        **kwargs: `id2label`, `num_labels` and other arguments of transformers' PreTrainedConfig.

    Raises:
        ValueError: for an unknown architecture, a size below 1, images too small for the poolings,
            or a dropout that is no probability.
    """

    model_type = "ptu_seq_cnn"

    architecture: Architecture = "lenet"
    num_channels: int = 1
    image_size: int = 28
    width: int = 16
    dropout: float = 0.2

    def __post_init__(self, **kwargs: Any) -> None:
        check_choice("architecture", self.architecture, get_args(Architecture))
        for name in ("num_channels", "image_size", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"CNNConfig: {name} is {getattr(self, name)}; at least 1 needed.")
        if self.final_size < 1:
            halvings = HALVINGS[self.architecture]
            raise ValueError(
                f"CNNConfig: image_size is {self.image_size}; {self.architecture} halves images "
                f"{halvings} times, so they must be at least {2**halvings} wide."
            )
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"CNNConfig: dropout is {self.dropout}; it must be from 0 to 1.")
        super().__post_init__(**kwargs)

    @property
    def shape(self) -> dict[str, Any]:
        """The fields of this class, without those that all of transformers' models have."""
        return {name: getattr(self, name) for name in CNNConfig.__annotations__}

    @property
    def final_size(self) -> int:
        """Height and width of the last feature map."""
        return int(self.image_size // 2 ** HALVINGS[self.architecture])


class PTUVisionConfig(AttachedConfig):
    """Shape of a :class:`~ptu_seq.models.PTUForImageClassification`."""

    model_type = "ptu_seq_ptu_vision"
    default_network = CNNConfig.model_type
