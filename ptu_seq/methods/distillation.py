"""Distillation: the network that learns the target is also to answer as the source does.

Hinton, Vinyals & Dean, arXiv 1503.02531, where source and target have the same labels; where they
do not, learning without forgetting (Li & Hoiem, ECCV 2016).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from ptu_seq.methods.base import Setting, Task
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.methods.objective import LastFeatures, Objective
from ptu_seq.methods.readers import ReadDomains
from ptu_seq.models import RNNForSequenceClassification
from ptu_seq.models.labels import label_names, linear_head, matching_labels


class Distillation(FineTune):
    """Fine-tuning that keeps the source's answers to the target's examples."""

    name = "distillation"
    grid = (
        {"learning_rate": 1e-3, "classifier_learning_rate": 3e-2, "distillation": 1.0},
        {"learning_rate": 3e-3, "classifier_learning_rate": 3e-2, "distillation": 0.3},
        {"learning_rate": 3e-3, "classifier_learning_rate": 3e-2, "distillation": 1.0},
        {"learning_rate": 1e-2, "classifier_learning_rate": 1e-2, "distillation": 1.0},
    )

    def objectives(
        self,
        model: PreTrainedModel,
        source: RNNForSequenceClassification,
        task: Task,
        setting: Setting,
        domains: ReadDomains,
    ) -> list[Objective]:
        """The distance from the source's answers."""
        return [SourceAnswers(model, source, setting["distillation"], setting["learning_rate"])]


#: Both softmaxes are taken at this temperature, as in Li & Hoiem.
TEMPERATURE = 2.0


def divergence(logits: Tensor, answers: Tensor) -> Tensor:
    r"""How far a network is from another's answers, summed over examples.

    .. math::
        \sum_i T^2 \, \mathrm{KL}(\mathrm{softmax}(a_i / T) \,\|\, \mathrm{softmax}(z_i / T))

    Args:
        logits: the network's, `z`.
        answers: the other's logits, `a`.

    Returns:
        A number; gradients flow to both.

    Shape:
        - logits, answers: `(examples, labels)`

    Example:
        >>> answers = torch.tensor([[0.0, 2.0], [3.0, 1.0]])
        >>> divergence(answers + 5, answers)  # the same distributions
        tensor(0.)
    """
    return TEMPERATURE**2 * nn.functional.kl_div(
        (logits / TEMPERATURE).log_softmax(-1),
        (answers / TEMPERATURE).log_softmax(-1),
        reduction="sum",
        log_target=True,
    )


class SourceAnswers(Objective):
    r"""How far a network is from giving the source's answers to a batch.

    .. math::
        \mathrm{weight} \cdot T^2 \cdot
        \mathrm{KL}(\mathrm{softmax}(z^{source} / T) \,\|\, \mathrm{softmax}(z / T))

    averaged over examples. Where the labels are the same, `z` are the network's own logits; else
    those of a second classifier on its features, which starts as the source's and is dropped after
    training.

    Args:
        model: the network that learns.
        source: the trained source, which is copied.
        weight: what the divergence is multiplied by.
        learning_rate: of the second classifier.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        source: PreTrainedModel,
        weight: float,
        learning_rate: float,
    ) -> None:
        self.weight = weight
        self.learning_rate = learning_rate
        self.source = copy.deepcopy(source).eval().requires_grad_(False)
        self.positions = matching_labels(label_names(source.config), label_names(model.config))
        self.last = LastFeatures(model)
        self.second_classifier = copy.deepcopy(linear_head(source)).requires_grad_(
            self.positions is None
        )

    def __call__(self, inputs: Mapping[str, Tensor], logits: Tensor, progress: float) -> Tensor:
        """The divergence, weighted."""
        features = self.last.take()
        self.source.to(logits.device)
        with torch.no_grad():
            own = ("labels", "source_hidden", "source_pooled")  # read by the learning model alone
            shown = {name: tensor for name, tensor in inputs.items() if name not in own}
            answers = self.source(**shown).logits.float()
        if self.positions is None:
            logits = self.second_classifier.to(features.device)(features)
        else:
            answers = answers[:, self.positions]
        return self.weight * divergence(logits.float(), answers) / len(answers)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The second classifier, where there is one."""
        if self.positions is not None:
            return []
        return [{"params": list(self.second_classifier.parameters()), "lr": self.learning_rate}]

    def close(self) -> None:
        """Takes the hook off the model."""
        self.last.close()
