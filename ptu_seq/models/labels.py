"""Two tasks with the same labels: the new classifier starts from the trained one."""

from __future__ import annotations

import torch
from torch import nn

from ptu_seq.models.classifier import RNNForSequenceClassification
from ptu_seq.models.config import LabelledConfig


@torch.no_grad()
def copy_classifier(
    source: RNNForSequenceClassification, classifier: nn.Linear, config: LabelledConfig
) -> bool:
    """Starts a classifier from the source's where both tasks have the same named labels.

    Args:
        source: the trained network.
        classifier: the layer to fill.
        config: names the new task's labels, in any order.

    Returns:
        Whether the labels and sizes agree, so that the weights were copied.
    """
    theirs, ours = source.config.label_names, config.label_names
    named = not any(label.startswith("LABEL_") for label in ours)
    same = named and len(set(ours)) == len(ours) and sorted(theirs) == sorted(ours)
    if not same or source.classifier.weight.shape != classifier.weight.shape:
        return False
    rows = [theirs.index(label) for label in ours]
    classifier.weight.copy_(source.classifier.weight[rows])
    classifier.bias.copy_(source.classifier.bias[rows])
    return True
