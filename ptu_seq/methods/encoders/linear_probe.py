"""Linear probe: a linear classifier on the frozen encoder's features."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.encoders.base import EncoderMethod, encoder_copy
from ptu_seq.methods.layers import Layer
from ptu_seq.methods.linear_probe import probe_groups, start_probe
from ptu_seq.methods.unfreezing import put_to_sleep
from ptu_seq.models import EncoderForSequenceClassification


class LinearProbe(EncoderMethod):
    """Logistic regression on the encoder's features: :mod:`ptu_seq.methods.linear_probe`."""

    name = "linear_probe"
    grid = (
        {"learning_rate": 1e-2, "weight_decay": 0.01},
        {"learning_rate": 1e-1, "weight_decay": 0.01},
    )

    def build(
        self, source: EncoderForSequenceClassification, task: Task, setting: Setting
    ) -> EncoderForSequenceClassification:
        """The frozen encoder under a classifier of zeros."""
        network = encoder_copy(source, task)
        put_to_sleep(Layer("encoder", list(network.encoder.parameters()), [network.encoder]))
        start_probe(network)
        return network

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The classifier, with its weight decay."""
        return probe_groups(model, setting)
