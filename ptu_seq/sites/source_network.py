"""One source of a target with units: what it reads, and where its activations are taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ptu_seq.sites.recording import Recorder
from ptu_seq.source import FrozenSource

SourceInput = Callable[..., Any]
"""Makes what a source reads of the target's arguments: a tensor, a tuple or a dict of arguments."""

#: Arguments that a target is given for its loss, which a source has no use for.
LOSS_ARGUMENTS = ("labels", "label_ids", "num_items_in_batch")


#: What two networks must not share, as each keeps its own past; transformers 5.24 renamed it.
CACHES = ("cache", "past_key_values")


class SourceNetwork(nn.Module):
    """A frozen network that lends its activations; its weights are in no state dict.

    Args:
        network: the trained network; it is frozen in place.
        sites: names of its modules, by the names of the target's sites.
        source_input: makes its input of the target's arguments; None gives it the same arguments
            without those of :data:`LOSS_ARGUMENTS`.
    """

    def __init__(
        self, network: nn.Module, sites: Mapping[str, str], source_input: SourceInput | None
    ) -> None:
        super().__init__()
        self.frozen = FrozenSource(network)
        self.sites = dict(sites)
        self.source_input = source_input
        self._recorders = [Recorder(site) for site in sites]
        self._hooks: list[Any] = []
        self.register_state_dict_post_hook(_leave_out)
        self.register_load_state_dict_post_hook(_do_not_miss)

    def connect(self) -> None:
        """Has the network's modules noted from now on."""
        for recorder in self._recorders:
            module = self.frozen.network.get_submodule(self.sites[recorder.site])
            self._hooks.append(module.register_forward_hook(recorder))

    def disconnect(self) -> None:
        """Ends that."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []

    def record(
        self, args: Any, kwargs: Mapping[str, Any], activations: dict[str, list[Tensor]]
    ) -> None:
        """Reads what the target is given, and adds what the modules return to `activations`.

        Raises:
            RuntimeError: if both networks would write into one cache of keys and values.
        """
        if self.source_input is None:
            if any(kwargs.get(name) is not None for name in CACHES):
                raise RuntimeError(
                    "The target is given a cache of keys and values, which the source would write "
                    "into: generate with use_cache=False, or give attach() a source_input that "
                    "makes the source a cache of its own."
                )
            kwargs = {k: v for k, v in kwargs.items() if k not in LOSS_ARGUMENTS}
        else:
            args, kwargs = _as_arguments(self.source_input(*args, **kwargs))
        if not torch.compiler.is_compiling():
            self.frozen.requires_grad_()  # frozen, though target.requires_grad_() thaws all it has
        for recorder in self._recorders:
            recorder.activations = activations
        try:
            self.frozen(*args, **kwargs)
        finally:
            for recorder in self._recorders:
                recorder.activations = None


def _as_arguments(value: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(value, Mapping):
        return (), value
    return (value if isinstance(value, tuple) else (value,)), {}


def _leave_out(
    source: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]
) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        del state[name]


def _do_not_miss(source: nn.Module, keys: Any) -> None:
    # torch does not say under which names the target has this; .ptu.source_networks.0. it is.
    keys.missing_keys[:] = [
        name for name in keys.missing_keys if ".source_networks." not in f".{name}"
    ]
