"""Parameter Transfer Units: gates learn at each channel what to take from the frozen source."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task, split_by_rate
from ptu_seq.methods.layers import layers
from ptu_seq.methods.vision.base import ImageMethod
from ptu_seq.models import PTUForImageClassification
from ptu_seq.models.ptu_vision import BLOCKS


class PTUTransfer(ImageMethod):
    """A target network beside the frozen source, with units between them.

    The target starts from the source. In the first setting units stand after each block, with
    update gates that begin almost shut: on images of the same things the source's activations,
    mixed in half and half before the gates have learned where they help, hold it back. In the
    second the target learns faster than its only unit, which mixes what the classifier reads, half
    and half, and in training the gates of half of the neurons are forced open or shut
    (`gate_dropout`), so that what few images teach the target stays of use beside what the source
    knew. A setting of one's own may have `init` "random".
    """

    name = "ptu"
    grid = (
        {
            "sites": "blocks",
            "learning_rate": 1e-3,
            "unit_learning_rate": 1e-3,
            "update_bias": -2.0,
            "gate_dropout": 0.0,
        },
        {
            "sites": "last",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-4,
            "update_bias": 0.0,
            "gate_dropout": 0.5,
        },
    )

    def build(
        self, source: PreTrainedModel, task: Task, setting: Setting
    ) -> PTUForImageClassification:
        """Both networks and their units."""
        blocks = BLOCKS[source.config.model_type]
        return PTUForImageClassification.from_source(
            source,
            init=setting.get("init", "source"),
            id2label=task.id2label,
            sites=blocks if setting["sites"] == "blocks" else [layers(source)[-2].name],
            update_bias=setting["update_bias"],
            gate_dropout=setting["gate_dropout"],
            **task.unit_options,
        )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The units and the target network, each at its own rate."""
        assert isinstance(model, PTUForImageClassification)
        units = [p for _, unit in model.units() for p in unit.parameters()]
        return split_by_rate(
            model, [(units, setting["unit_learning_rate"])], setting["learning_rate"]
        )
