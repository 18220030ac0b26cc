"""Recurrent layers gated by source activations that are given as data.

:class:`GatedLSTM` and :class:`GatedGRU` hold the target network and its units but no source, so a
model can run the source once, cache what it gives, and save itself without it. The layers that own
their source, :class:`~ptu_seq.PTULSTM` and :class:`~ptu_seq.PTUGRU`, are in `rnn.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal, Self, Unpack, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptu_seq.nn.layer import Report, gate_output, gate_steps, last_hidden
from ptu_seq.nn.layout import Layout, Sequences
from ptu_seq.nn.options import UnitOptions
from ptu_seq.nn.stack import (
    HiddenState,
    directions,
    first_state,
    join_layers,
    leave_state,
    state_of_layer,
)
from ptu_seq.nn.state import TwinState
from ptu_seq.unit import PTU, Pin, PTUGates

Level = Literal["layer", "step"]
OnGates = Callable[[str, PTUGates], None]
"""Is given a unit's place, "layer0.forward", "layer0.reverse" and so on, and its gates."""


class GatedRNN(nn.Module):
    """A target network with a unit for each of its layers and directions: the shared base.

    :class:`GatedLSTM` documents its arguments.
    """

    target_class: ClassVar[type[nn.LSTM] | type[nn.GRU]]
    target: nn.RNNBase

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        source_hidden_size: int,
        level: Level = "layer",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **unit_options: Unpack[UnitOptions],
    ) -> None:
        super().__init__()
        if level not in get_args(Level):
            raise ValueError(
                f"{type(self).__name__}: level is {level!r}; accepted are "
                f"{', '.join(get_args(Level))}."
            )
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        # Made before the units, so that a seed gives it the weights it gives torch's own class.
        self.target = self.target_class(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **where
        )
        self.source_hidden_size = source_hidden_size
        self.level = level
        self.units = nn.ModuleList(
            nn.ModuleList(
                PTU(source_hidden_size, hidden_size, **unit_options, **where)
                for _ in range(directions(self.target))
            )
            for _ in range(num_layers)
        )

    def pin(self, state: Pin) -> Self:
        """Pins every unit: see :meth:`ptu_seq.PTU.pin`. Returns the layer."""
        for unit in self._all_units():
            unit.pin(state)
        return self

    def unpin(self) -> Self:
        """Lets every unit's gates act again. Returns the layer."""
        for unit in self._all_units():
            unit.unpin()
        return self

    def extra_repr(self) -> str:
        """The level, for `print(layer)`."""
        return f"level={self.level!r}"

    def _all_units(self) -> list[PTU]:
        return [cast(PTU, unit) for units in self.units for unit in cast(nn.ModuleList, units)]

    def _enter(self, x: Sequences) -> tuple[Layout, Tensor]:
        layout = Layout.of(x, self.target.batch_first, type(self).__name__)
        return layout, layout.enter(x, self.target.input_size, "input")

    def _gate_given(
        self,
        x: Sequences,
        state: HiddenState | TwinState | None,
        source_hidden: Sequence[Sequences],
        on_gates: OnGates | None,
    ) -> tuple[Sequences, TwinState]:
        """Unrolls beside source sequences in the layout of `x`, one for each layer."""
        layout, data = self._enter(x)
        if len(source_hidden) != self.target.num_layers:
            raise ValueError(
                f"{layout.owner}: there are {len(source_hidden)} source sequences for "
                f"{self.target.num_layers} layers; one for each expected."
            )
        features = self.source_hidden_size * directions(self.target)
        entered = [
            layout.enter_beside(data, hidden, features, f"source's output at layer {layer}")
            for layer, hidden in enumerate(source_hidden)
        ]
        return self._gate_entered(layout, data, state, entered, on_gates)

    def _gate_entered(
        self,
        layout: Layout,
        data: Tensor,
        state: HiddenState | TwinState | None,
        source_hidden: Sequence[Tensor],
        on_gates: OnGates | None,
    ) -> tuple[Sequences, TwinState]:
        """Unrolls on data that has entered `layout`."""
        target, sizes = self.target, layout.batch_sizes
        hx = state.target if isinstance(state, TwinState) else state
        first = first_state(target, layout, data, hx)
        gate_layer = gate_output if self.level == "layer" else gate_steps
        finals, hidden = [], []
        for layer, (units, s) in enumerate(zip(self.units, source_hidden, strict=True)):
            layer_first = state_of_layer(target, layer, first)
            report = report_at(on_gates, layer, layout)
            data, final = gate_layer(
                cast(Sequence[PTU], units), s, target, layer, data, sizes, layer_first, report
            )
            finals.append(final)
            hidden.append(last_hidden(data, sizes, directions(target)))
            if layer + 1 < target.num_layers:
                data = F.dropout(data, target.dropout, self.training)
        return layout.leave(data), TwinState(
            target=leave_state(layout, join_layers(finals)),
            hidden=layout.leave_state(torch.cat(hidden)),
        )


class GatedLSTM(GatedRNN):
    r"""An LSTM gated by the hidden states of a source LSTM, which are given as data.

    Every layer and direction has a unit of its own, which mixes the source's hidden states there
    into the target's; the result goes on to the next layer. At level "layer" the target runs over
    the whole sequence with torch's fused kernel and its output is gated; at level "step" the gated
    state itself feeds the recurrence. `target` is a torch.nn.LSTM: its weights have torch's names.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state, per direction.
        num_layers: number of stacked layers; the source has as many.
        bias: whether the target has biases.
        batch_first: whether inputs and outputs are `(batch, time, features)`.
        dropout: probability of dropout after every layer but the last, in training.
        bidirectional: whether there is a reverse direction; the source's likewise.
        source_hidden_size: features of the source's hidden state, per direction.
        level: "layer" or "step".
        device: where the parameters are made.
        dtype: their type.
        **unit_options: `candidate`, `candidate_init`, `gate_dropout` and the gates' biases of the
            units, see :class:`ptu_seq.PTU`.

    Shape:
        As torch.nn.LSTM: tensors, batched or not, or a PackedSequence.

    Raises:
        ValueError: for inputs, states or source sequences whose axes do not fit.

    Example:
        >>> from ptu_seq.nn import layer_outputs
        >>> source, gated = nn.LSTM(8, 5, 2), GatedLSTM(8, 4, 2, source_hidden_size=5)
        >>> x = torch.randn(7, 3, 8)
        >>> source_hidden, _ = layer_outputs(source, x)
        >>> output, (h_n, c_n) = gated(x, source_hidden)
        >>> output.shape, h_n.shape
        (torch.Size([7, 3, 4]), torch.Size([2, 3, 4]))
    """

    target_class = nn.LSTM

    def forward(
        self,
        x: Sequences,
        source_hidden: Sequence[Sequences],
        hx: tuple[Tensor, Tensor] | TwinState | None = None,
    ) -> tuple[Sequences, tuple[Tensor, Tensor]]:
        """`output, (h_n, c_n)` as torch.nn.LSTM has them: `h_n` gated, `c_n` the target's own."""
        output, state = self.unroll(x, hx, source_hidden)
        return output, lstm_state(state)

    def unroll(
        self,
        x: Sequences,
        state: tuple[Tensor, Tensor] | TwinState | None,
        source_hidden: Sequence[Sequences],
        *,
        on_gates: OnGates | None = None,
    ) -> tuple[Sequences, TwinState]:
        """The output, and a state from which the sequence may be continued.

        Args:
            x: the input.
            state: where to start: the state of the part before, torch's `(h_0, c_0)`, or None.
            source_hidden: the source's output sequence at every layer, in the layout of `x`; see
                :func:`layer_outputs`.
            on_gates: is called with each unit's place, such as "layer0.forward", and its gates in
                the layout of the output (of its data, where that is packed).
        """
        return self._gate_given(x, state, source_hidden, on_gates)


class GatedGRU(GatedRNN):
    """A GRU gated by the hidden states of a source GRU, which are given as data.

    Like :class:`GatedLSTM` in all but the state, which is one tensor as in torch.nn.GRU.

    Example:
        >>> gated = GatedGRU(8, 4, bidirectional=True, source_hidden_size=5)
        >>> output, h_n = gated(torch.randn(7, 3, 8), [torch.randn(7, 3, 2 * 5)])
        >>> output.shape, h_n.shape
        (torch.Size([7, 3, 8]), torch.Size([2, 3, 4]))
    """

    target_class = nn.GRU

    def forward(
        self,
        x: Sequences,
        source_hidden: Sequence[Sequences],
        hx: Tensor | TwinState | None = None,
    ) -> tuple[Sequences, Tensor]:
        """`output, h_n` as torch.nn.GRU has them; `h_n` is gated."""
        output, state = self.unroll(x, hx, source_hidden)
        return output, gru_state(state)

    def unroll(
        self,
        x: Sequences,
        state: Tensor | TwinState | None,
        source_hidden: Sequence[Sequences],
        *,
        on_gates: OnGates | None = None,
    ) -> tuple[Sequences, TwinState]:
        """The output and a state to continue from: see :meth:`GatedLSTM.unroll`."""
        return self._gate_given(x, state, source_hidden, on_gates)


def lstm_state(state: TwinState) -> tuple[Tensor, Tensor]:
    """`(h_n, c_n)` as torch.nn.LSTM returns it."""
    return cast(Tensor, state.hidden), state.target[1]


def gru_state(state: TwinState) -> Tensor:
    """`h_n` as torch.nn.GRU returns it."""
    return cast(Tensor, state.hidden)


def report_at(on_gates: OnGates | None, layer: int, layout: Layout) -> Report | None:
    """Hands on the gates of one layer, by place and in the layout of the output."""
    if on_gates is None:
        return None

    def report(direction: int, gates: PTUGates) -> None:
        place = f"layer{layer}.{('forward', 'reverse')[direction]}"
        on_gates(place, PTUGates(*map(layout.leave_data, gates)))

    return report
