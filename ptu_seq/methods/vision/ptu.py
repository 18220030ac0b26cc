"""Parameter Transfer Units: gates learn at each channel what to take from the frozen source."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task, split_by_rate
from ptu_seq.methods.layers import layers
from ptu_seq.methods.vision.base import ImageMethod
from ptu_seq.models import PTUForImageClassification
from ptu_seq.models.labels import are_same_labels, label_names
from ptu_seq.models.ptu_vision import BLOCKS


class PTUTransfer(ImageMethod):
    """A target network beside the frozen source, with units between them.

    The target starts from the source. In the first two settings units stand after each block, with
    update gates that begin almost shut: on images of the same things the source's activations,
    mixed in half and half before the gates have learned where they help, hold it back. In the other
    two a single unit mixes what the classifier reads, half and half, and in training the gates of
    half of the neurons are forced open or shut (`gate_dropout`), so that what few images teach the
    target stays of use beside what the source knew. The last has a unit on the logits as well
    (`gate_logits`, where the labels are the source's), so that the source can answer by itself.
    A setting of one's own may have `init` "random".
    """

    name = "ptu"
    grid = (
        {
            "sites": "blocks",
            "learning_rate": 1e-3,
            "unit_learning_rate": 1e-3,
            "update_bias": -2.0,
            "gate_dropout": 0.0,
            "gate_logits": False,
        },
        {
            "sites": "blocks",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "update_bias": -2.0,
            "gate_dropout": 0.0,
            "gate_logits": False,
        },
        {
            "sites": "last",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "update_bias": 0.0,
            "gate_dropout": 0.5,
            "gate_logits": False,
        },
        {
            "sites": "last",
            "learning_rate": 3e-3,
            "unit_learning_rate": 3e-3,
            "update_bias": 0.0,
            "gate_dropout": 0.5,
            "gate_logits": True,
        },
    )

    def build(
        self, source: PreTrainedModel, task: Task, setting: Setting
    ) -> PTUForImageClassification:
        """Both networks and their units."""
        return PTUForImageClassification.from_source(
            source,
            init=setting.get("init", "source"),
            id2label=task.id2label,
            sites=_sites(source, task, setting),
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


def _sites(source: PreTrainedModel, task: Task, setting: Setting) -> list[str]:
    blocks = BLOCKS[source.config.model_type]
    sites = blocks if setting["sites"] == "blocks" else [layers(source)[-2].name]
    ours = [task.id2label[i] for i in sorted(task.id2label)]
    same = are_same_labels(label_names(source.config), ours)
    return [*sites, "classifier"] if setting["gate_logits"] and same else list(sites)
