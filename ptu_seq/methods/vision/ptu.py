"""Parameter Transfer Units: gates learn at each channel what to take from the frozen source."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, split_by_rate
from ptu_seq.methods.vision.base import ImageMethod, ImageTask
from ptu_seq.models import PTUForImageClassification


class PTUTransfer(ImageMethod):
    """A target network beside the frozen source, with units after each block.

    The target starts from the source, with update gates that begin almost shut: on images of the
    same things the source's activations, mixed in half and half before the gates have learned where
    they help, hold it back. In the last setting it starts at random, which leaves what transfers to
    the units.
    """

    name = "ptu"
    grid = (
        {
            "init": "source",
            "learning_rate": 1e-3,
            "unit_learning_rate": 1e-3,
            "update_bias": -2.0,
        },
        {
            "init": "source",
            "learning_rate": 3e-4,
            "unit_learning_rate": 1e-3,
            "update_bias": -2.0,
        },
        {
            "init": "source",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "update_bias": -2.0,
        },
        {
            "init": "random",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "update_bias": 0.0,
        },
    )

    def build(
        self, source: PreTrainedModel, task: ImageTask, setting: Setting
    ) -> PTUForImageClassification:
        """Both networks and their units."""
        return PTUForImageClassification.from_source(
            source,
            init=setting["init"],
            id2label=task.id2label,
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
