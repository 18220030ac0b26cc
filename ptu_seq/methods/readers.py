"""What a network makes of examples of both tasks: the activations that companions compare."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel

from ptu_seq.methods.domains import Domains
from ptu_seq.methods.objective import LastFeatures


@dataclass(frozen=True)
class Activations:
    """A batch's activations in two layers.

    Args:
        features: what a classifier's last layer reads, or an encoder's output averaged over a
            sentence's tokens, `(batch, features)`.
        above: what the layer above makes of it: logits, or a decoder's first state,
            `(batch, features)`; None where they mean different things in the two tasks.
    """

    features: Tensor
    above: Tensor | None


@dataclass(frozen=True)
class BothRead:
    """What a network makes of a batch of each task.

    Args:
        source: its activations on the source's examples.
        target: on the target's.
        loss: the task's loss on the source's examples, where they have labels that count.
    """

    source: Activations
    target: Activations
    loss: Tensor | None


class DomainReader(ABC):
    """Reads batches of both tasks with the network that learns.

    Attributes:
        size: features of its activations.
    """

    size: int

    @abstractmethod
    def read(self, device: torch.device) -> BothRead:
        """Reads the next batches on a device; they never end."""

    @abstractmethod
    def skip(self, batches: int) -> None:
        """Passes over the next so many of each task without reading them."""

    def close(self) -> None:  # noqa: B027 - not all have something to close
        """Leaves the network, after training, as it is without this."""


#: Makes a network's reader when it is asked for, as most methods never do.
ReadDomains = Callable[[PreTrainedModel], DomainReader]


class ClassifierReader(DomainReader):
    """Reads examples of both tasks with a classifier of texts or images.

    The layers are what the classifier reads and, where both tasks have the same labels, its
    logits. Then, as in the companions' papers, the source's examples are classified too.

    Args:
        model: the classifier, with or without units.
        domains: the examples.
    """

    def __init__(self, model: PreTrainedModel, domains: Domains) -> None:
        self.model = model
        self.last = LastFeatures(model)
        self.size = self.last.size
        self._batches = domains.batches()

    def read(self, device: torch.device) -> BothRead:
        """Reads the next batches: see :class:`DomainReader`."""
        theirs, ours = (
            {name: tensor.to(device) for name, tensor in batch.items()}
            for batch in next(self._batches)
        )
        labelled = "labels" in theirs
        with _statistics_kept(self.model):  # batch norm is to serve the target
            outputs = self.model(**theirs)
        source = Activations(self.last.take(), outputs.logits.float() if labelled else None)
        answers = self.model(**ours).logits
        target = Activations(self.last.take(), answers.float() if labelled else None)
        return BothRead(source, target, outputs.loss if labelled else None)

    def skip(self, batches: int) -> None:
        """Passes over batches: see :class:`DomainReader`."""
        for _ in range(batches):
            next(self._batches)

    def close(self) -> None:
        """Takes the hook off the model."""
        self.last.close()


@contextmanager
def _statistics_kept(model: nn.Module) -> Iterator[None]:
    """Batch norm reads a batch's statistics and forgets them."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
