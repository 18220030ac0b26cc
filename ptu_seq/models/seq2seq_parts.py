"""Of which network each part of a translator is, where units are pinned for good.

A part whose units are all pinned to one side needs the layers of that side alone, if nothing else
reads what the other side's carry on. An encoder layer's final state is such a thing: the bridge
takes the child's decoder from the gated hidden state and the child's own cell state, and the
parent's from the parent's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ptu_seq.models.seq2seq_config import PTUSeq2SeqConfig, Seq2SeqConfig
from ptu_seq.models.seq2seq_layers import Part
from ptu_seq.unit import Pin

Side = Literal["child", "parent"]


@dataclass(frozen=True)
class Seq2SeqParts:
    """What is left of two encoder-decoders with units between them.

    Attributes:
        sides: of each part the network that it is of, None where both are left and a unit stands
            between them.
    """

    sides: Mapping[Part, Side | None]

    @classmethod
    def of(cls, states: Mapping[str, Pin | None], config: PTUSeq2SeqConfig) -> Seq2SeqParts:
        """Of a translator whose parent reads what its child does.

        Args:
            states: what every unit is pinned to, by its place; None where its gates act.
            config: the translator's.
        """
        child, parent = config.target_config, config.source_config
        wished = {
            part: _side({states[place] for place in own})
            for part, own in places_by_part(child).items()
        }
        for part in ("encoder.embedding", "decoder.embedding"):
            if wished[part] == "parent":  # where it knows no token, the child's vector stands
                wished[part] = None
        if child.attention != parent.attention and wished["attention"] == "parent":
            wished["attention"] = None
        if child.bridge != parent.bridge:
            for part, side in wished.items():
                if ".layer" in part and side == "parent":
                    wished[part] = None
        return cls({**wished, **_recurrent(wished, child, parent)})

    @property
    def is_single(self) -> bool:
        """Whether no unit is left."""
        return None not in self.sides.values()


def places_by_part(config: Seq2SeqConfig) -> dict[Part, list[str]]:
    """The places of the units of each part, in the order in which a sentence passes them.

    Example:
        >>> for part, places in places_by_part(Seq2SeqConfig()).items():
        ...     print(part, places)
        encoder.embedding ['encoder.embedding']
        encoder.layer0 ['encoder.layer0.forward', 'encoder.layer0.reverse']
        decoder.embedding ['decoder.embedding']
        decoder.layer0 ['decoder.layer0']
        attention ['attention']
        output ['output']
    """
    encoder = [f"encoder.layer{i}" for i in range(config.num_encoder_layers)]
    decoder = [f"decoder.layer{i}" for i in range(config.num_decoder_layers)]
    return {
        "encoder.embedding": ["encoder.embedding"],
        **{part: [f"{part}.forward", f"{part}.reverse"] for part in encoder},
        **{part: [part] for part in ("decoder.embedding", *decoder, "attention", "output")},
    }


def _side(states: set[Pin | None]) -> Side | None:
    """The side that units in these states read alone."""
    if states == {"target"}:
        return "child"
    return "parent" if states == {"frozen"} else None


def _recurrent(
    wished: Mapping[Part, Side | None], child: Seq2SeqConfig, parent: Seq2SeqConfig
) -> dict[Part, Side | None]:
    """The sides of recurrent layers, where nothing reads the other's final state."""
    last = child.num_encoder_layers - 1
    read = {i: f"encoder.layer{min(i, last)}" for i in range(child.num_decoder_layers)}
    sides: dict[Part, Side | None] = {}
    for j in range(child.num_encoder_layers):
        part = f"encoder.layer{j}"
        readers = {wished[f"decoder.layer{i}"] for i, encoder in read.items() if encoder == part}
        side = wished[part]
        if side == "child":
            others_begin_here = parent.bridge != "zero"
        else:  # of an LSTM's final state the cell's is the child's own, the hidden state gated
            others_begin_here = child.bridge != "zero" and child.rnn_type == "lstm"
        sides[part] = side if readers <= {side} or not others_begin_here else None
    for i, encoder in read.items():
        part = f"decoder.layer{i}"
        begins_alone = child.bridge == "zero" or sides[encoder] is not None
        sides[part] = wished[part] if wished[part] == "child" or begins_alone else None
    return sides
