"""Cross-stitch units (Misra et al., CVPR 2016): features mixed by constants, not by gates."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ptu_seq.linear_units import CrossStitch, LinearUnit
from ptu_seq.methods.base import Setting, Task, split_by_rate
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.models import RNNForSequenceClassification
from ptu_seq.models.labels import linear_head
from ptu_seq.sites import attach, attached


class CrossStitchTransfer(FineTune):
    """Fine-tuning beside the frozen source, stitched to it at the token vectors and the states.

    Where the Parameter Transfer Unit has gates that read both networks, a cross-stitch unit has
    two learned constants a feature: :class:`ptu_seq.linear_units.CrossStitch`. They have a learning
    rate of their own, as in the paper. Of a stack of recurrent layers the last one is stitched.
    """

    name = "cross_stitch"
    grid = (
        {"learning_rate": 1e-3, "classifier_learning_rate": 3e-2, "unit_learning_rate": 1e-2},
        {"learning_rate": 3e-3, "classifier_learning_rate": 3e-2, "unit_learning_rate": 1e-2},
        {"learning_rate": 3e-3, "classifier_learning_rate": 3e-2, "unit_learning_rate": 1e-1},
        {"learning_rate": 1e-2, "classifier_learning_rate": 1e-2, "unit_learning_rate": 1e-2},
    )

    def build(
        self, source: RNNForSequenceClassification, task: Task, setting: Setting
    ) -> RNNForSequenceClassification:
        """A copy of the source, stitched to another that stays frozen."""
        return stitch(super().build(source, task, setting), source, ["embedding", "rnn"])

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """Units, classifier and network, each at its own rate."""
        classifier = list(linear_head(model).parameters())
        parts = [
            (unit_parameters(model), setting["unit_learning_rate"]),
            (classifier, setting["classifier_learning_rate"]),
        ]
        return split_by_rate(model, parts, setting["learning_rate"])


def stitch(
    network: RNNForSequenceClassification,
    source: RNNForSequenceClassification,
    sites: list[str],
    unit: type[LinearUnit] = CrossStitch,
) -> RNNForSequenceClassification:
    """Puts units between a classifier of texts and a frozen copy of its source; in place.

    Args:
        network: the target.
        source: the trained source; it is left as it is.
        sites: modules of both after which units sit.
        unit: their kind.
    """
    tokens = torch.ones(1, 2, dtype=torch.long, device=network.device)
    attach(
        network,
        copy.deepcopy(source),
        sites,
        example={"input_ids": tokens},
        source_input=without_labels,
        linear=unit,
    )
    return network


def without_labels(input_ids: Tensor, **others: Any) -> dict[str, Any]:
    """What the source reads: the target's labels are not its own."""
    ours = ("labels", "num_items_in_batch")
    return {"input_ids": input_ids, **{k: v for k, v in others.items() if k not in ours}}


def unit_parameters(model: PreTrainedModel) -> list[nn.Parameter]:
    """The weights of all units that are attached to a model."""
    attachment = attached(model)
    assert attachment is not None
    return list(attachment.units.parameters())
