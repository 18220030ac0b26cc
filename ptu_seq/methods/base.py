"""What a transfer method is: how it starts from the source, what it trains, what is tuned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from torch import nn
from transformers import PreTrainedModel
from transformers.trainer_callback import TrainerCallback

from ptu_seq.activation_table import Lender
from ptu_seq.methods.objective import Objective
from ptu_seq.methods.readers import ReadDomains
from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from ptu_seq.models.ptu_classifier import copy_classifier

Setting = Mapping[str, Any]
Source = TypeVar("Source", bound=PreTrainedModel)
ToldTask = TypeVar("ToldTask")


@dataclass(frozen=True)
class Task:
    """What a method is told of the target task.

    Args:
        id2label: names of the labels.
        unit_options: options that hold for all units, as :class:`ptu_seq.models.PTUConfig` and
            :meth:`ptu_seq.models.PTUForImageClassification.from_source` know them.
    """

    id2label: dict[int, str]
    unit_options: Mapping[str, Any]


#: A method's grid has so many settings at most.
MOST_SETTINGS = 4


class Method(ABC, Generic[Source, ToldTask]):
    """One way to learn the target task given a trained source, whatever its examples are.

    It is generic in the source and in what it is told of the target task.

    Attributes:
        name: what flags, files and tables call it.
        grid: the settings that are tried on validation data, at most `MOST_SETTINGS`, every
            method's own; each has a "learning_rate" (Adam's, at its peak).
        joins: whether a companion can stand beside it, as it can where the features are trained.
    """

    name: str
    grid: tuple[Setting, ...]
    joins: bool = True

    def settings(self, depth: int, count: int = MOST_SETTINGS) -> tuple[Setting, ...]:
        """What is tried on validation data.

        Args:
            depth: the source's layers but for the one that always learns: the classifier or, of a
                translator, the source's words.
            count: how many settings of the grid, from the first.
        """
        return self.grid[:count]

    @abstractmethod
    def build(self, source: Source, task: ToldTask, setting: Setting) -> PreTrainedModel:
        """The model before training; the source itself is not changed."""

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """What the optimiser trains, and at which learning rates."""
        return split_by_rate(model, [], setting["learning_rate"])

    def lender(self, model: PreTrainedModel) -> Lender | None:
        """What of a model is frozen throughout training, if that can be computed beforehand."""
        return None

    def callbacks(self, model: PreTrainedModel, setting: Setting) -> list[TrainerCallback]:
        """What takes part in training beside the optimiser; made before training begins."""
        return []

    def objectives(
        self,
        model: PreTrainedModel,
        source: Source,
        task: ToldTask,
        setting: Setting,
        domains: ReadDomains,
    ) -> list[Objective]:
        """Losses beside the task's; made before training begins.

        Args:
            model: what :meth:`build` returned.
            source: the trained source.
            task: what :meth:`build` was told of the target task.
            setting: see `grid`.
            domains: reads examples of both tasks with a model, for methods that learn from them.
        """
        return []


class TransferMethod(Method[RNNForSequenceClassification, Task]):
    """A method for classifiers of sentences.

    Its settings have a "classifier_learning_rate" beside the "learning_rate" of all else.
    """

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """What the optimiser trains, and at which learning rates."""
        classifier = cast(nn.Linear, model.classifier)
        parts = [(classifier.parameters(), setting["classifier_learning_rate"])]
        return split_by_rate(model, parts, setting["learning_rate"])


def split_by_rate(
    model: nn.Module, parts: Sequence[tuple[Iterable[nn.Parameter], float]], otherwise: float
) -> list[dict[str, Any]]:
    """Parameter groups for an optimiser: some parts at rates of their own, the rest at another.

    Args:
        model: the model; what needs no gradient is left out.
        parts: parameters of it, none of them twice, each part with its learning rate.
        otherwise: the learning rate of all other parameters.
    """
    groups: list[dict[str, Any]] = [{"params": list(part), "lr": rate} for part, rate in parts]
    placed = {id(p) for group in groups for p in group["params"]}
    rest = [p for p in model.parameters() if id(p) not in placed]
    groups.append({"params": rest, "lr": otherwise})
    for group in groups:
        group["params"] = [p for p in group["params"] if p.requires_grad]
    return [group for group in groups if group["params"]]


def plain_network(
    source: RNNForSequenceClassification, task: Task, **changes: Any
) -> RNNForSequenceClassification:
    """A network of the source's shape for the target's labels, with new weights."""
    shape = source.config.to_dict()
    for name in ("id2label", "label2id", "num_labels", "architectures", "dtype", "model_type"):
        shape.pop(name, None)
    return RNNForSequenceClassification(RNNConfig(**shape | changes, id2label=task.id2label))


def copy_source(
    source: RNNForSequenceClassification, network: RNNForSequenceClassification
) -> None:
    """Starts a network from the source's weights, the classifier too where the labels agree."""
    own = network.classifier.state_dict(prefix="classifier.")
    network.load_state_dict({**source.state_dict(), **{k: v.clone() for k, v in own.items()}})
    copy_classifier(source, network.classifier, network.config)


def freeze(module: nn.Module) -> None:
    """Takes a module's gradients away, and silences its dropout for good."""
    module.requires_grad_(False)
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        elif isinstance(part, nn.RNNBase):
            part.dropout = 0.0
