"""The arithmetic of a unit inside the fused recurrence, both ways.

As in :mod:`ptu_seq.nn.fused_cells`, what depends on no gradient is taken for all rows at once.
`products` holds both gates and the candidate, side by side: at first what they are activations of.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ptu_seq.nn.fused_cells import add_product, slope_of_sigmoid, slope_of_tanh
from ptu_seq.unit import PTU


def gate(
    unit: PTU,
    weight_target: Tensor,
    products: Tensor,
    s: Tensor,
    t: Tensor,
    draw: Tensor | None,
    h: Tensor,
) -> None:
    """Fills `h` with one step's gated state, and `products` with the gates, as `unit.mix` would."""
    size = t.shape[1]
    gates = products[:, : 2 * size]
    add_product(gates, t, weight_target)
    fine_tune, update = gates.sigmoid_().chunk(2, dim=1)
    if draw is not None:
        update.copy_(unit.drop(update, draw))
    retuned = torch.lerp(s, products[:, 2 * size :], fine_tune)
    torch.lerp(t, retuned, update, out=h)


def slopes(unit: PTU, products: Tensor, s: Tensor, t: Tensor) -> Tensor:
    """The derivatives of the gated state by what gates and candidate are activations of."""
    fine_tune, update, candidate = products.chunk(3, dim=1)
    result = torch.empty_like(products)
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
