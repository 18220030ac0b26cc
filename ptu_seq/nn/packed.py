r"""A plain recurrent layer over packed sequences as one autograd function, for training on a CPU.

On a CPU torch runs packed sequences by a loop of its own, whose backward pass takes each weight's
gradient step by step. Here it is one product after the loop, as in :mod:`ptu_seq.nn.fused`, and
what needs no gradient gets none: the weights of a frozen layer, say. The results are torch's but
for rounding, so a layer asks for it (:func:`train_fused`), and one that promises torch's bits does
not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import Function

from ptu_seq.nn.fused_cells import GRUStep, GRUTape, LSTMStep, LSTMTape, add_product
from ptu_seq.nn.loop import State
from ptu_seq.nn.recurrence import chosen_backend
from ptu_seq.nn.walk import Walk

RNN = TypeVar("RNN", bound=nn.RNNBase)
_FUSED = "trains_fused"


def train_fused(rnn: RNN) -> RNN:
    """Marks a network to run its packed sequences with :func:`run_packed` in training on a CPU.

    Args:
        rnn: the network.

    Returns:
        The same.
    """
    setattr(rnn, _FUSED, True)
    return rnn


def runs_fused(rnn: nn.RNNBase, x: Tensor, batch_sizes: Tensor | None) -> bool:
    """Whether a network is so marked, and this data is packed, on a CPU, and gradients are wanted.

    Not under autocast or `torch.compile`, which see to the types and the fusion themselves, nor
    inside `recurrence_backend("reference")`.
    """
    return (
        batch_sizes is not None
        and getattr(rnn, _FUSED, False)
        and x.device.type == "cpu"
        and x.dtype == next(rnn.parameters()).dtype
        and chosen_backend() != "reference"
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def run_packed(
    weights: Sequence[Sequence[Tensor]], x: Tensor, batch_sizes: Tensor, state: State
) -> tuple[Tensor, State]:
    """Runs one layer, all its directions.

    Args:
        weights: those of each direction, as :func:`ptu_seq.nn.layer.layer_weights` gives them.
        x: the data of a PackedSequence, `(positions, features)`.
        batch_sizes: sequences alive at each step.
        state: the first state, each part `(directions, batch, hidden_size)`.

    Returns:
        The output, `(positions, directions * hidden_size)`, and the state after each sequence's
        last step.

    Raises:
        RuntimeError: in a backward pass with `create_graph=True`.
    """
    cell: type[LSTMTape | GRUTape] = LSTMTape if len(state) == 2 else GRUTape
    outputs, finals = [], []
    for direction, of_direction in enumerate(weights):
        walk = Walk.of(x, batch_sizes, direction == 1)
        first = (part[direction] for part in state)
        h, *final = _Recurrence.apply(cell, walk, x, *cell.weights(*of_direction), *first)
        outputs.append(h)
        finals.append(final)
    # Of one direction too, as backward needs what it made: a copy may be changed in place.
    return torch.cat(outputs, dim=-1), tuple(map(torch.stack, zip(*finals, strict=True)))


class _Recurrence(Function):
    @staticmethod
    def forward(
        ctx: Any,
        cell: type[LSTMTape | GRUTape],
        walk: Walk,
        x: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias: Tensor | None,
        *first: Tensor,
    ) -> tuple[Tensor, ...]:
        """Rows of hidden states, and the final state."""
        rows, size = len(x), weight_hh.shape[1]
        products = x.new_zeros(rows, 4 * size) if bias is None else bias.repeat(rows, 1)
        add_product(cell.of_input(products), x, weight_ih.t())
        tape = cell.begin(products)
        h = x.new_empty(rows, size)
        states = [walk.blocks(part) for part in (h, *tape.memory)]
        by_step: Iterator[LSTMStep | GRUStep] = tape.steps(walk)
        by_cell = weight_hh.t()
        for step, (of_cell, h_i) in enumerate(zip(by_step, states[0], strict=True)):
            before = (walk.before(step, *parts) for parts in zip(states, first, strict=True))
            of_cell.run(by_cell, h_i, *before)
        ctx.cell, ctx.walk = cell, walk
        ctx.save_for_backward(x, weight_ih, weight_hh, h, *first, *tape)
        ctx.set_materialize_grads(False)
        return h, *map(walk.final, (h, *tape.memory))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        """Those of all arguments of `forward` that need one."""
        if torch.is_grad_enabled():
            raise RuntimeError(
                "A recurrent layer over packed sequences can be differentiated once only in "
                "training on a CPU; for a gradient with create_graph=True, run forward and "
                'backward pass inside `with ptu_seq.nn.recurrence_backend("reference")`.'
            )
        cell, walk = ctx.cell, ctx.walk
        x, weight_ih, weight_hh, h, *rest = ctx.saved_tensors
        tape = cell(*rest[-len(cell._fields) :])
        first = rest[: -len(cell._fields)]
        d_h, *d_final = gradients
        before = [
            walk.all_before(part, start)
            for part, start in zip((h, *tape.memory), first, strict=True)
        ]
        slopes = tape.slopes(*before)
        d_state = [
            torch.zeros_like(part) if d is None else d.clone()
            for part, d in zip(first, d_final, strict=True)
        ]
        d_h = torch.zeros_like(h) if d_h is None else d_h.clone()
        each = zip(slopes.steps(walk), walk.blocks(d_h), strict=True)
        for of_cell, d_h_i in reversed([*each]):
            d_now = [d if len(d) == len(d_h_i) else d[: len(d_h_i)] for d in d_state]
            of_cell.run(weight_hh, d_h_i.add_(d_now[0]), *d_now)
        d_cell = slopes.products
        wanted = (
            lambda: cell.of_input(d_cell) @ weight_ih,
            lambda: cell.of_input(d_cell).t() @ x,
            lambda: cell.of_state(d_cell).t() @ before[0],
            lambda: d_cell.sum(0),
        )
        needed = ctx.needs_input_grad[2:6]
        given = (
            gradient() if need else None for gradient, need in zip(wanted, needed, strict=True)
        )
        return None, None, *given, *d_state
