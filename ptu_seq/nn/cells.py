"""PTULSTMCell and PTUGRUCell: one step of the gated recurrence, for loops of your own."""

from __future__ import annotations

from typing import Any, ClassVar, Self, Unpack

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
from ptu_seq.nn.options import PlacedUnitOptions, UnitOptions
from ptu_seq.nn.state import GRUCellState, LSTMCellState
from ptu_seq.unit import PTU, Pin


class CellOptions(PlacedUnitOptions, total=False):
    """What `from_source` accepts beside the source, where it shall differ from the source's."""

    input_size: int
    hidden_size: int
    bias: bool


class TwinCell(OwnsSource):
    """A target cell, its frozen source and the unit between them: the shared base."""

    target_class: ClassVar[type[nn.LSTMCell] | type[nn.GRUCell]]
    source: nn.LSTMCell | nn.GRUCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        source: nn.LSTMCell | nn.GRUCell,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **unit_options: Unpack[UnitOptions],
    ) -> None:
        super().__init__()
        check_source(type(self).__name__, source, self.target_class)
        self.source = frozen_copy(source).to(device=device, dtype=dtype)
        where = place_of(self.source)
        # Made before the unit, so that a seed gives it the weights it gives torch's own class.
        self.target = self.target_class(input_size, hidden_size, bias, **where)
        self.unit = PTU(source.hidden_size, hidden_size, **unit_options, **where)

    @classmethod
    def from_source(
        cls,
        source: nn.LSTMCell | nn.GRUCell,
        init: Init = "source",
        **options: Unpack[CellOptions],
    ) -> Self:
        """Makes a cell with the sizes of a trained one.

        Args:
            source: the trained cell; it is copied, and itself left as it is.
            init: "source" starts the target from the source's weights, "random" anew.
            **options: any argument of the class, where it shall differ from the source's; at
                `init="source"` the sizes and `bias` may not.

        Raises:
            ValueError: for an unknown `init`, or a source that does not fit.
        """
        check_init(cls.__name__, init)
        check_source(cls.__name__, source, cls.target_class)
        sizes = ("input_size", "hidden_size", "bias")
        arguments: dict[str, Any] = {name: getattr(source, name) for name in sizes}
        cell = cls(**{**arguments, **options}, source=source)
        if init == "source":
            check_equal(cls.__name__, source, cell.target, *sizes)
            cell.target.load_state_dict(source.state_dict())
        return cell

    def pin(self, state: Pin) -> Self:
        """Pins the unit: see :meth:`ptu_seq.PTU.pin`. Returns the cell."""
        self.unit.pin(state)
        return self

    def unpin(self) -> Self:
        """Lets the unit's gates act again. Returns the cell."""
        self.unit.unpin()
        return self

    def _read(self, x: Tensor, source_input: Tensor | None) -> Tensor:
        """Checks both inputs and gives the source's."""
        self._check("input", x, x, self.target.input_size)
        if source_input is not None:
            self._check("source_input", source_input, x, self.source.input_size)
            return source_input
        if self.source.input_size != self.target.input_size:
            raise ValueError(
                f"{type(self).__name__}: the input has {self.target.input_size} features and the "
                f"source reads {self.source.input_size}; pass what it reads as source_input."
            )
        return x

    def _check(self, name: str, tensor: Tensor, x: Tensor, features: int) -> None:
        """Raises ValueError unless `tensor` has these features and the batch axis of `x`."""
        owner = type(self).__name__
        if x.dim() not in (1, 2) or tensor.dim() != x.dim():
            raise ValueError(
                f"{owner}: the {name} has {tensor.dim()} axes; "
                "1 (unbatched) or 2 expected, and as many as the input has."
            )
        if tensor.shape[-1] != features:
            raise ValueError(
                f"{owner}: the last axis of the {name} has size {tensor.shape[-1]}; "
                f"{features} expected."
            )
        if tensor.shape[:-1] != x.shape[:-1]:
            raise ValueError(
                f"{owner}: the batch axis of the {name} has size {tensor.shape[0]}, "
                f"that of the input {x.shape[0]}; they must be equal."
            )


class PTULSTMCell(TwinCell):
    r"""A torch.nn.LSTMCell beside a frozen, trained one, joined by a Parameter Transfer Unit.

    .. math::
        t_i, c_i &= \mathrm{LSTMCell}(x_i, (h_{i-1}, c_{i-1})) \\
        h_i &= \mathrm{unit}(s_i, t_i)

    with :math:`s_i` the hidden state of the source, which runs beside. This is one step of
    :class:`PTULSTM` at level "step".

    Reconstruction of Zhang, Zhang & Yang (PAKDD 2019) from its abstract.

    Args:
        input_size: features of the input.
        hidden_size: features of the hidden state.
        bias: whether the target has biases.
        source: the trained torch.nn.LSTMCell; it is copied.
        device: where both twins are placed; the source's device if None.
        dtype: their type; the source's if None.
        **unit_options: `candidate`, `candidate_init`, `gate_dropout` and the gates' biases of the
            unit, see :class:`ptu_seq.PTU`.

    Shape:
        - x: `(batch, input_size)` or `(input_size,)`
        - h, c: `(batch, hidden_size)` or `(hidden_size,)`

    Raises:
        ValueError: for a source that is not a trained torch.nn.LSTMCell, a state without the
            source's, or axes that do not fit.

    Example:
        >>> cell = PTULSTMCell(8, 4, source=nn.LSTMCell(8, 5))  # the source trained elsewhere
        >>> state = None
        >>> for x in torch.randn(7, 3, 8):
        ...     state = cell(x, state)
        >>> h, c = state
        >>> h.shape, state.source[0].shape
        (torch.Size([3, 4]), torch.Size([3, 5]))
    """

    target_class = nn.LSTMCell

    def forward(
        self,
        x: Tensor,
        state: LSTMCellState | None = None,
        source_input: Tensor | None = None,
    ) -> LSTMCellState:
        """One step of both twins.

        Args:
            x: the input.
            state: what the step before returned; zeros for both twins if None.
            source_input: what the source reads; `x` if None.

        Returns:
            The state after the step. It unpacks as `h, c` and carries the source's own `(h, c)`
            as `.source`: pass it back whole.
        """
        source_x = self._read(x, source_input)
        if state is None:
            first = source_first = None
        elif isinstance(state, LSTMCellState):
            first, source_first = (state[0], state[1]), state.source
            for name, part in zip(("h", "c"), first, strict=True):
                self._check(f"state's {name}", part, x, self.target.hidden_size)
            for name, part in zip(("h", "c"), source_first, strict=True):
                self._check(f"state's source {name}", part, x, self.source.hidden_size)
        else:
            raise ValueError(
                "PTULSTMCell: the state is a plain (h, c), which lacks the source's; pass back "
                "the LSTMCellState that the cell returned, or make one."
            )
        with torch.no_grad():
            s, source_c = self.source(source_x, source_first)
        t, c = self.target(x, first)
        return LSTMCellState(self.unit(s, t), c, (s, source_c))


class PTUGRUCell(TwinCell):
    """A torch.nn.GRUCell beside a frozen, trained one, joined by a Parameter Transfer Unit.

    Like :class:`PTULSTMCell` in all but the state, a :class:`GRUCellState`.

    Example:
        >>> cell = PTUGRUCell.from_source(nn.GRUCell(8, 5))
        >>> state = cell(torch.randn(3, 8))
        >>> state = cell(torch.randn(3, 8), state)
        >>> state.h.shape
        torch.Size([3, 5])
    """

    target_class = nn.GRUCell

    def forward(
        self,
        x: Tensor,
        state: GRUCellState | None = None,
        source_input: Tensor | None = None,
    ) -> GRUCellState:
        """One step of both twins, from the state that the step before returned or from zeros."""
        source_x = self._read(x, source_input)
        if state is None:
            first = source_first = None
        elif isinstance(state, GRUCellState):
            first, source_first = state
            self._check("state's h", first, x, self.target.hidden_size)
            self._check("state's source_h", source_first, x, self.source.hidden_size)
        else:
            raise ValueError(
                "PTUGRUCell: the state is a plain h, which lacks the source's; pass back the "
                "GRUCellState that the cell returned, or make one."
            )
        with torch.no_grad():
            s = self.source(source_x, source_first)
        return GRUCellState(self.unit(s, self.target(x, first)), s)
