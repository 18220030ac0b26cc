"""Configurations of classifiers on pretrained encoders, as transformers saves and loads them."""

from __future__ import annotations

from typing import Any, Literal, get_args

from transformers import PreTrainedConfig

from ptu_seq.models.attached_config import AttachedConfig, network_config
from ptu_seq.models.config import LabelledConfig, check_choice

EncoderPooling = Literal["mean", "first"]


class EncoderConfig(LabelledConfig):
    """Shape of an :class:`~ptu_seq.models.EncoderForSequenceClassification`.

    Args:
        encoder: the encoder's configuration as a dict, with its `model_type`; a small BERT's if
            None.
        pooling: how a text's hidden states become one vector: their "mean", or the "first" one.
        dropout: probability that a feature is dropped before the classifier in training.
        **kwargs: `id2label`, `num_labels` and other arguments of transformers' PreTrainedConfig.

    Raises:
        ValueError: for an unknown `pooling`, or a dropout that is no probability.
    """

    model_type = "ptu_seq_encoder"

    encoder: dict[str, Any] | None = None
    pooling: EncoderPooling = "mean"
    dropout: float = 0.1

    def __post_init__(self, **kwargs: Any) -> None:
        check_choice("pooling", self.pooling, get_args(EncoderPooling))
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"EncoderConfig: dropout is {self.dropout}; it must be from 0 to 1.")
        super().__post_init__(**kwargs)

    @property
    def encoder_config(self) -> PreTrainedConfig:
        """The encoder's configuration."""
        return network_config(self.encoder or {"model_type": "bert", **_SMALL})


_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


class PTUEncoderConfig(AttachedConfig):
    """Shape of a :class:`~ptu_seq.models.PTUEncoderForSequenceClassification`."""

    model_type = "ptu_seq_ptu_encoder"
    default_network = EncoderConfig.model_type
