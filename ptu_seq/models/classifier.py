"""A plain recurrent classifier: the source, and the target of every method but the unit."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from ptu_seq.models.config import RNNConfig
from ptu_seq.models.encoding import (
    Batch,
    Pooling,
    enter_rnn,
    initialise,
    join_pair,
    leave_rnn,
    make_rnn,
    read_batch,
)
from ptu_seq.models.labels import classification_loss
from ptu_seq.models.safetensors_model import SafetensorsModel
from ptu_seq.nn import layer_outputs
from ptu_seq.nn.layout import Sequences


class Activations(NamedTuple):
    """What a source network lends a target, for one batch: constants, without a graph.

    Shape:
        - embedding: `(sentences, length, embedding_size)`
        - hidden: one a recurrent layer, `(sentences, length, directions * hidden_size)` or packed
        - pooled: `(batch, pooled_size)`
    """

    embedding: Tensor
    hidden: list[Sequences]
    pooled: Tensor


class RNNForSequenceClassification(SafetensorsModel):
    """Embedding, stacked LSTM or GRU, pooling and a linear classifier.

    Both sides of a pair are encoded by the same network and joined as `[a; b; |a - b|; a * b]`.

    Args:
        config: the network's shape.

    Shape:
        - input_ids, attention_mask, token_type_ids: `(batch, length)`, padded on either side
        - labels: `(batch,)`; logits: `(batch, num_labels)`

    Example:
        >>> import torch
        >>> model = RNNForSequenceClassification(RNNConfig(vocab_size=50, num_labels=3))
        >>> model(torch.tensor([[7, 8, 9, 3], [4, 3, 0, 0]])).logits.shape
        torch.Size([2, 3])
    """

    config_class = RNNConfig
    config: RNNConfig
    accepts_loss_kwargs = True

    def __init__(self, config: RNNConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(
            config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id
        )
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.rnn = make_rnn(config)
        self.pooling = Pooling(config)
        self.hidden_dropout = nn.Dropout(config.hidden_dropout)
        self.classifier = nn.Linear(config.pooled_size, len(config.label_names))
        self.post_init()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        source_pooled: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits, and the loss if there are labels.

        Args:
            input_ids: tokens.
            attention_mask: 1 at tokens, 0 at padding.
            token_type_ids: 0 at the premise, 1 at the hypothesis; read for pairs alone.
            labels: the right classes.
            num_items_in_batch: examples in all of an optimisation step, which Trainer gives when it
                accumulates gradients; the loss is the sum over examples divided by it.
            source_pooled: what the classifier reads of these examples, `(batch, pooled_size)`, as
                :class:`~ptu_seq.models.lending.LendsPooled` lends it; nothing below is run then.
        """
        if source_pooled is None:
            batch = read_batch(self.config, input_ids, attention_mask, token_type_ids)
            x = self.embedding_dropout(self.embedding(batch.ids))
            output, _ = self.rnn(enter_rnn(x, batch, self.config))
            pooled = self._pool(output, batch)
        else:
            pooled = source_pooled.to(self.dtype)
        logits = self.classifier(self.hidden_dropout(pooled))
        loss = classification_loss(self, logits, labels, num_items_in_batch)
        return SequenceClassifierOutput(loss=loss, logits=logits)

    def activations(self, batch: Batch) -> Activations:
        """Every layer's activation, without dropout: what the network lends as a source."""
        embedding = self.embedding(batch.ids).detach()
        hidden, _ = layer_outputs(self.rnn, enter_rnn(embedding, batch, self.config))
        return Activations(embedding, hidden, self._pool(hidden[-1], batch).detach())

    def _pool(self, output: Sequences, batch: Batch) -> Tensor:
        return join_pair(self.pooling(leave_rnn(output, batch), batch), self.config.is_pair)

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config.embedding_std)
