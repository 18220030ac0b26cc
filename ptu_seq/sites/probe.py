"""One pass of both networks over an example, to learn which sites they reach and in what shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ptu_seq.modes import evaluating
from ptu_seq.sites.recording import Recorder
from ptu_seq.sites.source_network import SourceNetwork

Outputs = dict[str, list[Tensor]]
"""The activations at each site, one for each time that the network ran it."""


class Call(NamedTuple):
    """Arguments of a network."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def as_call(example: Any) -> Call:
    """A tensor, a tuple or list of arguments, or a mapping of them, as a call."""
    if isinstance(example, Mapping):
        return Call((), dict(example))
    if isinstance(example, (tuple, list)):
        return Call(tuple(example), {})
    return Call((example,), {})


def target_outputs(target: nn.Module, sites: Sequence[str], call: Call) -> Outputs:
    """What the target's modules return on the example; it is left as it was.

    Raises:
        ValueError: if it cannot read the example, or does not reach a site.
    """
    outputs: Outputs = {site: [] for site in sites}
    hooks = []
    for site in sites:
        recorder = Recorder(site)
        recorder.activations = outputs
        hooks.append(target.get_submodule(site).register_forward_hook(recorder))
    try:
        with evaluating(target), torch.no_grad():
            target(*call.args, **call.kwargs)
    except Exception as error:
        raise ValueError(f"attach: the target cannot read the example: {error}") from error
    finally:
        for hook in hooks:
            hook.remove()
    _check_reached(outputs, {site: site for site in sites}, "target")
    return outputs


def source_outputs(source: SourceNetwork, call: Call) -> Outputs:
    """What a source's modules return on what it makes of the example.

    Raises:
        ValueError: as :func:`target_outputs`.
    """
    outputs: Outputs = {site: [] for site in source.sites}
    source.connect()
    try:
        with torch.no_grad():
            source.record(call.args, call.kwargs, outputs)
    except Exception as error:
        raise ValueError(
            f"attach: the source cannot read what the target reads ({error}); give source_input, "
            "a function that makes the source's input of the target's arguments."
        ) from error
    finally:
        source.disconnect()
    _check_reached(outputs, source.sites, "source")
    return outputs


def _check_reached(outputs: Outputs, names: Mapping[str, str], network: str) -> None:
    reached = [names[site] for site, activations in outputs.items() if activations]
    for site, activations in outputs.items():
        if not activations:
            raise ValueError(
                f"attach: the {network}'s forward pass never reaches {names[site]!r}, or gets no "
                f"floating-point tensor from it; it reaches {', '.join(reached) or 'no site'}."
            )
