"""Collapsing a trained classifier: the same logits from what its pinned units need."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ptu_seq.models.classifier import RNNForSequenceClassification
from ptu_seq.models.collapsed_classifier import CollapsedPTUForSequenceClassification
from ptu_seq.models.collapsed_config import CollapsedConfig, Parts, places, site_of
from ptu_seq.models.config import RNNConfig
from ptu_seq.models.pinned import pinned_fields
from ptu_seq.models.ptu_classifier import PTUForSequenceClassification
from ptu_seq.nn.collapsed import PinnedPTU, is_lent
from ptu_seq.source import content_hash
from ptu_seq.unit import PTU

Collapsed = RNNForSequenceClassification | CollapsedPTUForSequenceClassification


def units_by_place(model: PTUForSequenceClassification) -> dict[str, PTU]:
    """Every unit of a whole model by its place: "embedding", "layer0.forward", ..., "classifier".

    Example:
        >>> source = RNNForSequenceClassification(RNNConfig(vocab_size=50, bidirectional=True))
        >>> list(units_by_place(PTUForSequenceClassification.from_source(source)))
        ['embedding', 'layer0.forward', 'layer0.reverse', 'classifier']
    """
    return dict(zip(places(model.config), (unit for _, unit in model.units()), strict=True))


def collapse(model: PTUForSequenceClassification) -> Collapsed:
    """A smaller model with the logits of this one, whose units are pinned as they shall stay.

    A unit that is pinned reads one network alone. So its gates go, and with them all layers of
    either network that nothing reads any more. Where a single stack of layers is left (all units
    pinned to "target", say, or the classifier's to "frozen"), it is an ordinary
    :class:`RNNForSequenceClassification`, else a :class:`CollapsedPTUForSequenceClassification`
    with the units whose gates still act.

    Args:
        model: the trained model; `model.pin(...)` or :func:`units_by_place` pin its units. It is
            left as it is.

    Returns:
        The smaller model in eval mode, on the same device. In float32 its logits are the same to
        the bit where both run without gradients, as in inference.

    Raises:
        ValueError: for a model that has been collapsed already.

    Example:
        >>> source = RNNForSequenceClassification(RNNConfig(vocab_size=50))
        >>> model = PTUForSequenceClassification.from_source(source, num_labels=3)
        >>> units_by_place(model)["layer0.forward"].pin("frozen").pinned
        'frozen'
        >>> small = collapse(model)
        >>> small.num_parameters() < model.num_parameters(), small.config.pinned
        (True, {'layer0.forward': 'frozen'})
    """
    if isinstance(model, CollapsedPTUForSequenceClassification):
        raise ValueError("The model has been collapsed already; collapse the one that it was.")
    config = collapsed_config(model)
    with torch.random.fork_rng():
        network = _plain_network(model, config) or _with_units(model, config)
    if isinstance(network, CollapsedPTUForSequenceClassification):
        network.config.source_hash = content_hash(network.source.network)
    return network.eval()


@torch.inference_mode()
def fold_embedding(model: PTUForSequenceClassification) -> PTUForSequenceClassification:
    """A copy whose target has the gated token vectors for its own, with that unit pinned to it.

    A token's gated vector depends on nothing but the token, so a table can hold it. The logits are
    those of the model but for rounding, as the products are taken for all tokens together.

    Args:
        model: the model, whose unit at the token vectors has gates or is pinned.
    """
    folded = copy.deepcopy(model).eval()
    table = folded.embedding.target.weight
    tokens = torch.arange(len(table), device=table.device)
    vectors = folded.embedding(tokens, folded.source.network.embedding(tokens))
    table.copy_(vectors)
    folded.embedding.unit.pin("target")
    return folded


def collapsed_config(model: PTUForSequenceClassification) -> CollapsedConfig:
    """The configuration of a model with the units pinned for good that are pinned now."""
    return CollapsedConfig(**pinned_fields(model.config, units_by_place(model), site_of))


@torch.no_grad()
def _with_units(
    model: PTUForSequenceClassification, config: CollapsedConfig
) -> CollapsedPTUForSequenceClassification:
    network = CollapsedPTUForSequenceClassification(config)
    _place(network, model)
    parts, source, whole = config.parts, network.source.network, model.source.network
    source.embedding.load_state_dict(whole.embedding.state_dict())
    if parts.source_layers:
        _copy_layers(whole.rnn, 0, source.rnn, 0, parts.source_layers)
    if parts.pools_source:
        source.pooling.load_state_dict(whole.pooling.state_dict())
        network.source_classifier.load_state_dict(model.source_classifier.state_dict())
    if "embedding" in parts.states:
        target = network.embedding.target
        if isinstance(target, nn.Embedding):
            target.load_state_dict(model.embedding.target.state_dict())
        else:
            target.vector.copy_(model.embedding.target.weight[target.padding_idx])
    if parts.has_target:
        layers = model.target_config.num_hidden_layers
        first = parts.first + is_lent(parts.layers[0])
        if first < layers:
            _copy_layers(model.rnn.target, first, network.rnn.target, 0, layers - first)
        network.pooling.load_state_dict(model.pooling.state_dict())
        network.classifier.load_state_dict(model.classifier.state_dict())
    theirs = units_by_place(model)
    for place, (_, unit) in zip(parts.states, network.units(), strict=True):
        if isinstance(unit, PinnedPTU):
            unit.take(theirs[place])
        else:
            unit.load_state_dict(theirs[place].state_dict())
    return network


@torch.no_grad()
def _plain_network(
    model: PTUForSequenceClassification, config: CollapsedConfig
) -> RNNForSequenceClassification | None:
    """A single stack of layers, the lower ones the source's; None where that is not all."""
    parts, source, target = config.parts, config.source_config, config.target_config
    whole = model.source.network
    if parts.states["classifier"] == "frozen":
        network = _new(source, config, model)
        for name in ("embedding", "rnn", "pooling"):
            part = getattr(network, name)
            part.load_state_dict(getattr(whole, name).state_dict())
        network.classifier.load_state_dict(model.source_classifier.state_dict())
        return network
    lent = _lent_layers(parts, source, target)
    if lent is None:
        return None
    lends_tokens = lent > 0 or parts.states["embedding"] == "frozen"
    embedding = whole.embedding if lends_tokens else model.embedding.target
    rnn_type = target.rnn_type if lent < target.num_hidden_layers else source.rnn_type
    shape = {"embedding_size": embedding.embedding_dim, "rnn_type": rnn_type}
    network = _new(RNNConfig(**{**target.shape, **shape}), config, model)
    network.embedding.load_state_dict(embedding.state_dict())
    if lends_tokens and lent == 0:  # padding's vector is the target's, whatever a unit is pinned to
        padding = target.pad_token_id
        network.embedding.weight[padding] = model.embedding.target.weight[padding]
    _copy_layers(whole.rnn, 0, network.rnn, 0, lent)
    _copy_layers(model.rnn.target, lent, network.rnn, lent, target.num_hidden_layers - lent)
    network.pooling.load_state_dict(model.pooling.state_dict())
    network.classifier.load_state_dict(model.classifier.state_dict())
    return network


def _lent_layers(parts: Parts, source: RNNConfig, target: RNNConfig) -> int | None:
    """How many layers of a single stack are the source's; None if there is no single stack."""
    if parts.states["classifier"] != "target":
        return None
    tokens = parts.states.get("embedding")
    lent = 0 if tokens else parts.first + 1
    above = parts.layers[lent - parts.first if lent else 0 :]
    if any(set(layer) != {"target"} for layer in above):
        return None
    if lent == 0:
        same = source.embedding_size == target.embedding_size
        return 0 if tokens == "target" or (tokens == "frozen" and same) else None
    same = source.hidden_size == target.hidden_size
    same = same and (source.rnn_type == target.rnn_type or not above)
    return lent if same and set(parts.layers[0]) == {"frozen"} else None


def _new(
    shape: RNNConfig, config: CollapsedConfig, model: PTUForSequenceClassification
) -> RNNForSequenceClassification:
    """A network of this shape, with the model's labels."""
    fields = {**shape.shape, "id2label": config.id2label, "problem_type": config.problem_type}
    network = RNNForSequenceClassification(RNNConfig(**fields))
    _place(network, model)
    return network


def _place(network: Collapsed, model: PTUForSequenceClassification) -> None:
    """Moves a network to a model's device and type, before weights are copied."""
    network.to(device=model.device, dtype=model.dtype)  # type: ignore[call-arg]


def _copy_layers(
    source: nn.RNNBase, first: int, target: nn.RNNBase, place: int, count: int
) -> None:
    """Copies recurrent layers from `first` on to where `place` is the first one."""
    for i in range(count):
        for name, weight in source.named_parameters():
            kind, _, layer = name.rpartition("_l")
            number, _, reverse = layer.partition("_")
            if int(number) == first + i:
                suffix = f"_{reverse}" if reverse else ""
                target.get_parameter(f"{kind}_l{place + i}{suffix}").copy_(weight)
