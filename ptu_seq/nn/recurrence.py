r"""The recurrence of level "step": the gated hidden state itself feeds the next step.

.. math::
    t_i, c_i &= \mathrm{cell}(x_i, (h_{i-1}, c_{i-1})) \\
    h_i &= \mathrm{unit}(s_i, t_i)

with torch's LSTM cell, or the GRU cell, which has no `c`. There is more than one way to compute
it, all with the same results; this module chooses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal, get_args

import torch
from torch import Tensor

from ptu_seq.nn import fused, loop
from ptu_seq.nn.loop import Report, State
from ptu_seq.unit import PTU

Backend = Literal["reference", "fused"]

_chosen: ContextVar[Backend | None] = ContextVar("recurrence_backend", default=None)


@contextmanager
def recurrence_backend(name: Backend) -> Iterator[None]:
    """Computes step-level recurrences one way inside the `with` block, on whatever device.

    "reference" is the plain loop, differentiable any number of times, by `torch.func` and in
    forward mode too; "fused" one autograd function with a hand-derived backward pass, faster on a
    CPU and differentiable once, by `backward` and `torch.autograd.grad` alone. By default the CPU
    has the fused one and every other device the loop. On a GPU the fused one has kernels of its own
    (:mod:`ptu_seq.nn.fused_triton`), which have been tested by Triton's interpreter but not yet
    been run on one: choose "fused" there and compare. The loop also runs, whatever is chosen, where
    a unit is pinned or of a class of your own, and under `torch.compile`, which fuses it itself.
    Inside "reference" the translators' encoder has torch's own kernel, too: see
    :mod:`ptu_seq.nn.packed`.

    The block holds for its thread. With gradient checkpointing the backward pass, which runs the
    forward pass again, has to be inside it as well.

    Args:
        name: "reference" or "fused".

    Raises:
        ValueError: for any other name.

    Example:
        >>> from torch import nn
        >>> from ptu_seq import PTULSTM
        >>> lstm, x = PTULSTM.from_source(nn.LSTM(8, 5), level="step"), torch.randn(7, 3, 8)
        >>> with recurrence_backend("reference"):
        ...     output, _ = lstm(x)
        >>> torch.allclose(output, lstm(x)[0], atol=1e-6)
        True
    """
    if name not in get_args(Backend):
        raise ValueError(
            f"recurrence_backend: {name!r} is unknown; accepted are {', '.join(get_args(Backend))}."
        )
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def chosen_backend() -> Backend | None:
    """What :func:`recurrence_backend` has chosen here; None outside of its blocks."""
    return _chosen.get()


def unroll(
    unit: PTU,
    weights: Sequence[Tensor],
    s: Tensor,
    x: Tensor,
    batch_sizes: Tensor | None,
    state: State,
    reverse: bool = False,
    report: Report | None = None,
) -> tuple[Tensor, State]:
    """Runs one direction of one layer over a whole sequence, gating every step.

    Args:
        unit: gates this direction's hidden state.
        weights: torch's `weight_ih, weight_hh` and, if there are biases, `bias_ih, bias_hh`.
        s: the source's hidden states.
        x: the input.
        batch_sizes: sequences alive at each step if `x` and `s` are packed data.
        state: the first state, each part `(batch, hidden_size)`.
        reverse: walk from the last step to the first.
        report: is given the gates of all steps, in the layout of the data.

    Returns:
        The gated hidden states, and the state after each sequence's last step.

    Shape:
        - s, x, output: `(time, batch, ...)`, or `(positions, ...)` with `batch_sizes`
    """
    device = x.device.type
    backend = chosen_backend() or ("fused" if device == "cpu" else "reference")
    # Types that only autocast may mix: the loop has torch's own errors.
    mixed = len({x.dtype, weights[0].dtype, state[0].dtype}) > 1
    refused = mixed and not torch.is_autocast_enabled(device)
    if unit.pinned or type(unit) is not PTU or refused or torch.compiler.is_compiling():
        backend = "reference"
    run = {"reference": loop.unroll, "fused": fused.unroll}[backend]
    return run(unit, weights, s, x, batch_sizes, state, reverse, report)
