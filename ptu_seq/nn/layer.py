"""One recurrent layer, all its directions, over a whole sequence: alone or gated by units.

Everything here works on `(time, batch, features)` or, with `batch_sizes`, on the data of a
PackedSequence; the parts of a state are `(directions, batch, hidden_size)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import _VF, Tensor, nn

from ptu_seq.nn import recurrence
from ptu_seq.nn.loop import State
from ptu_seq.nn.packed import run_packed, runs_fused
from ptu_seq.unit import PTU, PTUGates

Report = Callable[[int, PTUGates], None]
"""Is given each direction's gates."""


def run_layer(
    rnn: nn.RNNBase,
    weights: Sequence[Sequence[Tensor]],
    x: Tensor,
    batch_sizes: Tensor | None,
    state: State,
) -> tuple[Tensor, State]:
    """Runs one layer of a `torch.nn.LSTM` or `GRU` through torch's fused kernel.

    Layer after layer this gives what the whole module gives, to the bit, and besides the output of
    every layer, which the module keeps to itself. A network that is marked by
    :func:`ptu_seq.nn.packed.train_fused` has another kernel for packed sequences in training.

    Args:
        rnn: tells the kind of network and its options.
        weights: those of each direction, as :func:`layer_weights` gives them.
        x: the input.
        batch_sizes: sequences alive at each step if `x` is packed data.
        state: the first state.

    Returns:
        The output and the final state.
    """
    if batch_sizes is not None and runs_fused(rnn, x, batch_sizes):
        return run_packed(weights, x, batch_sizes, state)
    flat = [weight for direction in weights for weight in direction]
    options = (rnn.bias, 1, 0.0, rnn.training, rnn.bidirectional)
    kernel: Any = _VF.lstm if len(state) == 2 else _VF.gru
    hx = state if len(state) == 2 else state[0]
    if batch_sizes is None:
        output, *final = kernel(x, hx, flat, *options, False)
    else:
        output, *final = kernel(x, batch_sizes, hx, flat, *options)
    return output, tuple(final)


def layer_weights(rnn: nn.RNNBase, layer: int) -> list[list[Tensor]]:
    """The weights of one layer, by direction, in torch's order."""
    directions = 2 if rnn.bidirectional else 1
    of_all = cast(list[list[Tensor]], rnn.all_weights)
    return of_all[layer * directions : (layer + 1) * directions]


def gate_output(
    units: Sequence[PTU],
    s: Tensor,
    rnn: nn.RNNBase,
    layer: int,
    x: Tensor,
    batch_sizes: Tensor | None,
    state: State,
    report: Report | None = None,
) -> tuple[Tensor, State]:
    """Level "layer": the target runs by itself, then its output is gated, a unit per direction.

    Returns:
        The gated output and the target's own final state.
    """
    t, final = run_layer(rnn, layer_weights(rnn, layer), x, batch_sizes, state)
    gated = [
        _gate(unit, direction, s_d, t_d, report)
        for direction, (unit, s_d, t_d) in enumerate(
            zip(units, s.chunk(len(units), dim=-1), t.chunk(len(units), dim=-1), strict=True)
        )
    ]
    return _join(gated), final


def gate_steps(
    units: Sequence[PTU],
    s: Tensor,
    rnn: nn.RNNBase,
    layer: int,
    x: Tensor,
    batch_sizes: Tensor | None,
    state: State,
    report: Report | None = None,
) -> tuple[Tensor, State]:
    """Level "step": the gated hidden state itself feeds the recurrence.

    Returns:
        The gated output and the final state, whose `h` is the gated one.
    """
    by_direction = layer_weights(rnn, layer)
    plain = None
    if any(unit.pinned == "target" for unit in units):
        # Such a unit leaves the target's recurrence alone: the kernel gives it, to the bit.
        plain = run_layer(rnn, by_direction, x, batch_sizes, state)
    outputs, finals = [], []
    for direction, (unit, weights, s_d) in enumerate(
        zip(units, by_direction, s.chunk(len(units), dim=-1), strict=True)
    ):
        if plain is not None and unit.pinned == "target":
            t = plain[0].chunk(len(units), dim=-1)[direction]
            h = _gate(unit, direction, s_d, t, report)
            final = tuple(part[direction] for part in plain[1])
        else:
            first = tuple(part[direction] for part in state)
            told = None if report is None else partial(report, direction)
            h, final = recurrence.unroll(
                unit, weights, s_d, x, batch_sizes, first, direction == 1, told
            )
        outputs.append(h)
        finals.append(final)
    return _join(outputs), tuple(map(torch.stack, zip(*finals, strict=True)))


def last_hidden(output: Tensor, batch_sizes: Tensor | None, directions: int) -> Tensor:
    """The output at each direction's last step, `(directions, batch, hidden_size)`."""
    forward, *reverse = output.chunk(directions, dim=-1)
    if batch_sizes is None:
        return torch.stack([forward[-1], *(h[0] for h in reverse)])
    entries = torch.arange(int(batch_sizes[0]), device=batch_sizes.device)
    lengths = (batch_sizes.unsqueeze(1) > entries).sum(0)
    starts = batch_sizes.cumsum(0) - batch_sizes
    last = (starts[lengths - 1] + entries).to(output.device)
    return torch.stack([forward[last], *(h[: len(entries)] for h in reverse)])


def _gate(unit: PTU, direction: int, s: Tensor, t: Tensor, report: Report | None) -> Tensor:
    if report is None:
        return unit(s, t)
    h, gates = unit(s, t, return_gates=True)
    report(direction, gates)
    return h


def _join(by_direction: list[Tensor]) -> Tensor:
    return by_direction[0] if len(by_direction) == 1 else torch.cat(by_direction, dim=-1)
