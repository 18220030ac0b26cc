"""What the companions have in common: a loss that draws the two tasks' activations together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel

from ptu_seq.methods.domains import Batch, Domains
from ptu_seq.methods.objective import LastFeatures, Objective


@dataclass(frozen=True)
class Activations:
    """A batch's activations in the last layers.

    Args:
        features: what the classifier reads, `(batch, features)`.
        logits: what it answers, `(batch, num_labels)`; None where the tasks' labels differ, as the
            one's logits then mean nothing for the other's examples.
    """

    features: Tensor
    logits: Tensor | None


class Alignment(Objective):
    """The distance of the source's examples from the target's in the network that learns.

    At each step the network reads a batch of the source's examples and one of the target's without
    labels, from all training data or 5,000 drawn from them; where a batch is trained on in parts,
    each part is compared by itself. Where both tasks have the same labels, as in the papers, the
    source's examples are classified too: their loss counts as the target's.

    Args:
        model: a classifier, with or without units.
        domains: the examples.
        strength: what the distance is multiplied by.

    Attributes:
        name: what flags and tables call it.
        strength: what the distance is multiplied by, unless a setting says otherwise; chosen on
            validation images of USPS (source MNIST, LeNet, one image a class, 3 or 4 seeds) among
            four values, which for `ddc`, `dan` and `dann` differed little up to 16, 16 and 1.
    """

    name: str
    strength: float

    def __init__(self, model: PreTrainedModel, domains: Domains, strength: float) -> None:
        self.model = model
        self.strength = strength
        self.last = LastFeatures(model)
        self._batches = domains.batches()

    @abstractmethod
    def distance(self, source: Activations, target: Activations, progress: float) -> Tensor:
        """How far the source's activations are from the target's, a number.

        Args:
            source: of the source's examples.
            target: of the target's.
            progress: how much of the training is over, from 0 to 1.
        """

    def __call__(self, inputs: Mapping[str, Tensor], logits: Tensor, progress: float) -> Tensor:
        """The distance, and the source's own loss where the labels are the same."""
        batches = [_to(batch, logits) for batch in next(self._batches)]
        labelled = "labels" in batches[0]
        with _statistics_kept(self.model):  # batch norm is to serve the target
            outputs = self.model(**batches[0])
        source = Activations(self.last.take(), outputs.logits.float() if labelled else None)
        answers = self.model(**batches[1]).logits
        target = Activations(self.last.take(), answers.float() if labelled else None)
        loss = self.strength * self.distance(source, target, progress)
        return loss + outputs.loss if labelled else loss

    def close(self) -> None:
        """Takes the hook off the model."""
        self.last.close()


def _to(batch: Batch, like: Tensor) -> Batch:
    return {name: tensor.to(like.device) for name, tensor in batch.items()}


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
