"""The arithmetic of a unit inside the fused recurrence, both ways.

As in :mod:`ptu_seq.nn.fused_cells`, what depends on no gradient is taken for all rows at once. Both
gates and the candidate lie side by side in one buffer, at first what they are activations of.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ptu_seq.nn.fused_cells import add_product, slope_of_sigmoid, slope_of_tanh
from ptu_seq.nn.walk import Walk
from ptu_seq.unit import PTU


class UnitStep(NamedTuple):
    """A step's block of gates, candidate, source, target and gated state."""

    gates: Tensor
    fine_tune: Tensor
    update: Tensor
    candidate: Tensor
    s: Tensor
    t: Tensor
    h: Tensor

    def run(self, unit: PTU, weight_target: Tensor, draw: Tensor | None) -> None:
        """Fills `h` and the gates, from the target in `t`, as :meth:`ptu_seq.PTU.mix` would."""
        add_product(self.gates, self.t, weight_target)
        self.gates.sigmoid_()
        if draw is not None:
            self.update.copy_(unit.drop(self.update, draw))
        retuned = torch.lerp(self.s, self.candidate, self.fine_tune)
        torch.lerp(self.t, retuned, self.update, out=self.h)


def steps(walk: Walk, gates: Tensor, s: Tensor, t: Tensor, h: Tensor) -> Iterator[UnitStep]:
    """The blocks, in the order walked; `gates` holds the candidate as well."""
    parts = (gates[:, : 2 * s.shape[1]], *gates.chunk(3, dim=1), s, t, h)
    return map(UnitStep, *map(walk.blocks, parts))


class UnitStepBack(NamedTuple):
    """A step's block of gradients: of the gated state, and of what `slopes` are the slopes by."""

    d_h: Tensor
    d_each: Tensor
    update: Tensor
    by_gate: Tensor
    d_gates: Tensor
    reported: Tensor | None

    def run(self, weight_target: Tensor, d_state: Tensor) -> Tensor:
        """The target's gradient; makes the slopes gradients and `d_h` that of the gated state.

        Args:
            weight_target: the target's share of both gates.
            d_state: the gradient that reaches the gated state from the step after.
        """
        self.d_h.add_(d_state)
        self.by_gate.mul_(self.d_each)
        if self.reported is not None:
            self.d_gates.add_(self.reported)
        d_t = torch.addcmul(self.d_h, self.d_h, self.update, value=-1)
        add_product(d_t, self.d_gates, weight_target)
        return d_t


def steps_back(
    walk: Walk, d_h: Tensor, gates: Tensor, slopes: Tensor, reported: Tensor | None
) -> list[UnitStepBack]:
    """The blocks, in the order walked.

    Args:
        walk: the order.
        d_h: gradients of the gated states, without those that later steps add.
        gates: gates and candidate.
        slopes: see :func:`slopes`.
        reported: gradients that reach the gates' products by the gates being read; None if none.
    """
    size = d_h.shape[1]
    by_gate = slopes.unflatten(1, (3, size))
    parts = (d_h, d_h.unsqueeze(1), gates[:, size : 2 * size], by_gate, slopes[:, : 2 * size])
    last = [None] * len(walk.sizes) if reported is None else walk.blocks(reported)
    return list(map(UnitStepBack, *map(walk.blocks, parts), last))


def slopes(unit: PTU, gates: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """The derivatives of the gated state by what gates and candidate are activations of."""
    fine_tune, update, candidate = gates.chunk(3, dim=1)
    result = torch.empty_like(gates)
    by_fine_tune, by_update, by_candidate = result.chunk(3, dim=1)
    # A gate that is forced to 0 or 1 has no slope, and that is what its value gives.
    slope_of_sigmoid(fine_tune, out=by_fine_tune).mul_(candidate - s).mul_(update)
    retuned = torch.lerp(s, candidate, fine_tune)
    slope_of_sigmoid(update, out=by_update).mul_(retuned.sub_(t))
    torch.mul(update, fine_tune, out=by_candidate)
    if unit.candidate == "tanh":
        by_candidate.mul_(slope_of_tanh(candidate))
    elif unit.candidate == "relu":
        by_candidate.mul_(candidate > 0)
    return result
