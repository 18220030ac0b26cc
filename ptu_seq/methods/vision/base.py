"""What a transfer method of images is: how it starts from the source, what it trains."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn
from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.images.networks import with_mean_loss
from ptu_seq.methods.base import Setting, split_by_rate
from ptu_seq.models.labels import copy_classifier, linear_head


@dataclass(frozen=True)
class ImageTask:
    """What a method is told of the target task.

    Args:
        id2label: names of the labels.
        unit_options: options of :meth:`ptu_seq.models.PTUForImageClassification.from_source` that
            hold for all units.
    """

    id2label: dict[int, str]
    unit_options: Mapping[str, Any]


class ImageMethod(ABC):
    """One way to learn the target's images given a trained source.

    Attributes:
        name: what flags, files and tables call it.
        grid: the settings that are tried on validation data, at most four, every method's own;
            each has a "learning_rate" (Adam's, at its peak).
    """

    name: ClassVar[str]
    grid: ClassVar[tuple[Setting, ...]]

    def settings(self, depth: int) -> tuple[Setting, ...]:
        """What is tried on validation data for networks of `depth` layers below the classifier."""
        return self.grid

    @abstractmethod
    def build(self, source: PreTrainedModel, task: ImageTask, setting: Setting) -> PreTrainedModel:
        """The model before training; the source itself is not changed."""

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """What the optimiser trains, and at which learning rates."""
        return split_by_rate(model, [], setting["learning_rate"])

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """What takes part in training beside the optimiser; made before training begins."""
        return []


def plain_network(source: PreTrainedModel, task: ImageTask) -> PreTrainedModel:
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
