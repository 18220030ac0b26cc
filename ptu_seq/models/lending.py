"""What frozen recurrent classifiers make of each example, to be kept, and how it is read back."""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ptu_seq.models.classifier import Activations, RNNForSequenceClassification
from ptu_seq.models.config import RNNConfig
from ptu_seq.models.encoding import Batch, enter_rnn, leave_rnn, read_batch
from ptu_seq.source import content_hash


class LendsHidden:
    """What a :class:`~ptu_seq.models.PTUForSequenceClassification` reads of its source.

    Args:
        network: the source network.

    Example:
        >>> network = RNNForSequenceClassification(RNNConfig(vocab_size=50, hidden_size=16))
        >>> batch = {"input_ids": torch.tensor([[7, 8, 9], [4, 0, 0]])}
        >>> first, second = LendsHidden(network).lend(batch)
        >>> first["source_hidden"].shape, second["source_hidden"].shape
        (torch.Size([3, 16]), torch.Size([1, 16]))
    """

    def __init__(self, network: RNNForSequenceClassification) -> None:
        self.network = network
        self.padding = network.config.pad_token_id

    def fingerprint(self) -> str:
        """A hash of the weights below the classifier, with all else that decides what is lent."""
        network = self.network
        below = nn.ModuleList([network.embedding, network.rnn, network.pooling])
        shape = {k: v for k, v in network.config.shape.items() if "dropout" not in k}
        return f"{type(self).__name__} {network.dtype} {content_hash(below)} {json.dumps(shape)}"

    def shapes(self, inputs: Mapping[str, Tensor]) -> list[dict[str, tuple[int, ...]]]:
        """The shapes of what :meth:`lend` gives: see :class:`ptu_seq.activation_table.Lender`."""
        config = self.network.config
        lengths = _lengths(read_batch(config, **inputs), config)
        states, pooled = hidden_features(config), (config.pooled_size,)
        return [{"source_hidden": (length, states), "source_pooled": pooled} for length in lengths]

    def lend(self, inputs: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Every example's activations.

        Args:
            inputs: "input_ids", "attention_mask" and "token_type_ids" as the network reads them.

        Returns:
            For each example "source_hidden", its tokens' hidden states, and "source_pooled".

        Shape:
            - source_hidden: `(tokens, sides * layers * directions * hidden_size)`; of a pair (2
              sides) `tokens` are those of the longer sentence, and 0 follows the shorter one
            - source_pooled: `(pooled_size,)`
        """
        config = self.network.config
        batch = read_batch(config, **inputs)
        lent = self.network.activations(batch)
        hidden = torch.cat([leave_rnn(layer, batch) for layer in lent.hidden], dim=-1)
        hidden = hidden.masked_fill(~batch.mask.unsqueeze(-1), 0)
        return [
            {"source_hidden": states[:length], "source_pooled": pooled}
            for states, length, pooled in zip(
                _by_side(hidden, config), _lengths(batch, config), lent.pooled, strict=True
            )
        ]


class LendsPooled(LendsHidden):
    """What a classifier reads of the network below it, where nothing there ever learns.

    Args:
        network: a network of which the classifier alone is trained, without dropout below it.
    """

    def shapes(self, inputs: Mapping[str, Tensor]) -> list[dict[str, tuple[int, ...]]]:
        """The shapes of what :meth:`lend` gives: see :class:`ptu_seq.activation_table.Lender`."""
        return [{"source_pooled": (self.network.config.pooled_size,)} for _ in inputs["input_ids"]]

    def lend(self, inputs: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        """Every example's "source_pooled", `(pooled_size,)`: see :class:`LendsHidden`."""
        batch = read_batch(self.network.config, **inputs)
        return [{"source_pooled": pooled} for pooled in self.network.activations(batch).pooled]


def recall(
    network: RNNForSequenceClassification, batch: Batch, hidden: Tensor, pooled: Tensor
) -> Activations:
    """A batch's activations from what :class:`LendsHidden` lent; the network is not run.

    Args:
        network: the source; its token vectors are looked up anew.
        batch: the batch's sentences.
        hidden: "source_hidden" of its examples, filled up with 0.
        pooled: their "source_pooled".

    Shape:
        - hidden: `(batch, length, sides * layers * directions * hidden_size)`, where length is that
          of `batch`
        - pooled: `(batch, pooled_size)`

    Raises:
        ValueError: if either has another shape.
    """
    config = network.config
    sides = 2 if config.is_pair else 1
    sentences, length = batch.ids.shape
    examples = sentences // sides
    for name, given, shape in (
        ("source_hidden", hidden, (examples, length, hidden_features(config))),
        ("source_pooled", pooled, (examples, config.pooled_size)),
    ):
        if given.shape != shape:
            raise ValueError(
                f"PTUForSequenceClassification: {name} has the shape {tuple(given.shape)}; {shape} "
                "expected of this batch."
            )
    embedding = network.embedding(batch.ids).detach()
    by_side = hidden.to(embedding.dtype).unflatten(-1, (sides, -1)).movedim(2, 0)
    of_sentences = by_side.flatten(0, 1)  # all premises, then all hypotheses, as in the batch
    layers = of_sentences.chunk(config.num_hidden_layers, dim=-1)
    return Activations(
        embedding,
        [enter_rnn(layer, batch, config) for layer in layers],
        pooled.to(embedding.dtype),
    )


def hidden_features(config: RNNConfig) -> int:
    """Features of an example's "source_hidden" at each position."""
    sides, directions = 2 if config.is_pair else 1, 2 if config.bidirectional else 1
    return sides * config.num_hidden_layers * directions * config.hidden_size


def _lengths(batch: Batch, config: RNNConfig) -> list[int]:
    """Tokens of each example, of a pair those of its longer sentence."""
    return batch.lengths.view(2 if config.is_pair else 1, -1).amax(0).tolist()


def _by_side(hidden: Tensor, config: RNNConfig) -> Tensor:
    """Hidden states of a batch's sentences as those of its examples, side after side."""
    return torch.cat(hidden.chunk(2), dim=-1) if config.is_pair else hidden
