"""What a transfer method of images is: how it starts from the source, what it trains."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from ptu_seq.images.networks import with_mean_loss
from ptu_seq.methods.base import Method, Task
from ptu_seq.models.labels import copy_classifier, linear_head

#: A method for classifiers of images.
ImageMethod = Method[PreTrainedModel, Task]


def plain_network(source: PreTrainedModel, task: Task) -> PreTrainedModel:
    """A network of the source's shape for the target's labels, with new weights."""
    fields = source.config.to_dict()
    for name in ("num_labels", "architectures", "dtype", "id2label", "label2id"):
        fields.pop(name, None)
    labels: dict[str, Any] = {
        "id2label": task.id2label,
        "label2id": {n: i for i, n in task.id2label.items()},
    }
    return with_mean_loss(type(source)(type(source.config)(**fields, **labels)))


def copy_source(source: PreTrainedModel, network: PreTrainedModel) -> None:
    """Starts a network from the source's weights, the classifier too where the labels agree."""
    network.base_model.load_state_dict(source.base_model.state_dict())
    copy_classifier(source, linear_head(network), network.config)


def freeze(part: nn.Module) -> None:
    """Takes a part's gradients away, and has it run asleep whatever its network does.

    Asleep its dropout drops nothing, and its batch norm neither reads a batch's statistics nor
    keeps them.
    """
    part.requires_grad_(False)
    part.register_forward_pre_hook(_sleep)


def _sleep(module: nn.Module, args: Any) -> None:
    module.eval()
