"""Parameter Transfer Units: gates learn at each channel what to take from the frozen source."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task, split_by_rate
from ptu_seq.methods.vision.base import ImageMethod
from ptu_seq.models import PTUForImageClassification
from ptu_seq.models.ptu_vision import BLOCKS


class PTUTransfer(ImageMethod):
    """A target network beside the frozen source, with units after each block.

    The target starts from the source, with update gates that begin almost shut: on images of the
    same things the source's activations, mixed in half and half before the gates have learned where
    they help, hold it back. A unit on the logits (`gate_logits`, where the labels are the source's)
    lets the source answer by itself, which helps with a few images and not with more. In the last
    setting the target starts at random, which leaves what transfers to the units.
    """

    name = "ptu"
    grid = (
        {
            "init": "source",
            "learning_rate": 1e-3,
            "unit_learning_rate": 1e-3,
            "update_bias": -2.0,
            "gate_logits": True,
        },
        {
            "init": "source",
            "learning_rate": 1e-3,
            "unit_learning_rate": 1e-3,
            "update_bias": -2.0,
            "gate_logits": False,
        },
        {
            "init": "source",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "update_bias": -2.0,
            "gate_logits": False,
        },
        {
            "init": "random",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "update_bias": 0.0,
            "gate_logits": False,
        },
    )

    def build(
        self, source: PreTrainedModel, task: Task, setting: Setting
    ) -> PTUForImageClassification:
        """Both networks and their units."""
        return PTUForImageClassification.from_source(
            source,
            init=setting["init"],
            id2label=task.id2label,
            sites=None if setting["gate_logits"] else BLOCKS[source.config.model_type],
            update_bias=setting["update_bias"],
            **task.unit_options,
        )

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """The units and the target network, each at its own rate."""
        assert isinstance(model, PTUForImageClassification)
        units = [p for _, unit in model.units() for p in unit.parameters()]
        return split_by_rate(
            model, [(units, setting["unit_learning_rate"])], setting["learning_rate"]
        )
