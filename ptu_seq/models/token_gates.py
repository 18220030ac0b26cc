"""Gates with the tokens that they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from ptu_seq.nn.gated import OnGates
from ptu_seq.nn.layout import Sequences
from ptu_seq.unit import PTUGates


class Tokens(NamedTuple):
    """The tokens of a batch, sentence by sentence: the rows of `(tokens, features)`.

    Shape:
        - ids: in the vocabulary of the network that reads them, `(tokens,)`
        - steps: the place of each in its sentence, from 0, `(tokens,)`
        - examples: the row of the batch that it comes from, `(tokens,)`; a pair is one row, whose
          hypothesis comes after all premises
    """

    ids: Tensor
    steps: Tensor
    examples: Tensor


OnTokenGates = Callable[[str, PTUGates, Tokens | None], None]
"""Is given a site, its gates at tokens, `(tokens, features)`, and the tokens; of a site that sees
whole sentences the gates as they are, and None."""


class ReportsGates:
    """A model of texts that tells the gates of its units and where they were."""

    def token_gates(
        self, input_ids: Tensor, on_gates: OnTokenGates, *args: Any, **inputs: Any
    ) -> None:
        """Like :meth:`gates`, but `on_gates(site, gates, tokens)` also learns where they were.

        Args:
            input_ids: tokens.
            on_gates: see :data:`OnTokenGates`.
            *args: what else the model reads.
            **inputs: the same by name.
        """
        raise NotImplementedError

    def gates(self, input_ids: Tensor, on_gates: OnGates, *args: Any, **inputs: Any) -> None:
        """Calls `on_gates(site, gates)` for every unit with its gates at tokens, padding left out.

        Args:
            input_ids: tokens.
            on_gates: is given the name of a site and the gates, `(tokens, features)`; of a site
                that sees whole sentences, `(batch, features)`.
            *args: what else the model reads, in the order of :meth:`token_gates`.
            **inputs: the same by name.
        """
        self.token_gates(input_ids, lambda site, gates, _: on_gates(site, gates), *args, **inputs)


def at_tokens(on_gates: OnTokenGates, ids: Tensor, mask: Tensor, examples: int) -> OnGates:
    """Hands gates on with their tokens, padding left out.

    Args:
        on_gates: is given them.
        ids: what a network reads.
        mask: true at tokens.
        examples: rows of the batch, which repeat: all premises, then all hypotheses.

    Returns:
        What is given the gates of a site, `(sentences, length, features)`, or of whole sentences,
        `(sentences, features)`.

    Shape:
        - ids, mask: `(sentences, length)`
    """
    sentences = mask.nonzero()[:, 0]
    tokens = Tokens(ids[mask], (mask.long().cumsum(1) - 1)[mask], sentences % examples)

    def hand_on(site: str, gates: PTUGates) -> None:
        if gates.update.dim() == 3:
            on_gates(site, PTUGates(*(gate[mask] for gate in gates)), tokens)
        else:
            on_gates(site, gates, None)

    return hand_on


def padded(on_gates: OnGates | None, x: Sequences, length: int) -> OnGates | None:
    """Hands on as `(sentences, length, features)` what a layer reports in the layout of its input.

    Args:
        on_gates: is given them.
        x: the layer's input; where it is not packed, its gates are laid out so already.
        length: of the longest sentence, padding included.
    """
    if on_gates is None or not isinstance(x, PackedSequence):
        return on_gates

    def hand_on(site: str, gates: PTUGates) -> None:
        sequences = (
            pad_packed_sequence(x._replace(data=gate), batch_first=True, total_length=length)
            for gate in gates
        )
        on_gates(site, PTUGates(*(sequence for sequence, _ in sequences)))

    return hand_on
