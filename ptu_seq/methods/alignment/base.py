"""What the companions have in common: a loss that draws the two tasks' activations together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from torch import Tensor

from ptu_seq.methods.objective import Objective
from ptu_seq.methods.readers import Activations, DomainReader


class Alignment(Objective):
    """The distance of the source's examples from the target's in the network that learns.

    At each step a batch of the source's examples and one of the target's without labels are read,
    from all training data or 5,000 drawn from them; where a batch is trained on in parts, each part
    is compared by itself. Where both tasks have the same labels, or both pairs of languages one
    vocabulary and target language, as in the papers, the source's examples are learned too: their
    loss counts as the target's.

    Args:
        reader: reads the examples of both.
        strength: what the distance is multiplied by.

    Attributes:
        name: what flags and tables call it.
        strength: what the distance is multiplied by, unless a setting says otherwise; chosen on
            validation images of USPS (source MNIST, LeNet, one image a class, 3 or 4 seeds) among
            four values, which for `ddc`, `dan` and `dann` differed little up to 16, 16 and 1.
            In translation none was tuned.
    """

    name: str
    strength: float

    def __init__(self, reader: DomainReader, strength: float) -> None:
        self.reader = reader
        self.strength = strength

    @abstractmethod
    def distance(self, source: Activations, target: Activations, progress: float) -> Tensor:
        """How far the source's activations are from the target's, a number.

        Args:
            source: of the source's examples.
            target: of the target's.
            progress: how much of the training is over, from 0 to 1.
        """

    def __call__(self, inputs: Mapping[str, Tensor], logits: Tensor, progress: float) -> Tensor:
        """The distance, and the source's own loss where it has one."""
        both = self.reader.read(logits.device)
        loss = self.strength * self.distance(both.source, both.target, progress)
        return loss if both.loss is None else loss + both.loss

    def skip(self, batches: int) -> None:
        """Passes over what so many batches have been compared with."""
        self.reader.skip(batches)

    def close(self) -> None:
        """Leaves the model as it is without the companion."""
        self.reader.close()
