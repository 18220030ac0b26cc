r"""The recurrence of level "step": the gated hidden state itself feeds the next step.

.. math::
    t_i, c_i &= \mathrm{cell}(x_i, (h_{i-1}, c_{i-1})) \\
    h_i &= \mathrm{unit}(s_i, t_i)

with torch's LSTM cell, or the GRU cell, which has no `c`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from ptu_seq.unit import PTU, PTUGates

State = tuple[Tensor, ...]
"""`(h,)` of a GRU or `(h, c)` of an LSTM."""


def unroll(
    unit: PTU,
    weights: Sequence[Tensor],
    s: Tensor,
    x: Tensor,
    batch_sizes: Tensor | None,
    state: State,
    reverse: bool = False,
    gates: list[PTUGates] | None = None,
) -> tuple[Tensor, State]:
    """Runs one direction of one layer over a whole sequence, gating every step.

    Whatever does not depend on the state is taken once for all steps: the products of the input,
    and those of the source. Packed data is walked as it lies, so no step is spent on padding: the
    batch shrinks as sequences end or, in reverse, grows as they begin.

    Args:
        unit: gates this direction's hidden state.
        weights: torch's `weight_ih, weight_hh` and, if there are biases, `bias_ih, bias_hh`.
        s: the source's hidden states.
        x: the input.
        batch_sizes: sequences alive at each step if `x` and `s` are packed data.
        state: the first state, each part `(batch, hidden_size)`.
        reverse: walk from the last step to the first.
        gates: an empty list to fill with every step's gates, in the order of the data.

    Returns:
        The gated hidden states, and the state after each sequence's last step.

    Shape:
        - s, x, output: `(time, batch, ...)`, or `(positions, ...)` with `batch_sizes`
    """
    weight_ih, weight_hh, *biases = weights
    bias_ih, bias_hh = biases or (None, None)
    cell = _lstm_cell if len(state) == 2 else _gru_cell
    sizes = None if batch_sizes is None else batch_sizes.tolist()

    def by_step(data: Tensor) -> tuple[Tensor, ...]:
        return data.unbind(0) if sizes is None else data.split(sizes)

    gate, prepared = _gate_of(unit, s)
    products = F.linear(x, weight_ih, bias_ih)
    steps = list(zip(*map(by_step, (products, *prepared)), strict=True))
    if reverse:
        steps.reverse()

    outputs: list[Tensor] = []
    ended: list[State] = []
    now = tuple(part[: len(steps[0][0])] for part in state)
    for product, *source in steps:
        alive, batch = len(now[0]), len(product)
        if batch < alive:
            ended.append(tuple(part[batch:] for part in now))
            now = tuple(part[:batch] for part in now)
        elif batch > alive:
            begins = (part[alive:batch] for part in state)
            now = tuple(torch.cat(pair) for pair in zip(now, begins, strict=True))
        t, *memory = cell(product, now, weight_hh, bias_hh)
        h, both = gate(*source, t)
        now = (h, *memory)
        outputs.append(h)
        if gates is not None:
            gates.append(both)

    if reverse:
        outputs.reverse()
        if gates is not None:
            gates.reverse()
    # The longest sequences come first and end last.
    final = tuple(torch.cat(parts) for parts in zip(now, *reversed(ended), strict=True))
    return torch.stack(outputs) if sizes is None else torch.cat(outputs), final


def _gate_of(
    unit: PTU, s: Tensor
) -> tuple[Callable[..., tuple[Tensor, PTUGates]], tuple[Tensor, ...]]:
    """The unit's work at one step, and what it needs of the source at each."""
    if unit.pinned is None:
        return unit.mix, unit.source_products(s)
    return partial(unit, return_gates=True), (s,)


def _lstm_cell(product: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor | None) -> State:
    h, c = state
    i, f, g, o = (product + F.linear(h, weight_hh, bias_hh)).chunk(4, dim=-1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru_cell(product: Tensor, state: State, weight_hh: Tensor, bias_hh: Tensor | None) -> State:
    (h,) = state
    input_reset, input_update, input_new = product.chunk(3, dim=-1)
    hidden_reset, hidden_update, hidden_new = F.linear(h, weight_hh, bias_hh).chunk(3, dim=-1)
    reset = torch.sigmoid(input_reset + hidden_reset)
    update = torch.sigmoid(input_update + hidden_update)
    new = torch.tanh(input_new + reset * hidden_new)
    return ((h - new) * update + new,)
