"""Configurations of the classifiers, as transformers saves and loads them."""

from __future__ import annotations

from typing import Any, Literal, get_args

from transformers import PreTrainedConfig

RNNType = Literal["lstm", "gru"]
Pooling = Literal["max", "mean", "last", "attention"]
Site = Literal["embedding", "rnn", "classifier"]


class LabelledConfig(PreTrainedConfig):
    """A configuration that fills in `label2id` from `id2label`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.id2label is not None and self.label2id is None:
            self.label2id = {label: i for i, label in self.id2label.items()}


class RNNConfig(LabelledConfig):
    """Shape of an :class:`~ptu_seq.models.RNNForSequenceClassification`.

    Args:
        vocab_size: number of tokens.
        embedding_size: features of a token's vector.
        hidden_size: features of the hidden state, per direction.
        num_hidden_layers: stacked recurrent layers.
        rnn_type: "lstm" or "gru".
        bidirectional: whether each layer also reads from right to left.
        pooling: how a sequence of hidden states becomes one vector: "max", "mean", "last" (the
            state after the last token; of both directions, each at its end) or "attention".
        embedding_dropout: probability that a feature of a token's vector is dropped in training.
        hidden_dropout: the same between recurrent layers and before the classifier.
        embedding_std: standard deviation of the initial token vectors.
        is_pair: whether an example is a pair of sentences, both encoded by the same network and
            joined as `[a; b; |a - b|; a * b]`.
        pad_token_id: the token that fills up short sequences.
        **kwargs: `id2label`, `num_labels` and other arguments of transformers' PreTrainedConfig.

    Raises:
        ValueError: for an unknown `rnn_type` or `pooling`, or a size below 1.
    """

    model_type = "ptu_seq_rnn"

    vocab_size: int = 8000
    embedding_size: int = 128
    hidden_size: int = 128
    num_hidden_layers: int = 1
    rnn_type: str = "lstm"
    bidirectional: bool = False
    pooling: str = "max"
    embedding_dropout: float = 0.3
    hidden_dropout: float = 0.3
    embedding_std: float = 0.3
    is_pair: bool = False
    pad_token_id: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        _check_choice("rnn_type", self.rnn_type, get_args(RNNType))
        _check_choice("pooling", self.pooling, get_args(Pooling))
        for name in ("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"RNNConfig: {name} is {getattr(self, name)}; at least 1 needed.")
        super().__post_init__(**kwargs)

    @property
    def pooled_size(self) -> int:
        """Features of the vector that the classifier reads."""
        return self.hidden_size * (2 if self.bidirectional else 1) * (4 if self.is_pair else 1)


class PTUConfig(LabelledConfig):
    """Shape of a :class:`~ptu_seq.models.PTUForSequenceClassification`.

    Args:
        target: the target network's :class:`RNNConfig`, as a dict.
        source: the source network's, likewise.
        sites: where units sit: any of "embedding", "rnn" (after every recurrent layer and
            direction) and "classifier" (on the logits).
        level: "layer" (the unit gates a layer's output) or "step" (the gated state feeds the
            recurrence).
        candidate: the unit's candidate: "linear", "tanh" or "relu".
        candidate_init: "identity" or "random".
        fine_tune_bias: initial bias of the fine-tune gates.
        update_bias: initial bias of the update gates.
        branch_dropout: probability that a unit is pinned for a training step, half the time to
            "frozen" and half to "target", so that neither branch relies on the other.
        branch_loss: weight in training of the losses of the source's and of the target's logits
            alone, beside that of the gated ones.
        source_hash: content hash of the source's weights, checked on loading.
        include_source: whether the weights file holds the source (else it must be given).
        **kwargs: `id2label`, `num_labels` and other arguments of transformers' PreTrainedConfig.
    """

    model_type = "ptu_seq_ptu"

    target: dict[str, Any] | None = None
    source: dict[str, Any] | None = None
    sites: list[str] | tuple[str, ...] = get_args(Site)
    level: str = "layer"
    candidate: str = "linear"
    candidate_init: str = "identity"
    fine_tune_bias: float = 0.0
    update_bias: float = 0.0
    branch_dropout: float = 0.5
    branch_loss: float = 0.5
    source_hash: str | None = None
    include_source: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        for site in self.sites:
            _check_choice("sites", site, get_args(Site))
        self.sites = list(self.sites)
        if not 0 <= self.branch_dropout < 1:
            raise ValueError(f"branch_dropout is {self.branch_dropout}; it must be in [0, 1).")
        super().__post_init__(**kwargs)

    @property
    def target_config(self) -> RNNConfig:
        """The target network's configuration, with this model's labels."""
        shape = {k: v for k, v in (self.target or {}).items() if k not in ("id2label", "label2id")}
        return RNNConfig(**shape, id2label=self.id2label)

    @property
    def source_config(self) -> RNNConfig:
        """The source network's configuration."""
        return RNNConfig(**(self.source or {}))

    @property
    def is_pair(self) -> bool:
        """Whether an example is a pair of sentences."""
        return self.target_config.is_pair


def _check_choice(name: str, value: str, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise ValueError(f"{name} is {value!r}; accepted are {', '.join(accepted)}.")
