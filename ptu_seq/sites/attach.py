"""Putting units between networks, and taking them out again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from torch import nn

from ptu_seq.feature_maps import GatesPer
from ptu_seq.linear_units import LinearUnit
from ptu_seq.nn.options import UnitOptions
from ptu_seq.sites.attachment import NAME, Attachment
from ptu_seq.sites.patterns import Sites, resolve_sites
from ptu_seq.sites.probe import Call, as_call, source_outputs, target_outputs
from ptu_seq.sites.site_units import FeatureAxis, make_unit
from ptu_seq.sites.source_network import SourceInput, SourceNetwork


def attach(
    target: nn.Module,
    source: nn.Module | Sequence[nn.Module],
    sites: Sites,
    example: Any,
    *,
    source_input: SourceInput | Sequence[SourceInput | None] | None = None,
    gates_per: GatesPer = "position",
    features: FeatureAxis = "auto",
    linear: type[LinearUnit] | None = None,
    **options: Unpack[UnitOptions],
) -> Attachment:
    """Puts units where networks run alike; from then on `target` is gated.

    Before each forward pass of the target the frozen source reads the same batch, and at each site
    a unit mixes what the source's module returned there with what the target's did:

        h = (1 - u) * t + u * s'        (see :class:`ptu_seq.PTU`)

    A site may be any module: a layer, a recurrent layer (its output sequence is gated, not its
    final state), a whole block. If it returns a tuple or a ModelOutput, its first tensor is gated.
    Networks of different architectures meet where their activations agree in all axes but the
    features.

    The target keeps its class, its names of parameters and its methods. The units are its module
    `ptu`, so optimisers, `state_dict` and `to` reach them; the source moves with the target, but is
    no part of its state dict.

    Args:
        target: the network to train.
        source: a trained network, frozen in place; it must share no weights with the target.
            Several of them compete at each site (:class:`~ptu_seq.multi_source.MultiSourcePTU`).
        sites: patterns of names in all networks, such as `"features.*"` or
            `"encoder.layer.[0-5]"` (`*` stays between dots, `**` does not); or a mapping from names
            in the target to names in the source (a sequence of them, one for each of several).
        example: a batch for the target: a tensor, a tuple of arguments or a dict of them. All
            networks read it once, without gradients and in eval mode, to learn shapes.
        source_input: makes the source's input of the target's arguments, where it is another: a
            function of them that returns a tensor, a tuple of arguments or a dict of them. One for
            all sources, or a sequence with one (or None) for each.
        gates_per: whether feature maps have gates at each "position" or one pair for each
            "channel".
        features: which axis holds the features: "auto" (the second of feature maps and of outputs
            of one-dimensional convolutions, else the last), "last" or "second", at all sites.
        linear: a class of units that mix by constants, such as
            :class:`~ptu_seq.linear_units.CrossStitch`, in place of gates; without options.
        **options: those of the units, see :class:`ptu_seq.PTU`.

    Returns:
        The attachment, which is also `target.ptu`: pins, gates, saving.

    Raises:
        ValueError: if a name matches nothing, a site is not reached, activations cannot meet, the
            networks share weights or differ in device or type, or the target has units already.

    Example:
        >>> import torch
        >>> source = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        >>> target = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> units = attach(target, source, ["0", "1"], example=torch.zeros(1, 4))
        >>> target(torch.randn(5, 4)).shape
        torch.Size([5, 2])
        >>> with units.pinned("frozen"):
        ...     mixed = target(torch.ones(1, 4))
        >>> torch.equal(mixed, target[2](source[:2](torch.ones(1, 4))))
        True
    """
    sources = [source] if isinstance(source, nn.Module) else list(source)
    if not sources:
        raise ValueError("attach: no source is given.")
    if attached(target) is not None:
        raise ValueError(
            "attach: the target has units already; detach() it first, or name all sites at once."
        )
    inputs = _one_each(source_input, len(sources))
    for network in sources:
        _check_apart(target, network)
        _check_place(target, network)
    names = resolve_sites(target, sources, sites)
    call = as_call(example)
    own = target_outputs(target, list(names), call)
    source_networks = [
        SourceNetwork(network, {site: of[i] for site, of in names.items()}, inputs[i])
        for i, network in enumerate(sources)
    ]
    theirs = _probe(source_networks, call)
    units = {
        site: make_unit(
            site,
            target.get_submodule(site),
            [outputs[site] for outputs in theirs],
            own[site],
            features,
            gates_per,
            options,
            linear,
        )
        for site in names
    }
    attachment = Attachment(source_networks, units)
    attachment.train(target.training)
    attachment.connect(target)
    return attachment


def detach(target: nn.Module) -> Attachment:
    """Takes a target's units and sources out; it is then the network that it was, trained on.

    Returns:
        What was taken out.

    Raises:
        ValueError: if the target has no units.
    """
    attachment = attached(target)
    if attachment is None:
        raise ValueError("detach: the target has no units.")
    attachment.disconnect(target)
    return attachment


def attached(target: nn.Module) -> Attachment | None:
    """The target's attachment, if it has one."""
    attachment = getattr(target, NAME, None)
    return attachment if isinstance(attachment, Attachment) else None


def _one_each(
    source_input: SourceInput | Sequence[SourceInput | None] | None, count: int
) -> list[SourceInput | None]:
    if source_input is None or callable(source_input):
        return [source_input] * count
    if len(source_input) != count:
        raise ValueError(
            f"attach: source_input has {len(source_input)} functions for {count} sources; give one "
            "for all, or one (or None) for each."
        )
    return list(source_input)


def _probe(source_networks: Sequence[SourceNetwork], call: Call) -> list[dict[str, Any]]:
    return [source_outputs(network, call) for network in source_networks]


def _check_apart(target: nn.Module, source: nn.Module) -> None:
    """Raises ValueError if the networks share a weight, which would train or freeze both."""
    theirs = {id(x) for x in (*source.parameters(), *source.buffers())}
    for name, x in (*target.named_parameters(), *target.named_buffers()):
        if id(x) in theirs:
            raise ValueError(
                f"attach: target and source share {name!r}; start the target from the source with "
                "copy.deepcopy(source), so that one can stay frozen while the other trains."
            )


def _check_place(target: nn.Module, source: nn.Module) -> None:
    own, theirs = next(target.parameters(), None), next(source.parameters(), None)
    if own is None or theirs is None:
        return
    for what in ("device", "dtype"):
        if getattr(own, what) != getattr(theirs, what):
            raise ValueError(
                f"attach: the target's {what} is {getattr(own, what)} and the source's "
                f"{getattr(theirs, what)}; move the source with its to()."
            )
