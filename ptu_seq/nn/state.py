"""What twin recurrent networks carry from one step to the next, as explicit values.

Nothing is kept on modules: every layer and cell takes its state as an argument and returns the next
one, so decoding with beams, batches of streams and truncated training need no special care.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


def _select(parts: tuple[Tensor, ...], beam_idx: Tensor) -> tuple[Tensor, ...]:
    # (layers, batch, hidden) in layers and (batch, hidden) in cells: the batch is second to last.
    return tuple(part.index_select(-2, beam_idx.to(part.device)) for part in parts)


class TwinState(NamedTuple):
    """The state of a recurrent layer and its frozen twin after a sequence.

    Args:
        target: what the target's recurrence continues from, `(h,)` or `(h, c)`, each
            `(num_layers * num_directions, batch, hidden_size)`. At level "layer" `h` is the
            target's own hidden state, before its unit; at level "step" it is the gated one.
        source: the same of the source; empty where the source's activations came as data.
        hidden: the gated hidden state at each direction's last step: what `forward` returns as
            `h_n`. It is not read when a state is passed back.
    """

    target: tuple[Tensor, ...]
    source: tuple[Tensor, ...] = ()
    hidden: Tensor | None = None

    def reorder_cache(self, beam_idx: Tensor) -> TwinState:
        """The state whose batch entry `i` is this one's entry `beam_idx[i]`, for both twins."""
        hidden = None if self.hidden is None else _select((self.hidden,), beam_idx)[0]
        return TwinState(_select(self.target, beam_idx), _select(self.source, beam_idx), hidden)


class LSTMCellState(tuple[Tensor, Tensor]):
    """`(h, c)` of a :class:`PTULSTMCell`, unpacking like that of a torch.nn.LSTMCell.

    Args:
        h: the gated hidden state, `(batch, hidden_size)`.
        c: the target's cell state, `(batch, hidden_size)`.
        source: the source twin's own `(h, c)`, each `(batch, source_hidden_size)`.

    Example:
        >>> import torch
        >>> h, c = LSTMCellState(torch.zeros(2, 4), torch.ones(2, 4), (torch.zeros(2, 3),) * 2)
        >>> c.shape
        torch.Size([2, 4])
    """

    source: tuple[Tensor, Tensor]

    def __new__(cls, h: Tensor, c: Tensor, source: tuple[Tensor, Tensor]) -> LSTMCellState:
        """Pairs the target's state with the source's."""
        state = super().__new__(cls, (h, c))
        state.source = source
        return state

    def __getnewargs__(self) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
        """Lets `copy` and `pickle` rebuild the state."""
        return (*self, self.source)

    def reorder_cache(self, beam_idx: Tensor) -> LSTMCellState:
        """The state whose batch entry `i` is this one's entry `beam_idx[i]`, for both twins."""
        h, c, *source = _select((*self, *self.source), beam_idx)
        return LSTMCellState(h, c, (source[0], source[1]))


class GRUCellState(NamedTuple):
    """The hidden states of a :class:`PTUGRUCell` and its source.

    Args:
        h: the gated hidden state, `(batch, hidden_size)`.
        source_h: the source twin's own, `(batch, source_hidden_size)`.
    """

    h: Tensor
    source_h: Tensor

    def reorder_cache(self, beam_idx: Tensor) -> GRUCellState:
        """The state whose batch entry `i` is this one's entry `beam_idx[i]`, for both twins."""
        return GRUCellState(*_select(tuple(self), beam_idx))
