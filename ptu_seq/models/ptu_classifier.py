"""The classifier of the paper: a frozen source beside a target, with units between them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from ptu_seq.models.classifier import Activations, RNNForSequenceClassification
from ptu_seq.models.config import PTUConfig
from ptu_seq.models.encoding import (
    Batch,
    Pooling,
    enter_rnn,
    initialise,
    join_pair,
    leave_rnn,
    read_batch,
    rnn_options,
)
from ptu_seq.models.labels import copy_classifier, labels_within
from ptu_seq.models.lending import recall
from ptu_seq.models.token_gates import OnTokenGates, ReportsGates, at_tokens, padded
from ptu_seq.models.with_source import ModelWithSource, check_names, describe_source
from ptu_seq.nn import GatedEmbedding, GatedGRU, GatedLSTM
from ptu_seq.nn.gated import OnGates
from ptu_seq.source import FrozenSource
from ptu_seq.unit import PTU, Pin

Init = Literal["source", "random"]


class PTUForSequenceClassification(ReportsGates, ModelWithSource[RNNForSequenceClassification]):
    r"""A target classifier that draws on a frozen source at every layer through units.

    Units sit after the embedding, after each recurrent layer (and direction), and on the logits.
    There the source's activation is what a classifier of its own makes of the source's pooled
    hidden state: the source's classifier where the labels agree, a linear probe where they do not.
    So with all units pinned to "target" the model is the target network, and pinned to "frozen" it
    is the source network, to the bit.

    Make one with :meth:`from_source`, load one with `from_pretrained`.

    Args:
        config: shapes of both networks and options of the units.

    Shape:
        - input_ids, attention_mask, token_type_ids: `(batch, length)`, padded on either side
        - labels: `(batch,)`; logits: `(batch, num_labels)`

    Example:
        >>> from ptu_seq.models import RNNConfig
        >>> source = RNNForSequenceClassification(RNNConfig(vocab_size=50, num_labels=2))
        >>> model = PTUForSequenceClassification.from_source(source, num_labels=3)
        >>> model(torch.tensor([[7, 8, 9, 3], [4, 3, 0, 0]])).logits.shape
        torch.Size([2, 3])
    """

    config_class = PTUConfig
    source_class = RNNForSequenceClassification
    config: PTUConfig
    accepts_loss_kwargs = True

    def __init__(self, config: PTUConfig) -> None:
        super().__init__(config)
        source, target = config.source_config, config.target_config
        labels = len(config.label_names)
        gated_class = GatedLSTM if target.rnn_type == "lstm" else GatedGRU
        self.target_config = target
        self.embedding = GatedEmbedding(
            target.vocab_size,
            target.embedding_size,
            padding_idx=target.pad_token_id,
            source_embedding_dim=source.embedding_size,
            **config.unit_options("embedding"),
        )
        self.embedding_dropout = nn.Dropout(target.embedding_dropout)
        self.rnn = gated_class(
            target.embedding_size,
            **rnn_options(target),
            source_hidden_size=source.hidden_size,
            level=config.level,
            **config.unit_options("rnn"),
        )
        self.pooling = Pooling(target)
        self.hidden_dropout = nn.Dropout(target.hidden_dropout)
        self.classifier = nn.Linear(target.pooled_size, labels)
        self.source_classifier = nn.Linear(source.pooled_size, labels)
        self.classifier_unit = PTU(labels, **config.unit_options("classifier"))
        self.post_init()
        # Made last, so that a seed draws the same target whatever the source.
        self.source = FrozenSource(RNNForSequenceClassification(source))
        self.unpin().requires_grad_()

    @classmethod
    def from_source(
        cls,
        source: RNNForSequenceClassification,
        init: Init = "source",
        *,
        id2label: dict[int, str] | None = None,
        num_labels: int | None = None,
        target: dict[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Makes a model for a new task from a trained source.

        Args:
            source: the trained classifier; its weights are copied, it is left as it is.
            init: "source" starts the target network from the source's weights, "random" anew.
            id2label: names of the new task's labels, the source's if None. Where they are the
                source's (in any order), the classifiers start from the source's too.
            num_labels: their number, if they have no names.
            target: fields of :class:`RNNConfig` in which the target network differs.
            **options: fields of :class:`PTUConfig`: `sites`, `level`, `candidate`, ...

        Returns:
            A model on the source's device and of its type.

        Raises:
            ValueError: for an unknown `init` or option, or shapes that do not fit.
        """
        shape = source.config.shape
        check_names(cls, "init", [init], get_args(Init))
        check_names(cls, "field of target", target or {}, shape)
        described = describe_source(source)
        internal = (*described, "target_network", "include_source")
        free = [name for name in PTUConfig.__annotations__ if name not in internal]
        check_names(cls, "option", options, free)
        if id2label is None and num_labels is None:
            id2label = dict(enumerate(source.config.label_names))
        labels = {"num_labels": num_labels} if id2label is None else {"id2label": id2label}
        config = PTUConfig(
            target_network={**shape, **(target or {})},
            **described,
            **labels,
            **options,
        )
        model = cls(config)
        model.to(device=source.device, dtype=source.dtype)  # type: ignore[call-arg]
        model.source.network.load_state_dict(source.state_dict())
        copy_classifier(source, model.source_classifier, model.config)
        if init == "source":
            model._start_from_source()
        return model

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        source_hidden: Tensor | None = None,
        source_pooled: Tensor | None = None,
    ) -> SequenceClassifierOutput:
        """Logits, and the loss if there are labels: see :class:`RNNForSequenceClassification`.

        Args:
            input_ids: tokens.
            attention_mask: 1 at tokens, 0 at padding.
            token_type_ids: 0 at the premise, 1 at the hypothesis; read for pairs alone.
            labels: the right classes.
            num_items_in_batch: examples in all of an optimisation step, see there.
            source_hidden: the source's hidden states, which is not run then: what
                :class:`~ptu_seq.models.lending.LendsHidden` lends of these, filled up with 0.
            source_pooled: its pooled vectors, likewise.

        Raises:
            ValueError: if one of the last two is given without the other or has another shape.
        """
        batch = read_batch(self.target_config, input_ids, attention_mask, token_type_ids)
        source = self._source_activations(batch, source_hidden, source_pooled)
        logits, s, t = self._logits(batch, source)
        if labels is None:
            return SequenceClassifierOutput(logits=logits)
        loss = partial(
            self.loss_function,
            labels,
            config=self.config,
            num_items_in_batch=num_items_in_batch,
        )
        with labels_within(labels, logits.shape[-1]):
            total = loss(pooled_logits=logits)
        if self.training and self.config.branch_loss and self.classifier_unit.pinned is None:
            branches = loss(pooled_logits=s) + loss(pooled_logits=t)
            total = total + self.config.branch_loss * branches
        return SequenceClassifierOutput(loss=total, logits=logits)

    def _source_activations(
        self, batch: Batch, hidden: Tensor | None, pooled: Tensor | None
    ) -> Activations:
        """The source's activations: those that are given, else it is run."""
        if hidden is None and pooled is None:
            return self.source.network.activations(batch)
        if hidden is None or pooled is None:
            raise ValueError("source_hidden and source_pooled are given together, or neither.")
        return recall(self.source.network, batch, hidden, pooled)

    def _logits(
        self, batch: Batch, source: Activations, on_gates: OnGates | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gated logits, the source's and the target's."""
        x = self.embedding(batch.ids, source.embedding, on_gates=on_gates)
        x = enter_rnn(self.embedding_dropout(x), batch, self.target_config)
        report = padded(on_gates, x, batch.ids.shape[1])
        output, _ = self.rnn.unroll(x, None, source.hidden, on_gates=report)
        pooled = self.pooling(leave_rnn(output, batch), batch)
        joined = join_pair(pooled, self.target_config.is_pair)
        t = self.classifier(self.hidden_dropout(joined))
        s = self.source_classifier(self.hidden_dropout(source.pooled))
        if on_gates is None:
            return self.classifier_unit(s, t), s, t
        logits, gates = self.classifier_unit(s, t, return_gates=True)
        on_gates("classifier", gates)
        return logits, s, t

    @torch.inference_mode()
    def token_gates(
        self,
        input_ids: Tensor,
        on_gates: OnTokenGates,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        source_hidden: Tensor | None = None,
        source_pooled: Tensor | None = None,
    ) -> None:
        """The gates at "embedding", "layer0.forward", ... and, of whole sentences, "classifier".

        See :class:`~ptu_seq.models.token_gates.ReportsGates`; the other arguments are those of
        :meth:`forward`.
        """
        batch = read_batch(self.target_config, input_ids, attention_mask, token_type_ids)
        source = self._source_activations(batch, source_hidden, source_pooled)
        report = at_tokens(on_gates, batch.ids, batch.mask, len(input_ids))
        self._logits(batch, source, report)

    def units(self) -> Iterator[tuple[str, PTU]]:
        """Every unit, with the site it sits at."""
        yield "embedding", self.embedding.unit
        for unit in self.rnn.modules():
            if isinstance(unit, PTU):
                yield "rnn", unit
        yield "classifier", self.classifier_unit

    def pin(self, state: Pin) -> Self:
        """Pins every unit (see :meth:`ptu_seq.PTU.pin`); returns the model."""
        for _, unit in self.units():
            unit.pin(state)
        return self

    def unpin(self) -> Self:
        """Lets the gates of the configuration's sites act; the others stay pinned to "target"."""
        for site, unit in self.units():
            if site in self.config.sites:
                unit.unpin()
            else:
                unit.pin("target")
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets it for all but the source and the units that are not among the sites."""
        super().requires_grad_(requires_grad)
        idle: list[nn.Module] = [u for site, u in self.units() if site not in self.config.sites]
        if "classifier" not in self.config.sites:
            idle.append(self.source_classifier)
        for module in idle:
            module.requires_grad_(False)
        return self

    def _start_from_source(self) -> None:
        source = self.source.network
        for name in ("rnn_type", "embedding_size", "hidden_size"):
            theirs, ours = getattr(source.config, name), getattr(self.target_config, name)
            if theirs != ours:
                raise ValueError(
                    f"init='source' copies the source's weights, but {name} is {theirs} there and "
                    f"{ours} in the target; use init='random', or the source's {name}."
                )
        self.embedding.target.load_state_dict(source.embedding.state_dict())
        self.rnn.target.load_state_dict(source.rnn.state_dict())
        if self.target_config.pooling == source.config.pooling:
            self.pooling.load_state_dict(source.pooling.state_dict())
        copy_classifier(source, self.classifier, self.config)

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.target_config.embedding_std)
