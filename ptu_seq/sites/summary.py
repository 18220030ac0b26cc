"""How many parameters each part of a network has, and how many of them are trained."""

from __future__ import annotations

from typing import NamedTuple

from torch import nn


class PartParameters(NamedTuple):
    """Parameters of one part of a network.

    Attributes:
        trained: those that need a gradient.
        total: all of them.
    """

    trained: int
    total: int


def parameters_by_part(target: nn.Module) -> dict[str, PartParameters]:
    """Parameters of a network's children, and of its units and sources apart.

    Weights that several parts share count where they come first.

    Args:
        target: a network, with units (see :func:`~ptu_seq.sites.attach`) or without.

    Returns:
        By the name of the part; those without parameters are left out.

    Example:
        >>> from ptu_seq.sites import attach
        >>> import torch
        >>> target, source = nn.Sequential(nn.Linear(3, 2)), nn.Sequential(nn.Linear(3, 4))
        >>> _ = attach(target, source, "0", torch.zeros(1, 3))
        >>> for part, count in parameters_by_part(target).items():
        ...     print(part, *count)
        0 8 8
        ptu.units 36 36
        ptu.source_networks 0 16
    """
    counts: dict[str, PartParameters] = {}
    for name, parameter in target.named_parameters():
        parts = name.split(".")
        part = ".".join(parts[: 2 if parts[0] == "ptu" else 1])
        trained, total = counts.get(part, (0, 0))
        size = parameter.numel()
        counts[part] = PartParameters(trained + size * parameter.requires_grad, total + size)
    return counts


def parameters_table(target: nn.Module) -> str:
    """The same as text, with the sum in the last line."""
    counts = parameters_by_part(target)
    total = PartParameters(
        sum(count.trained for count in counts.values()),
        sum(count.total for count in counts.values()),
    )
    rows = [("part", "trained", "total")] + [
        (part, f"{count.trained:,}", f"{count.total:,}")
        for part, count in [*counts.items(), ("all", total)]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{part:<{widths[0]}}  {trained:>{widths[1]}}  {count:>{widths[2]}}"
        for part, trained, count in rows
    )
