"""The step-level recurrence as a plain loop over time: what every other way must reproduce."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ptu_seq.unit import PTU, PTUGates

State = tuple[Tensor, ...]
"""`(h,)` of a GRU or `(h, c)` of an LSTM."""


Report = Callable[[PTUGates], None]
"""Is given the gates of all steps, in the layout of the data."""


def unroll(
    unit: PTU,
    weights: Sequence[Tensor],
    s: Tensor,
    x: Tensor,
    batch_sizes: Tensor | None,
    state: State,
    reverse: bool,
    report: Report | None,
) -> tuple[Tensor, State]:
    """See :func:`ptu_seq.nn.recurrence.unroll`.

    Whatever does not depend on the state is taken once for all steps: the products of the input,
    and those of the source. Packed data is walked as it lies, so no step is spent on padding: the
    batch shrinks as sequences end or, in reverse, grows as they begin.
    """
    weight_ih, weight_hh, *biases = weights
    bias_ih, bias_hh = biases or (None, None)
    cell = _lstm_cell if len(state) == 2 else _gru_cell
    sizes = None if batch_sizes is None else batch_sizes.tolist()

    def by_step(data: Tensor) -> tuple[Tensor, ...]:
        return data.unbind(0) if sizes is None else data.split(sizes)

    gate, prepared = _gate_of(unit, s, state[0].dtype)
    products = F.linear(x, weight_ih, bias_ih)
    steps = list(zip(*map(by_step, (products, *prepared)), strict=True))
    if reverse:
        steps.reverse()

    outputs: list[Tensor] = []
    gates: list[PTUGates] = []
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
        h, both = gate(t, *source)
        now = (h, *memory)
        outputs.append(h)
        gates.append(both)

    if reverse:
        outputs.reverse()
        gates.reverse()
    join = torch.stack if sizes is None else torch.cat
    if report is not None:
        report(PTUGates(*map(join, zip(*gates, strict=True))))
    # The longest sequences come first and end last.
    final = tuple(torch.cat(parts) for parts in zip(now, *reversed(ended), strict=True))
    return join(outputs), final


def _gate_of(
    unit: PTU, s: Tensor, dtype: torch.dtype
) -> tuple[Callable[..., tuple[Tensor, PTUGates]], tuple[Tensor, ...]]:
    """The unit's work at one step, and what it needs at each beside the target's activation."""
    if unit.pinned == "target":
        return lambda t, s: unit(s, t, return_gates=True), (s,)
    if unit.pinned is not None:
        fine_tune = float(unit.pinned == "adapted")
        return lambda t, lent: (lent, _gates(t, fine_tune)), (unit.lend(unit.pinned, s).to(dtype),)
    s, products = unit.source_products(s)
    draw = unit.draw(s.to(dtype))
    return (
        lambda t, s, products, draw=None: unit.mix(s, products, t, draw),
        (s, products) if draw is None else (s, products, draw),
    )


def _gates(t: Tensor, fine_tune: float) -> PTUGates:
    """Those of a unit that is pinned to the source's side."""
    return PTUGates(torch.full_like(t, fine_tune), torch.ones_like(t))


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
