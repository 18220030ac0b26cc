"""The source a layer owns: a frozen copy that never trains and never drops out."""

from __future__ import annotations

import copy
from typing import Any, Literal, Self, TypeVar, get_args

import torch
from torch import nn

Init = Literal["source", "random"]
"""How `from_source` starts the target: from the source's weights, or at random."""

Module = TypeVar("Module", bound=nn.Module)


class OwnsSource(nn.Module):
    """A module with a frozen `source`, which stays in eval mode whatever the module does."""

    source: nn.Module

    def train(self, mode: bool = True) -> Self:
        """Sets training or eval mode; the source stays in eval mode."""
        super().train(mode)
        self.source.eval()
        return self


def frozen_copy(source: Module) -> Module:
    """A deep copy in eval mode whose parameters take no gradient."""
    frozen = copy.deepcopy(source).eval().requires_grad_(False)
    frozen.zero_grad(set_to_none=True)
    return frozen


def check_source(owner: str, source: object, expected: type[nn.Module]) -> None:
    """Raises ValueError unless `source` is a trained instance of `expected`.

    Trained means here what can be told from outside: all weights exist and are finite.
    """
    kind = f"torch.nn.{expected.__name__}"
    if not isinstance(source, expected):
        got = source.__name__ + " itself" if isinstance(source, type) else type(source).__name__
        raise ValueError(f"{owner}: the source is {got}; a trained {kind} expected.")
    for name, weight in source.named_parameters():
        if not weight.is_meta and not torch.isfinite(weight).all():
            raise ValueError(f"{owner}: the source's {name} has values that are not finite.")


def check_equal(owner: str, source: nn.Module, target: nn.Module, *axes: str) -> None:
    """Raises ValueError unless both modules agree in these attributes."""
    for axis in axes:
        theirs, mine = getattr(source, axis), getattr(target, axis)
        if theirs != mine:
            raise ValueError(
                f"{owner}: {axis} is {theirs} in the source and {mine} in the target; "
                "they must be equal."
            )


def check_init(owner: str, init: str) -> None:
    """Raises ValueError for an unknown start of the target."""
    if init not in get_args(Init):
        raise ValueError(f"{owner}: init is {init!r}; accepted are {', '.join(get_args(Init))}.")


def place_of(source: nn.Module) -> dict[str, Any]:
    """Device and type of the source's weights, where the target's are made too."""
    weight = next(source.parameters())
    return {"device": weight.device, "dtype": weight.dtype}
