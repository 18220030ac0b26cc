"""A loss beside the task's, which a method may add to its training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from ptu_seq.models.labels import linear_head


class Objective(ABC):
    """A loss beside the task's: what it learns with the model is dropped after training."""

    @abstractmethod
    def __call__(self, inputs: Mapping[str, Tensor], logits: Tensor, progress: float) -> Tensor:
        """The loss at one batch, a number: a mean over its examples, or over its label tokens.

        Args:
            inputs: the batch of the target's examples that the model has just read, with "labels".
            logits: what it made of them, `(batch, num_labels)`; of a translator
                `(batch, target length, decoder_vocab_size)`.
            progress: how much of the training is over, from 0 to 1.
        """

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Weights of its own that the optimiser trains, each group with its "lr"."""
        return []

    def skip(self, batches: int) -> None:  # noqa: B027 - most draw nothing
        """Passes over the examples of its own that so many batches of the target's have had."""

    def close(self) -> None:  # noqa: B027 - most have nothing to close
        """Leaves the model, after training, as it is without this."""


class LastFeatures:
    """What a model's classifier reads, noted whenever it reads.

    Args:
        model: a classifier of texts or images, with or without units.

    Attributes:
        size: features.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        head = linear_head(getattr(model, "target", model))
        self.size = head.in_features
        self._last: Tensor | None = None
        self._hook = head.register_forward_pre_hook(self._note)

    def take(self) -> Tensor:
        """The features of the last batch, `(batch, features)`; each can be taken once."""
        assert self._last is not None, "nothing has been read since"
        last, self._last = self._last, None
        return last.float()

    def close(self) -> None:
        """Stops noting."""
        self._hook.remove()

    def _note(self, module: nn.Module, args: tuple[Tensor, ...]) -> None:
        self._last = args[0]
