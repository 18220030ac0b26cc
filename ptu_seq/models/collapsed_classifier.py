"""A classifier with units of which some are pinned for good, without what nothing reads then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from torch import Tensor, nn

from ptu_seq.models.classifier import Activations
from ptu_seq.models.collapsed_config import CollapsedConfig, Parts, reads_source
from ptu_seq.models.collapsed_source import HoldsWhatIsLeft
from ptu_seq.models.config import RNNConfig
from ptu_seq.models.encoding import (
    Batch,
    Pooling,
    enter_rnn,
    initialise,
    join_pair,
    leave_rnn,
    make_rnn,
    rnn_options,
)
from ptu_seq.models.ptu_classifier import PTUForSequenceClassification
from ptu_seq.models.safetensors_model import SafetensorsModel
from ptu_seq.models.token_gates import padded
from ptu_seq.models.with_source import ModelWithSource
from ptu_seq.nn import layer_outputs
from ptu_seq.nn.collapsed import (
    CollapsedEmbedding,
    CollapsedRNN,
    PaddingEmbedding,
    PinnedPTU,
    is_lent,
    make_unit,
)
from ptu_seq.nn.gated import OnGates
from ptu_seq.source import FrozenSource
from ptu_seq.unit import PTU


class SourceLayers(SafetensorsModel):
    """What is left of a source network: token vectors and, of the rest, what something reads.

    Args:
        config: the whole network's.
        parts: tells what is left.
    """

    config_class = RNNConfig
    config: RNNConfig

    def __init__(self, config: RNNConfig, parts: Parts) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(
            config.vocab_size, config.embedding_size, padding_idx=config.pad_token_id
        )
        if parts.source_layers:
            shape = {**config.shape, "num_hidden_layers": parts.source_layers}
            self.rnn = make_rnn(RNNConfig(**shape))
        if parts.pools_source:
            self.pooling = Pooling(config)
        self.post_init()

    def activations(self, batch: Batch) -> Activations:
        """Those that are left; `pooled` is empty where nothing reads it."""
        embedding = self.embedding(batch.ids).detach()
        if not hasattr(self, "rnn"):
            return Activations(embedding, [], embedding.new_empty(0))
        hidden, _ = layer_outputs(self.rnn, enter_rnn(embedding, batch, self.config))
        if not hasattr(self, "pooling"):
            return Activations(embedding, hidden, embedding.new_empty(0))
        pooled = self.pooling(leave_rnn(hidden[-1], batch), batch)
        return Activations(embedding, hidden, join_pair(pooled, self.config.is_pair).detach())

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config.embedding_std)


class CollapsedPTUForSequenceClassification(HoldsWhatIsLeft, PTUForSequenceClassification):
    """A :class:`PTUForSequenceClassification` without what its pinned units do not need.

    A unit pinned to "target" is gone; one pinned to "frozen" or "adapted" keeps its projection, and
    the latter its candidate. Layers of either network that nothing reads any more are gone too. The
    logits are, to the bit, those of the whole model with the same units pinned; the units that are
    left have gates and can learn.

    :func:`~ptu_seq.models.collapse.collapse` makes one, `from_pretrained` loads one.

    Args:
        config: shapes of both networks, options of the units and what is pinned.

    Shape:
        As :class:`PTUForSequenceClassification`.
    """

    config_class = CollapsedConfig
    config: CollapsedConfig
    made_by = "ptu_seq.models.collapse.collapse(model)"

    def __init__(self, config: CollapsedConfig) -> None:
        # Past the whole model's own, which would make all of both networks.
        super(PTUForSequenceClassification, self).__init__(config)
        source, target, parts = config.source_config, config.target_config, config.parts
        self.target_config, self.parts = target, parts
        labels, head = len(config.label_names), parts.states["classifier"]
        self.hidden_dropout = nn.Dropout(target.hidden_dropout)
        if parts.has_target:
            self._make_target(config)
            self.classifier = nn.Linear(target.pooled_size, labels)
        if parts.pools_source:
            self.source_classifier = nn.Linear(source.pooled_size, labels)
        options = config.unit_options("classifier")
        self.classifier_unit = make_unit(labels, labels, head, **options)
        self.post_init()
        self.source = FrozenSource(SourceLayers(source, parts))
        self.requires_grad_()

    def _make_target(self, config: CollapsedConfig) -> None:
        source, target, parts = config.source_config, config.target_config, self.parts
        if "embedding" in parts.states:
            state, size = parts.states["embedding"], target.embedding_size
            self.embedding = CollapsedEmbedding(
                PaddingEmbedding(size, target.pad_token_id)
                if is_lent([state])
                else nn.Embedding(target.vocab_size, size, padding_idx=target.pad_token_id),
                make_unit(source.embedding_size, size, state, **config.unit_options("embedding")),
            )
        self.embedding_dropout = nn.Dropout(target.embedding_dropout)
        below = rnn_options(target)["hidden_size"] * (2 if target.bidirectional else 1)
        self.rnn = CollapsedRNN(  # type: ignore[assignment]
            nn.LSTM if target.rnn_type == "lstm" else nn.GRU,
            parts.layers,
            parts.first,
            input_size=target.embedding_size if "embedding" in parts.states else below,
            hidden_size=target.hidden_size,
            source_hidden_size=source.hidden_size,
            dropout=rnn_options(target)["dropout"],
            level=config.level,
            **config.unit_options("rnn"),
        )
        self.pooling = Pooling(target)

    def _source_activations(
        self, batch: Batch, hidden: Tensor | None, pooled: Tensor | None
    ) -> Activations:
        if hidden is not None or pooled is not None:
            raise ValueError("A collapsed model runs its source; source_hidden is not accepted.")
        return self.source.network.activations(batch)

    def _logits(
        self, batch: Batch, source: Activations, on_gates: OnGates | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The logits, and the source's and the target's where both are left."""
        head = self.parts.states["classifier"]
        if self.parts.pools_source:
            s = self.source_classifier(self.hidden_dropout(source.pooled))
        t = self._target_logits(batch, source, on_gates) if self.parts.has_target else s
        if head == "target":
            s = t
        logits, gates = self.classifier_unit(s, t, return_gates=True)
        if on_gates is not None:
            on_gates("classifier", gates)
        return logits, s, t

    def _target_logits(self, batch: Batch, source: Activations, on_gates: OnGates | None) -> Tensor:
        parts = self.parts
        x = None
        if "embedding" in parts.states:
            vectors = self.embedding(batch.ids, source.embedding, on_gates=on_gates)
            x = enter_rnn(self.embedding_dropout(vectors), batch, self.target_config)
        hidden = [
            source.hidden[parts.first + i] if reads_source(layer) else None
            for i, layer in enumerate(parts.layers)
        ]
        entering = hidden[0] if x is None else x
        assert entering is not None
        output = self.rnn(x, hidden, padded(on_gates, entering, batch.ids.shape[1]))
        pooled = self.pooling(leave_rnn(output, batch), batch)
        joined = join_pair(pooled, self.target_config.is_pair)
        return self.classifier(self.hidden_dropout(joined))

    def units(self) -> Iterator[tuple[str, PTU]]:
        """Every unit that is left, with the site it sits at."""
        if "embedding" in self.parts.states:
            yield "embedding", self.embedding.unit
        if self.parts.has_target:
            for unit in self.rnn.modules():
                if isinstance(unit, PTU):
                    yield "rnn", unit
        yield "classifier", self.classifier_unit

    def unpin(self) -> Self:
        """Lets the gates act that are left."""
        for _, unit in self.units():
            if not isinstance(unit, PinnedPTU):
                unit.unpin()
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets it for all but the source: whatever is left is read."""
        return ModelWithSource.requires_grad_(self, requires_grad)
