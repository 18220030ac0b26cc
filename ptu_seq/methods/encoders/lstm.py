"""An LSTM as the target: alone, and beside the frozen encoder with units between them."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.encoders.base import EncoderMethod
from ptu_seq.methods.encoders.ptu import unit_groups
from ptu_seq.models import (
    EncoderForSequenceClassification,
    PTUEncoderForSequenceClassification,
    RNNConfig,
    RNNForSequenceClassification,
)


class ScratchLSTM(EncoderMethod):
    """An LSTM that reads the encoder's tokens and knows nothing else of it."""

    name = "scratch_lstm"
    grid = (
        {"learning_rate": 3e-3, "classifier_learning_rate": 1e-2},
        {"learning_rate": 1e-2, "classifier_learning_rate": 1e-2},
    )

    def build(
        self, source: EncoderForSequenceClassification, task: Task, setting: Setting
    ) -> RNNForSequenceClassification:
        """A new network."""
        return RNNForSequenceClassification(lstm_config(source, task))


class PTULSTM(EncoderMethod):
    """The same LSTM beside the frozen encoder: transfer between architectures.

    Its units stand after the token vectors, where they read the encoder's last hidden states, and
    after the pooling, where they read the encoder's.
    """

    name = "ptu_lstm"
    grid = (
        {
            "learning_rate": 3e-3,
            "unit_learning_rate": 1e-3,
            "classifier_learning_rate": 1e-2,
            "update_bias": 0.0,
        },
        {
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "classifier_learning_rate": 1e-2,
            "update_bias": 0.0,
        },
    )

    def build(
        self, source: EncoderForSequenceClassification, task: Task, setting: Setting
    ) -> PTUEncoderForSequenceClassification:
        """Both networks and their units."""
        return PTUEncoderForSequenceClassification.from_source(
            source,
            init="random",
            id2label=task.id2label,
            target=lstm_config(source, task),
            sites={"embedding": _last_layer(source), "pooling": "pooling"},
            update_bias=setting["update_bias"],
            candidate=task.unit_options.get("candidate", "linear"),
        )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The units, the classifier and the LSTM, each at its rate."""
        return unit_groups(model, setting)


def lstm_config(source: EncoderForSequenceClassification, task: Task) -> RNNConfig:
    """An LSTM of 128 features that reads the encoder's tokens."""
    encoder: Any = source.encoder.config
    return RNNConfig(
        vocab_size=encoder.vocab_size, pad_token_id=encoder.pad_token_id, id2label=task.id2label
    )


def _last_layer(source: EncoderForSequenceClassification) -> str:
    kind = PTUEncoderForSequenceClassification.kind(source.config)
    (pattern,) = PTUEncoderForSequenceClassification.blocks[kind]
    return pattern.replace("*", str(source.encoder.config.num_hidden_layers - 1))
