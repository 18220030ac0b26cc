"""The classifier of the paper: a frozen source beside a target, with units between them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ptu_seq.models.classifier import RNNForSequenceClassification
from ptu_seq.models.config import PTUConfig, RNNConfig
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
from ptu_seq.nn import GatedEmbedding, GatedGRU, GatedLSTM
from ptu_seq.nn.gated import OnGates
from ptu_seq.source import FrozenSource, content_hash
from ptu_seq.unit import PTU, Pin

Init = Literal["source", "random"]


class PTUForSequenceClassification(PreTrainedModel):
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
        - input_ids, attention_mask, token_type_ids: `(batch, length)`, padded on the right
        - labels: `(batch,)`; logits: `(batch, num_labels)`

    Example:
        >>> source = RNNForSequenceClassification(RNNConfig(vocab_size=50, num_labels=2))
        >>> model = PTUForSequenceClassification.from_source(source, num_labels=3)
        >>> model(torch.tensor([[7, 8, 9, 3], [4, 3, 0, 0]])).logits.shape
        torch.Size([2, 3])
    """

    config_class = PTUConfig
    config: PTUConfig
    accepts_loss_kwargs = True

    def __init__(self, config: PTUConfig) -> None:
        super().__init__(config)
        source, target = config.source_config, config.target_config
        _check_twins(source, target)
        options = {
            "candidate": config.candidate,
            "candidate_init": config.candidate_init,
            "fine_tune_bias": config.fine_tune_bias,
            "update_bias": config.update_bias,
        }
        gated_class = GatedLSTM if target.rnn_type == "lstm" else GatedGRU
        self.target_config = target
        self.embedding = GatedEmbedding(
            target.vocab_size,
            target.embedding_size,
            padding_idx=target.pad_token_id,
            source_embedding_dim=source.embedding_size,
            **options,  # type: ignore[arg-type]
        )
        self.embedding_dropout = nn.Dropout(target.embedding_dropout)
        self.rnn = gated_class(
            target.embedding_size,
            **rnn_options(target),
            source_hidden_size=source.hidden_size,
            level=config.level,
            **options,  # type: ignore[arg-type]
        )
        self.pooling = Pooling(target)
        self.hidden_dropout = nn.Dropout(target.hidden_dropout)
        self.classifier = nn.Linear(target.pooled_size, config.num_labels)
        self.source_classifier = nn.Linear(source.pooled_size, config.num_labels)
        self.classifier_unit = PTU(config.num_labels, **options)  # type: ignore[arg-type]
        self.post_init()
        # Made last, so that a seed draws the same target whatever the source.
        self.source = FrozenSource(RNNForSequenceClassification(source))
        self.unpin()

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
            id2label: names of the new task's labels. Where they are the source's (in any order),
                the classifiers start from the source's too.
            num_labels: their number, if they have no names.
            target: fields of :class:`RNNConfig` in which the target network differs.
            **options: fields of :class:`PTUConfig`: `sites`, `level`, `candidate`, ...

        Raises:
            ValueError: for an unknown `init` or shapes that do not fit it.
        """
        if init not in ("source", "random"):
            raise ValueError(f"init is {init!r}; accepted are source, random.")
        shape = _shape(source.config)
        labels: dict[str, Any] = {"id2label": id2label} if id2label else {"num_labels": num_labels}
        model = cls(
            PTUConfig(
                source={**shape, "id2label": source.config.id2label},
                target={**shape, **(target or {})},
                source_hash=content_hash(source),
                **labels,
                **options,
            )
        )
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
    ) -> SequenceClassifierOutput:
        """Logits, and the loss if there are labels: see :class:`RNNForSequenceClassification`."""
        batch = read_batch(self.target_config, input_ids, attention_mask, token_type_ids)
        with self._branch_dropout():
            logits, s, t = self._logits(batch)
        if labels is None:
            return SequenceClassifierOutput(logits=logits)
        loss = partial(
            self.loss_function,
            labels,
            config=self.config,
            num_items_in_batch=num_items_in_batch,
        )
        total = loss(pooled_logits=logits)
        if self.training and self.config.branch_loss and self.classifier_unit.pinned is None:
            branches = loss(pooled_logits=s) + loss(pooled_logits=t)
            total = total + self.config.branch_loss * branches
        return SequenceClassifierOutput(loss=total, logits=logits)

    @contextmanager
    def _branch_dropout(self) -> Iterator[None]:
        """Pins units at random for one training step."""
        if not (self.training and self.config.branch_dropout):
            yield
            return
        free = [unit for _, unit in self.units() if unit.pinned is None]
        for unit, draw in zip(free, torch.rand(len(free)).tolist(), strict=True):
            if draw < self.config.branch_dropout:
                unit.pin("target" if draw < self.config.branch_dropout / 2 else "frozen")
        try:
            yield
        finally:
            for unit in free:
                unit.unpin()

    def _logits(
        self, batch: Batch, on_gates: OnGates | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gated logits, the source's and the target's."""
        source = self.source.network.activations(batch)
        x = self.embedding(batch.ids, source.embedding, on_gates=on_gates)
        x = enter_rnn(self.embedding_dropout(x), batch, self.target_config)
        output, _ = self.rnn.unroll(x, None, source.hidden, on_gates=on_gates)
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
    def gates(
        self,
        input_ids: Tensor,
        on_gates: OnGates,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
    ) -> None:
        """Calls `on_gates(site, gates)` for every unit with its gates at tokens, padding left out.

        Args:
            input_ids: tokens.
            on_gates: is given "embedding", "layer0.forward", ..., "classifier" and the gates,
                `(tokens, features)`, or `(batch, num_labels)` of the classifier's.
            attention_mask: 1 at tokens, 0 at padding.
            token_type_ids: 0 at the premise, 1 at the hypothesis; read for pairs alone.
        """
        batch = read_batch(self.target_config, input_ids, attention_mask, token_type_ids)

        def at_tokens(site: str, gates: Any) -> None:
            padded = gates.update.dim() == 3
            on_gates(site, type(gates)(*(g[batch.mask] if padded else g for g in gates)))

        self._logits(batch, at_tokens)

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
                unit.pin("target").requires_grad_(False)
        return self

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], include_source: bool = True, **kwargs: Any
    ) -> None:
        """Saves the model; without `include_source` only the hash of the source's weights.

        Args:
            save_directory: the folder.
            include_source: whether the file holds the source's weights as well; else
                `from_pretrained` asks for them.
            **kwargs: those of transformers' `save_pretrained`.
        """
        self.config.include_source = include_source
        if not include_source:
            state = kwargs.pop("state_dict", None) or self.state_dict()
            kwargs["state_dict"] = {k: v for k, v in state.items() if not k.startswith("source.")}
        super().save_pretrained(save_directory, **kwargs)

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *args: Any,
        source: RNNForSequenceClassification | str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Self:
        """Loads a saved model and verifies its source.

        Args:
            pretrained_model_name_or_path: folder or hub name.
            *args: those of transformers' `from_pretrained`.
            source: the source network, or its folder or hub name: needed where the model was saved
                with `include_source=False`.
            **kwargs: those of transformers' `from_pretrained`.

        Raises:
            ValueError: if the source is missing, or is not the one that the model was trained with.
        """
        model = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        if isinstance(model, tuple):  # output_loading_info=True
            model[0]._attach_source(source, str(pretrained_model_name_or_path))
        else:
            model._attach_source(source, str(pretrained_model_name_or_path))
        return cast(Self, model)

    _keys_to_ignore_on_load_missing = [r"^source\."]

    def _attach_source(
        self, source: RNNForSequenceClassification | str | os.PathLike[str] | None, path: str
    ) -> None:
        if source is None and not self.config.include_source:
            raise ValueError(
                f"{path} was saved without its source (include_source=False): pass the source "
                "network, from_pretrained(..., source=MODEL_OR_FOLDER)."
            )
        if source is None:
            network = self.source.network
        elif isinstance(source, RNNForSequenceClassification):
            network = source
        else:
            network = RNNForSequenceClassification.from_pretrained(source)
        # Weights loaded in another type than they were saved in cannot be compared.
        comparable = source is not None or network.dtype == torch.float32
        if self.config.source_hash and comparable:
            found = content_hash(network)
            if found != self.config.source_hash:
                raise ValueError(
                    f"{path} was trained with the source {self.config.source_hash}, but the source "
                    f"given has the content hash {found}."
                )
        if source is not None:
            self.source.network.load_state_dict(network.state_dict())

    def _start_from_source(self) -> None:
        source, shape = self.source.network, _shape(self.target_config)
        for name, size in _shape(source.config).items():
            if name in _SIZES and shape[name] != size:
                raise ValueError(
                    f"init='source' copies the source's weights, but {name} is {size} there and "
                    f"{shape[name]} in the target; use init='random' or equal sizes."
                )
        self.embedding.target.load_state_dict(source.embedding.state_dict())
        self.rnn.target.load_state_dict(source.rnn.state_dict())
        if self.target_config.pooling == source.config.pooling:
            self.pooling.load_state_dict(source.pooling.state_dict())
        copy_classifier(source, self.classifier, self.config)

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.target_config.embedding_std)


def label_names(config: PTUConfig | RNNConfig) -> list[str]:
    """The labels of a model, in the order of its logits."""
    named = {int(i): str(label) for i, label in (config.id2label or {}).items()}
    return [named[i] for i in range(config.num_labels)]


_SIZES = ("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers")
_FIELDS = (
    *_SIZES,
    "rnn_type",
    "bidirectional",
    "pooling",
    "embedding_dropout",
    "hidden_dropout",
    "embedding_std",
    "is_pair",
    "pad_token_id",
)


def _shape(config: RNNConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in _FIELDS}


def _check_twins(source: RNNConfig, target: RNNConfig) -> None:
    for name in ("vocab_size", "num_hidden_layers", "bidirectional", "is_pair"):
        theirs, ours = getattr(source, name), getattr(target, name)
        if theirs != ours:
            raise ValueError(
                f"The source's {name} is {theirs} and the target's {ours}; they must be equal."
            )


@torch.no_grad()
def copy_classifier(
    source: RNNForSequenceClassification, classifier: nn.Linear, config: PTUConfig | RNNConfig
) -> bool:
    """Starts a classifier from the source's where both tasks have the same named labels.

    Args:
        source: the trained network.
        classifier: the layer to fill.
        config: names the new task's labels, in any order.

    Returns:
        Whether the labels and sizes agree, so that the weights were copied.
    """
    theirs, ours = label_names(source.config), label_names(config)
    named = not any(label.startswith("LABEL_") for label in ours)
    same = named and sorted(theirs) == sorted(ours)
    if not same or source.classifier.weight.shape != classifier.weight.shape:
        return False
    rows = [theirs.index(label) for label in ours]
    classifier.weight.copy_(source.classifier.weight[rows])
    classifier.bias.copy_(source.classifier.bias[rows])
    return True
