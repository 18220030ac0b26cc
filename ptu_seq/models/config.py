"""Configurations of the classifiers, as transformers saves and loads them."""

from __future__ import annotations

from typing import Any, Literal, get_args

from ptu_seq.models.versioned_config import VersionedConfig
from ptu_seq.nn.gated import Level
from ptu_seq.nn.options import UnitOptions
from ptu_seq.unit import Candidate, CandidateInit

RNNType = Literal["lstm", "gru"]
Pooling = Literal["max", "mean", "last", "attention"]
Site = Literal["embedding", "rnn", "classifier"]
BySite = float | dict[str, float]
"""A number for all sites, or one for each by its name."""


class LabelledConfig(VersionedConfig):
    """A configuration whose labels number the logits from 0; fills in `label2id`."""

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.id2label is not None:
            names = {int(i): str(label) for i, label in self.id2label.items()}
            if sorted(names) != list(range(len(names))):
                raise ValueError(
                    f"{type(self).__name__}: id2label numbers the labels {sorted(names)}; they "
                    f"must be 0 to {len(names) - 1}."
                )
            if self.label2id is None:
                self.label2id = {label: i for i, label in names.items()}

    @property
    def label_names(self) -> list[str]:
        """The labels, in the order of the logits."""
        names = {int(i): str(label) for i, label in (self.id2label or {}).items()}
        return [names[i] for i in range(len(names))]


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
    rnn_type: RNNType = "lstm"
    bidirectional: bool = False
    pooling: Pooling = "max"
    embedding_dropout: float = 0.3
    hidden_dropout: float = 0.3
    embedding_std: float = 0.3
    is_pair: bool = False
    pad_token_id: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        check_choice("rnn_type", self.rnn_type, get_args(RNNType))
        check_choice("pooling", self.pooling, get_args(Pooling))
        for name in ("vocab_size", "embedding_size", "hidden_size", "num_hidden_layers"):
            if getattr(self, name) < 1:
                raise ValueError(f"RNNConfig: {name} is {getattr(self, name)}; at least 1 needed.")
        super().__post_init__(**kwargs)

    @property
    def shape(self) -> dict[str, Any]:
        """The fields of this class, without those that all of transformers' models have."""
        return {name: getattr(self, name) for name in RNNConfig.__annotations__}

    @property
    def pooled_size(self) -> int:
        """Features of the vector that the classifier reads."""
        return self.hidden_size * (2 if self.bidirectional else 1) * (4 if self.is_pair else 1)


class PTUConfig(LabelledConfig):
    """Shape of a :class:`~ptu_seq.models.PTUForSequenceClassification`.

    Args:
        target_network: the target network's :class:`RNNConfig`, as a dict; its labels are those
            of this model.
        source_network: the source network's, likewise, with its labels and the type of its weights.
        sites: where units sit: any of "embedding", "rnn" (after every recurrent layer and
            direction) and "classifier" (on the logits).
        level: "layer" (the unit gates a layer's output) or "step" (the gated state feeds the
            recurrence).
        candidate: the unit's candidate: "linear", "tanh" or "relu".
        candidate_init: "identity" or "random".
        fine_tune_bias: initial bias of the fine-tune gates.
        update_bias: initial bias of the update gates: one number, or one for each of the sites.
        gate_dropout: probability in training that a neuron's update gate is forced open or shut:
            one number, or one for each of the sites.
        branch_loss: weight in training of the losses of the source's and of the target's logits
            alone, beside that of the gated ones.
        source_hash: content hash of the source's weights, checked on loading.
        include_source: whether the weights file holds the source (else it must be given).
        **kwargs: `id2label`, `num_labels` and other arguments of transformers' PreTrainedConfig.

    Raises:
        ValueError: for an unknown site, numbers by site that leave one out, or networks that cannot
            be twins because they read different tokens or have different layers.
    """

    model_type = "ptu_seq_ptu"

    # Not "source": from_pretrained(folder, source=...) gives a network, and Auto classes would set
    # a field of that name to it.
    target_network: dict[str, Any] | None = None
    source_network: dict[str, Any] | None = None
    sites: list[str] | tuple[str, ...] = get_args(Site)
    level: Level = "layer"
    candidate: Candidate = "linear"
    candidate_init: CandidateInit = "identity"
    fine_tune_bias: float = 0.0
    update_bias: BySite = 0.0
    gate_dropout: BySite = 0.0
    branch_loss: float = 0.0
    source_hash: str | None = None
    include_source: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        for site in self.sites:
            check_choice("sites", site, get_args(Site))
        self.sites = list(self.sites)
        for name in ("update_bias", "gate_dropout"):
            check_by_site(type(self).__name__, name, getattr(self, name), get_args(Site))
        super().__post_init__(**kwargs)
        _check_twins(self.source_config, self.target_config)

    def unit_options(self, site: Site) -> UnitOptions:
        """What the units at a site are made with: keyword arguments of :class:`ptu_seq.PTU`."""
        return options_at(self, site)

    @property
    def target_config(self) -> RNNConfig:
        """The target network's configuration, with this model's labels."""
        return RNNConfig(**{**(self.target_network or {}), "id2label": self.id2label})

    @property
    def source_config(self) -> RNNConfig:
        """The source network's configuration."""
        return RNNConfig(**(self.source_network or {}))

    @property
    def is_pair(self) -> bool:
        """Whether an example is a pair of sentences."""
        return self.target_config.is_pair


def options_at(config: Any, site: str) -> UnitOptions:
    """What a configuration says of the units at a site, where numbers may differ by site."""

    def number(value: BySite) -> float:
        return value[site] if isinstance(value, dict) else value

    return {
        "candidate": config.candidate,
        "candidate_init": config.candidate_init,
        "fine_tune_bias": config.fine_tune_bias,
        "update_bias": number(config.update_bias),
        "gate_dropout": number(config.gate_dropout),
    }


def check_by_site(owner: str, name: str, value: BySite, sites: tuple[str, ...]) -> None:
    """Raises ValueError for numbers by site that leave one out, or have one of no site."""
    if isinstance(value, dict) and set(value) != set(sites):
        raise ValueError(
            f"{owner}: {name} has numbers for {', '.join(value) or 'no site'}; it takes one "
            f"number, or one for each of {', '.join(sites)}."
        )


def _check_twins(source: RNNConfig, target: RNNConfig) -> None:
    for name in ("vocab_size", "pad_token_id", "num_hidden_layers", "bidirectional", "is_pair"):
        theirs, ours = getattr(source, name), getattr(target, name)
        if theirs != ours:
            raise ValueError(
                f"The source's {name} is {theirs} and the target's {ours}; they must be equal."
            )


def check_choice(name: str, value: str, accepted: tuple[str, ...]) -> None:
    """Raises ValueError, naming the field and what it accepts, for any other value."""
    if value not in accepted:
        raise ValueError(f"{name} is {value!r}; accepted are {', '.join(accepted)}.")
