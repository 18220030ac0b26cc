"""The frozen source: a trained network that only lends its activations.

It needs no gradient, never leaves eval mode (its dropout stays asleep while the target trains), and
its weights are hashed, so that a model loaded beside another source than its own is noticed.
"""

from __future__ import annotations

import hashlib
from typing import Any, Generic, Self, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class FrozenSource(nn.Module, Generic[Network]):
    """Holds a trained network that never trains again.

    The network stays in eval mode when the model around it is set to train. Its weights and inputs
    need no gradient, so no autograd graph is built; `torch.no_grad()` is not used, because torch's
    CPU kernels of the LSTM round otherwise inside it, and a frozen source shall equal the network
    it was, to the bit. (`requires_grad_` of a model around it sets parameters past its children: a
    model with a source overrides it.)

    Args:
        network: the trained network; it is frozen in place, not copied.

    Example:
        >>> source = FrozenSource(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)))
        >>> source.train()(torch.ones(1, 4)).requires_grad, source.network.training
        (False, False)
    """

    network: Network

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Stays in eval mode whatever `mode` is."""
        return super().train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Stays without gradients whatever `requires_grad` is."""
        return super().requires_grad_(False)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the network returns, without an autograd graph."""
        return self.network(*map(_detached, args), **{k: _detached(v) for k, v in kwargs.items()})


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value


@torch.no_grad()
def content_hash(module: nn.Module) -> str:
    """A hash of a network's parameters and buffers: names, types, shapes and every value.

    Args:
        module: the network.

    Returns:
        32 hexadecimal digits (the first half of a SHA-256), equal for equal contents on every
        device and machine of the same byte order.

    Example:
        >>> a, b = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> content_hash(a) == content_hash(a), content_hash(a) == content_hash(b)
        (True, False)
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]
