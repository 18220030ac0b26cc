"""A frozen `torch.nn.LSTM` or `GRU`, run layer by layer for the output of every layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ptu_seq.nn.layer import layer_weights, run_layer
from ptu_seq.nn.layout import Layout, Sequences
from ptu_seq.nn.loop import State

HiddenState = Tensor | tuple[Tensor, ...]
"""A state as torch.nn has it, `h` of a GRU or `(h, c)` of an LSTM; a GRU's may also be `(h,)`."""


def layer_outputs(
    rnn: nn.LSTM | nn.GRU, x: Sequences, hx: HiddenState | None = None
) -> tuple[list[Sequences], State]:
    """Runs a source network and gives the output sequence of every layer, as constants.

    The last of them and the state equal what `rnn(x, hx)` gives in eval mode, with gradients
    enabled or disabled in both: to the bit in float32, to about 1e-15 in float64. No
    gradient passes: not to the weights, not to `x`. There is no dropout between the layers,
    whatever mode the network is in.

    Args:
        rnn: the source.
        x: its input, in any layout that it accepts.
        hx: its first state; zeros if None.

    Returns:
        The output of each layer in the layout of `x`, and the final `(h_n,)` of a GRU or
        `(h_n, c_n)` of an LSTM.

    Raises:
        ValueError: for an input or a state whose axes do not fit.

    Example:
        >>> outputs, (h_n, c_n) = layer_outputs(nn.LSTM(8, 5, num_layers=2), torch.randn(7, 3, 8))
        >>> len(outputs), outputs[0].shape, h_n.shape
        (2, torch.Size([7, 3, 5]), torch.Size([2, 3, 5]))
    """
    layout = Layout.of(x, rnn.batch_first, type(rnn).__name__)
    data = layout.enter(x, rnn.input_size, "input")
    outputs, final = run_layers(rnn, layout, data, first_state(rnn, layout, data, hx))
    return [layout.leave(output) for output in outputs], leave_state(layout, final)


def run_rnn(rnn: nn.RNNBase, x: Sequences, hx: HiddenState | None) -> tuple[Sequences, State]:
    """Runs a network of one layer as calling it would, but with its kernel for training.

    Args:
        rnn: the network; see :func:`ptu_seq.nn.packed.train_fused`.
        x: its input, in any layout that it accepts.
        hx: its first state; zeros if None.

    Returns:
        The output in the layout of `x`, and the final `(h_n,)` of a GRU or `(h_n, c_n)` of an LSTM.
    """
    layout = Layout.of(x, rnn.batch_first, type(rnn).__name__)
    data = layout.enter(x, rnn.input_size, "input")
    first = first_state(rnn, layout, data, hx)
    output, final = run_layer(rnn, layer_weights(rnn, 0), data, layout.batch_sizes, first)
    return layout.leave(output), leave_state(layout, final)


def run_layers(
    rnn: nn.RNNBase, layout: Layout, data: Tensor, state: State
) -> tuple[list[Tensor], State]:
    """:func:`layer_outputs` on data and states that have entered `layout`.

    Weights and data are detached rather than run under `torch.no_grad()`, and the data is made
    contiguous: torch's kernels choose their algorithms by both, and so the source rounds as a
    trainable network does in the same mode.
    """
    data = data.detach().contiguous()
    outputs, finals = [], []
    for layer in range(rnn.num_layers):
        weights = [[w.detach() for w in direction] for direction in layer_weights(rnn, layer)]
        first = tuple(part.detach() for part in state_of_layer(rnn, layer, state))
        data, final = run_layer(rnn, weights, data, layout.batch_sizes, first)
        outputs.append(data)
        finals.append(final)
    return outputs, join_layers(finals)


def first_state(
    rnn: nn.RNNBase, layout: Layout, data: Tensor, hx: HiddenState | None, name: str = "state"
) -> State:
    """`hx` checked and entered into `layout`, or zeros; errors call it `name`."""
    parts = ("h", "c") if rnn.mode == "LSTM" else ("h",)
    rows, batch = rnn.num_layers * directions(rnn), layout.batch(data)
    if hx is None:
        return (data.new_zeros(rows, batch, rnn.hidden_size),) * len(parts)
    state = (hx,) if isinstance(hx, Tensor) else tuple(hx)
    if len(state) != len(parts):
        raise ValueError(
            f"{layout.owner}: the {name} has {len(state)} parts; {len(parts)} expected "
            f"({', '.join(parts)})."
        )
    shape = (rows, batch, rnn.hidden_size) if layout.batched else (rows, rnn.hidden_size)
    for part, tensor in zip(parts, state, strict=True):
        layout.check_state(tensor, shape, f"{name}'s {part}")
    return tuple(layout.enter_state(tensor) for tensor in state)


def leave_state(layout: Layout, state: State) -> State:
    """A final state as the caller knows its batch."""
    return tuple(layout.leave_state(part) for part in state)


def state_of_layer(rnn: nn.RNNBase, layer: int, state: State) -> State:
    """The part of a state that belongs to one layer, all its directions."""
    count = directions(rnn)
    return tuple(part[layer * count : (layer + 1) * count] for part in state)


def join_layers(states: list[State]) -> State:
    """The inverse of :func:`state_of_layer`."""
    return tuple(torch.cat(parts) for parts in zip(*states, strict=True))


def directions(rnn: nn.RNNBase) -> int:
    """2 if the network is bidirectional, else 1."""
    return 2 if rnn.bidirectional else 1
