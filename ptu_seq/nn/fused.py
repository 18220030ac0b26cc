r"""The step-level recurrence as one autograd function with a hand-derived backward pass.

Autograd over the plain loop keeps a graph node for every operation of every step, and takes each
weight's gradient as a sum of small products. Here the loops, forward and backward, hold only what
depends on the step before: two products and a few operations in place. With :math:`a_i` the
products of step `i` with a weight `W`, its gradient is one product over all steps after the loop,

.. math::
    \frac{\partial L}{\partial W} = \sum_i \frac{\partial L}{\partial a_i} x_i^\top

and what multiplies a gradient inside the backward loop is taken for all steps before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function
from torch.nn import functional as F

from ptu_seq.nn import fused_unit
from ptu_seq.nn.fused_cells import (
    GRUStep,
    GRUTape,
    LSTMStep,
    LSTMTape,
    add_product,
    slope_of_sigmoid,
)
from ptu_seq.nn.loop import Report, State
from ptu_seq.nn.walk import Walk
from ptu_seq.unit import PTU, PTUGates


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
    """See :func:`ptu_seq.nn.recurrence.unroll`; the unit must not be pinned.

    Raises:
        RuntimeError: in a backward pass with `create_graph=True`.
    """
    tape = LSTMTape if len(state) == 2 else GRUTape
    walk = Walk.of(x, batch_sizes, reverse)
    leading, dtype = x.shape[:-1], state[0].dtype
    s = unit.project(s).flatten(0, -2)
    h, gates, *final = _Recurrence.apply(
        *(unit, tape, walk, _arithmetic(x), unit.draw(s.to(dtype)), s.to(dtype)),
        *_factors(x.flatten(0, -2), *tape.weights(*weights)),
        *_factors(s, unit.weight_source, unit.bias, unit.weight_target),
        *state,
    )
    if report is not None:
        fine_tune, update, _ = gates.unflatten(0, leading).chunk(3, dim=-1)
        report(PTUGates(fine_tune, update))
    return h.unflatten(0, leading), tuple(final)


def _factors(x: Tensor, *weights: Tensor | None) -> list[Tensor | None]:
    """The factors of products, which autocast wants in a type of its own."""
    if not torch.is_autocast_enabled(x.device.type):
        return [x, *weights]
    dtype = torch.get_autocast_dtype(x.device.type)
    return [
        factor if factor is None or factor.dtype == torch.float64 else factor.to(dtype)
        for factor in (x, *weights)
    ]


Arithmetic = Callable[[Iterable[Any]], Iterable[Any]]
"""Makes of steps those that do the same by other means."""


def _arithmetic(x: Tensor) -> Arithmetic:
    """Steps by torch's operations or, on a GPU, by one kernel of ours for all between products."""
    if not x.is_cuda or find_spec("triton") is None:
        return lambda steps: steps
    from ptu_seq.nn.fused_triton import with_kernels  # Triton comes with torch for GPUs alone.

    return with_kernels


def _copy(gradient: Tensor) -> Tensor:
    """One of our own, with its rows side by side, as kernels want them."""
    return gradient.clone(memory_format=torch.contiguous_format)


class _Recurrence(Function):
    @staticmethod
    def forward(
        ctx: Any,
        unit: PTU,
        cell: type[LSTMTape | GRUTape],
        walk: Walk,
        prepare: Arithmetic,
        draw: Tensor | None,
        s: Tensor,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor | None,
        s_factor: Tensor,
        weight_source: Tensor,
        unit_bias: Tensor,
        weight_target: Tensor,
        *first: Tensor,
    ) -> tuple[Tensor, ...]:
        """Rows of gated states, rows of gates and candidate, and the final state."""
        rows, size = s.shape
        products = s.new_zeros(rows, 4 * size) if bias is None else bias.to(s.dtype).repeat(rows, 1)
        add_product(cell.of_input(products), x, weight_ih.t())
        tape = cell.begin(products)
        gates = F.linear(s_factor, weight_source, unit_bias).to(s.dtype)
        candidate = gates[:, 2 * size :]
        candidate.copy_(unit.activate(candidate))
        t, h = s.new_empty(rows, size), s.new_empty(rows, size)  # not views: h is handed out

        states = [walk.blocks(part) for part in (h, *tape.memory)]
        draws = [None] * len(walk.sizes) if draw is None else walk.blocks(draw)
        by_step: Iterable[LSTMStep | GRUStep] = prepare(tape.steps(walk))
        by_unit_step = prepare(fused_unit.steps(walk, gates, s, t, h))
        each = zip(by_step, by_unit_step, draws, strict=True)
        by_cell, by_unit = weight_hh.t(), weight_target.t()
        for step, (of_cell, of_unit, draw_i) in enumerate(each):
            before = (walk.before(step, *parts) for parts in zip(states, first, strict=True))
            of_cell.run(by_cell, of_unit.t, *before)
            of_unit.run(unit, by_unit, draw_i)

        ctx.unit, ctx.cell, ctx.walk, ctx.prepare = unit, cell, walk, prepare
        ctx.save_for_backward(
            *(s, x, weight_ih, weight_hh, s_factor, weight_source, weight_target),
            *(gates, t, h, *first, *tape),
        )
        ctx.set_materialize_grads(False)
        return h, gates, *map(walk.final, (h, *tape.memory))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Those of all arguments of `forward` that need one."""
        if torch.is_grad_enabled():
            raise RuntimeError(
                'The fused recurrence of level "step" can be differentiated once only; for a '
                "gradient with create_graph=True, run forward and backward pass inside `with "
                'ptu_seq.nn.recurrence_backend("reference")`.'
            )
        unit, cell, walk, prepare = ctx.unit, ctx.cell, ctx.walk, ctx.prepare
        s, x, weight_ih, weight_hh, s_factor, weight_source, weight_target, gates, t, h, *rest = (
            ctx.saved_tensors
        )
        tape = cell(*rest[-len(cell._fields) :])
        first = rest[: -len(cell._fields)]
        d_h, d_gates, *d_final = gradients

        before = [
            walk.all_before(part, start)
            for part, start in zip((h, *tape.memory), first, strict=True)
        ]
        slopes = tape.slopes(*before)
        d_unit = fused_unit.slopes(unit, gates, s, t)
        reported = None
        if d_gates is not None:
            reported = slope_of_sigmoid(gates).mul_(d_gates)[:, : 2 * h.shape[1]]
        # The state's gradient: of a sequence that the walk back has yet to reach, its final one.
        d_state = [
            torch.zeros_like(part) if d is None else _copy(d)
            for part, d in zip(first, d_final, strict=True)
        ]
        d_h = torch.zeros_like(h) if d_h is None else _copy(d_h)

        each = zip(
            prepare(slopes.steps(walk)),
            prepare(fused_unit.steps_back(walk, d_h, gates, d_unit, reported)),
            strict=True,
        )
        for of_cell, of_unit in reversed([*each]):
            rows = len(of_unit.d_h)
            d_now = [d if len(d) == rows else d[:rows] for d in d_state]
            d_t = of_unit.run(weight_target, d_now[0])
            of_cell.run(weight_hh, d_t, *d_now)

        size = h.shape[1]
        d_cell = slopes.products.to(weight_hh.dtype)
        d_unit = d_unit.to(weight_source.dtype)
        fine_tune, update, _ = gates.chunk(3, dim=1)
        wanted = (
            lambda: d_h * update * (1 - fine_tune),
            lambda: cell.of_input(d_cell) @ weight_ih,
            lambda: cell.of_input(d_cell).t() @ x,
            lambda: cell.of_state(d_cell).t() @ before[0].to(d_cell.dtype),
            lambda: slopes.products.sum(0),
            lambda: d_unit @ weight_source,
            lambda: d_unit.t() @ s_factor,
            lambda: d_unit.sum(0),
            lambda: d_unit[:, : 2 * size].t() @ t.to(d_unit.dtype),
        )
        needed = ctx.needs_input_grad[5:]
        return (
            *[None] * 5,
            *(gradient() if need else None for gradient, need in zip(wanted, needed, strict=False)),
            *d_state,
        )
