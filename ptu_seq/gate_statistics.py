"""Streaming statistics of gates, site by site."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ptu_seq.unit import PTUGates

BINS = 20


class GateStatistics:
    """Mean, spread and histogram of both gates at every site, over neurons, positions and batches.

    An instance is the `on_gates` of the models and layers.

    Example:
        >>> statistics = GateStatistics()
        >>> statistics("embedding", PTUGates(torch.zeros(2, 3), torch.tensor([[0.0, 0.5, 1.0]])))
        >>> statistics.as_records()[0]["update"]["mean"]
        0.5
    """

    def __init__(self) -> None:
        self._sums: dict[str, dict[str, Tensor]] = {}

    def __call__(self, site: str, gates: PTUGates) -> None:
        """Adds the gates of one batch, of any shape."""
        sums = self._sums.setdefault(site, {})
        for name, gate in gates._asdict().items():
            values = gate.detach().double().flatten()
            counts = torch.histc(values, BINS, min=0.0, max=1.0)
            moments = torch.stack(
                [values.new_tensor(values.numel()), values.sum(), values @ values]
            )
            added = torch.cat([moments, counts]).cpu()
            sums[name] = sums[name] + added if name in sums else added

    def as_records(self) -> list[dict[str, Any]]:
        """One record a site, in the order in which they were first seen, for JSON."""
        return [
            {"site": site, **{name: _summary(total) for name, total in sums.items()}}
            for site, sums in self._sums.items()
        ]


def _summary(total: Tensor) -> dict[str, Any]:
    count, values, squares, *histogram = total.tolist()
    mean = values / count
    variance = max(squares / count - mean**2, 0.0)
    return {"mean": mean, "std": variance**0.5, "histogram": [int(n) for n in histogram]}
