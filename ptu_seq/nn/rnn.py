"""PTULSTM and PTUGRU: torch.nn's recurrent layers, with a frozen source twin beside them."""

from __future__ import annotations

from typing import Any, Self, Unpack

import torch
from torch import Tensor, nn

from ptu_seq.nn.frozen import (
    Init,
    OwnsSource,
    check_equal,
    check_init,
    check_source,
    frozen_copy,
    place_of,
)
from ptu_seq.nn.gated import GatedRNN, Level, OnGates, gru_state, lstm_state
from ptu_seq.nn.layout import Sequences
from ptu_seq.nn.options import PlacedUnitOptions, UnitOptions
from ptu_seq.nn.stack import HiddenState, first_state, leave_state, run_layers
from ptu_seq.nn.state import TwinState


class RNNOptions(PlacedUnitOptions, total=False):
    """What `from_source` accepts beside the source, where it shall differ from the source's."""

    input_size: int
    hidden_size: int
    bias: bool
    batch_first: bool
    dropout: float
    level: Level


class TwinRNN(OwnsSource, GatedRNN):
    """A :class:`GatedRNN` that owns its source: the shared base of PTULSTM and PTUGRU."""

    source: nn.LSTM | nn.GRU

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
        source: nn.LSTM | nn.GRU,
        level: Level = "layer",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **unit_options: Unpack[UnitOptions],
    ) -> None:
        owner = type(self).__name__
        check_source(owner, source, self.target_class)
        if source.proj_size:
            raise ValueError(
                f"{owner}: proj_size is {source.proj_size} in the source; only 0 is supported."
            )
        frozen = frozen_copy(source).to(device=device, dtype=dtype)
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            source_hidden_size=source.hidden_size,
            level=level,
            **unit_options,
            **place_of(frozen),
        )
        check_equal(owner, source, self.target, "num_layers", "bidirectional")
        self.source = frozen

    @classmethod
    def from_source(
        cls, source: nn.LSTM | nn.GRU, init: Init = "source", **options: Unpack[RNNOptions]
    ) -> Self:
        """Makes a layer with the sizes of a trained network.

        Args:
            source: the trained network; it is copied, and itself left as it is.
            init: "source" starts the target from the source's weights, "random" anew.
            **options: any argument of the class but `num_layers` and `bidirectional`, where it
                shall differ from the source's; at `init="source"` the sizes and `bias` may not.

        Raises:
            ValueError: for an unknown `init`, or a source that does not fit.
        """
        check_init(cls.__name__, init)
        check_source(cls.__name__, source, cls.target_class)
        names = (
            *("input_size", "hidden_size", "num_layers", "bias"),
            *("batch_first", "dropout", "bidirectional"),
        )
        arguments: dict[str, Any] = {name: getattr(source, name) for name in names}
        layer = cls(**{**arguments, **options}, source=source)
        if init == "source":
            check_equal(cls.__name__, source, layer.target, "input_size", "hidden_size", "bias")
            layer.target.load_state_dict(source.state_dict())
        return layer

    def _gate_source(
        self,
        x: Sequences,
        state: HiddenState | TwinState | None,
        source_input: Sequences | None,
        on_gates: OnGates | None,
    ) -> tuple[Sequences, TwinState]:
        """Runs the source, then the gated target beside it."""
        layout, data = self._enter(x)
        features = self.source.input_size
        if source_input is not None:
            source_data = layout.enter_beside(data, source_input, features, "source_input")
        elif data.shape[-1] == features:
            source_data = data
        else:
            raise ValueError(
                f"{layout.owner}: the input has {data.shape[-1]} features and the source reads "
                f"{features}; pass what it reads as source_input."
            )
        hx = state.source if isinstance(state, TwinState) else None
        first = first_state(self.source, layout, source_data, hx, "state's source")
        source_hidden, final = run_layers(self.source, layout, source_data, first)
        output, after = self._gate_entered(layout, data, state, source_hidden, on_gates)
        return output, after._replace(source=leave_state(layout, final))


class PTULSTM(TwinRNN):
    r"""A torch.nn.LSTM beside a frozen, trained one, joined by Parameter Transfer Units.

    Both read the same sequence. Every layer and direction has a unit that mixes the hidden states
    of the source there into the target's, and the result goes on to the target's next layer. At
    level "layer" the target runs over the whole sequence with torch's fused kernel and its output
    is gated; at level "step" the gated state itself feeds the recurrence,

    .. math::
        t_i, c_i &= \mathrm{LSTMCell}(x_i, (h_{i-1}, c_{i-1})) \\
        h_i &= \mathrm{unit}(s_i, t_i)

    The source is copied; it takes no gradient and its dropout never acts. With all units pinned to
    "target" the layer is the torch.nn.LSTM `layer.target`, with all pinned to "frozen" its output
    and `h_n` are those of `layer.source`, each to the bit.

    Reconstruction of Zhang, Zhang & Yang (PAKDD 2019) from its abstract.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state, per direction.
        num_layers: number of stacked layers, as in the source.
        bias: whether the target has biases.
        batch_first: whether inputs and outputs are `(batch, time, features)`, for both twins.
        dropout: probability of dropout after every layer but the last of the target, in training.
        bidirectional: whether there is a reverse direction, as in the source.
        source: the trained torch.nn.LSTM.
        level: "layer" or "step".
        device: where both twins are placed; the source's device if None.
        dtype: their type; the source's if None.
        **unit_options: `candidate`, `candidate_init`, `gate_dropout` and the gates' biases of the
            units, see :class:`ptu_seq.PTU`.

    Shape:
        As torch.nn.LSTM: tensors, batched or not, or a PackedSequence.

    Raises:
        ValueError: for a source that is not a trained torch.nn.LSTM or has other layers or
            directions, and for inputs or states whose axes do not fit.

    Example:
        >>> source = nn.LSTM(8, 5, bidirectional=True)  # trained elsewhere
        >>> lstm = PTULSTM(8, 4, bidirectional=True, source=source)
        >>> output, (h_n, c_n) = lstm(torch.randn(7, 3, 8))
        >>> output.shape, h_n.shape
        (torch.Size([7, 3, 8]), torch.Size([2, 3, 4]))
    """

    target_class = nn.LSTM

    def forward(
        self,
        x: Sequences,
        hx: tuple[Tensor, Tensor] | TwinState | None = None,
        source_input: Sequences | None = None,
    ) -> tuple[Sequences, tuple[Tensor, Tensor]]:
        """Runs both twins over a sequence.

        Args:
            x: the input.
            hx: the target's first `(h_0, c_0)`, zeros if None; or a :class:`TwinState`, which
                also carries the source's, otherwise zero.
            source_input: what the source reads, in the layout of `x`; `x` if None.

        Returns:
            `output, (h_n, c_n)` as torch.nn.LSTM: `h_n` is the gated hidden state at each
            direction's last step, `c_n` the target's own cell state.
        """
        output, state = self.unroll(x, hx, source_input)
        return output, lstm_state(state)

    def unroll(
        self,
        x: Sequences,
        state: tuple[Tensor, Tensor] | TwinState | None = None,
        source_input: Sequences | None = None,
        *,
        on_gates: OnGates | None = None,
    ) -> tuple[Sequences, TwinState]:
        """Like :meth:`forward`, with a state from which both twins can continue the sequence.

        Args:
            x: the input.
            state: the state after the part before, torch's `(h_0, c_0)`, or None.
            source_input: what the source reads; `x` if None.
            on_gates: is called with each unit's place, such as "layer0.forward", and its gates in
                the layout of the output (of its data, where that is packed).
        """
        return self._gate_source(x, state, source_input, on_gates)


class PTUGRU(TwinRNN):
    """A torch.nn.GRU beside a frozen, trained one, joined by Parameter Transfer Units.

    Like :class:`PTULSTM` in all but the state, which is one tensor as in torch.nn.GRU.

    Example:
        >>> gru = PTUGRU.from_source(nn.GRU(8, 5, num_layers=2), level="step")
        >>> output, h_n = gru(torch.randn(7, 3, 8))
        >>> output.shape, h_n.shape
        (torch.Size([7, 3, 5]), torch.Size([2, 3, 5]))
    """

    target_class = nn.GRU

    def forward(
        self,
        x: Sequences,
        hx: Tensor | TwinState | None = None,
        source_input: Sequences | None = None,
    ) -> tuple[Sequences, Tensor]:
        """`output, h_n` as torch.nn.GRU: see :meth:`PTULSTM.forward`."""
        output, state = self.unroll(x, hx, source_input)
        return output, gru_state(state)

    def unroll(
        self,
        x: Sequences,
        state: Tensor | TwinState | None = None,
        source_input: Sequences | None = None,
        *,
        on_gates: OnGates | None = None,
    ) -> tuple[Sequences, TwinState]:
        """The output and a state to continue from: see :meth:`PTULSTM.unroll`."""
        return self._gate_source(x, state, source_input, on_gates)
