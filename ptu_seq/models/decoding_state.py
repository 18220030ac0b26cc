"""What decoding carries from one step to the next, as one explicit value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from torch import Tensor

from ptu_seq.models.attention import Memory
from ptu_seq.nn.loop import State


class DecoderState(NamedTuple):
    """The recurrent state of one decoder.

    Shape:
        - layers: one a layer, `(h,)` or `(h, c)` of `(1, rows, hidden_size)`
        - fed: the last attentional vector, `(1, rows, hidden_size)`, with input feeding
    """

    layers: tuple[State, ...]
    fed: Tensor | None = None

    def map_rows(self, change: Callable[[Tensor], Tensor]) -> DecoderState:
        """The state with every tensor changed."""
        layers = tuple(tuple(map(change, layer)) for layer in self.layers)
        return DecoderState(layers, None if self.fed is None else change(self.fed))


@dataclass
class DecodingState:
    """Where a batch of translations stands: transformers' `generate` passes it from step to step.

    It holds the memory of the sentences, of which there is one entry a sentence however many beams
    it has, and the recurrent state, one row a beam. Decoding with a frozen parent, both twins'
    states advance together: the parent's is `source`.

    Args:
        memory: what the decoder attends to.
        recurrent: the decoder's recurrent state.
        source: the same of the frozen parent.
        length: tokens read so far.
    """

    memory: Memory
    recurrent: DecoderState
    source: DecodingState | None = None
    length: int = 0

    is_compileable = False  # transformers asks this of every cache
    is_croppable = False

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Makes row `i` continue what row `beam_idx[i]` began, in both twins.

        Beams change places within their sentence alone, so its memory stays where it is.
        """
        self.recurrent = self.recurrent.map_rows(lambda x: x.index_select(1, beam_idx.to(x.device)))
        if self.source is not None:
            self.source.reorder_cache(beam_idx)

    def with_rows(self, rows: int) -> DecodingState:
        """A copy of a first state with `rows / sentences` rows for each sentence."""
        count = rows // len(self.memory.values)
        if count == 1:
            return self
        return replace(
            self,
            recurrent=self.recurrent.map_rows(lambda x: x.repeat_interleave(count, dim=1)),
            source=None if self.source is None else self.source.with_rows(rows),
        )

    def get_seq_length(self) -> int:
        """Tokens read so far."""
        return self.length
