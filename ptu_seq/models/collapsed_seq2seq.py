"""A translator with units of which some are pinned for good, without what nothing reads then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from torch import Tensor, nn

from ptu_seq.models.collapsed_source import HoldsWhatIsLeft
from ptu_seq.models.config import check_choice
from ptu_seq.models.decoder import Decoder
from ptu_seq.models.decoding_state import DecoderState, DecodingState
from ptu_seq.models.encoder import Encoded, Encoder
from ptu_seq.models.encoding import initialise
from ptu_seq.models.pinned import checked_pins
from ptu_seq.models.ptu_seq2seq import PTUForConditionalGeneration
from ptu_seq.models.safetensors_model import SafetensorsModel
from ptu_seq.models.seq2seq import tied_weights
from ptu_seq.models.seq2seq_config import PTUSeq2SeqConfig, Seq2SeqConfig, Seq2SeqSite
from ptu_seq.models.seq2seq_layers import GatedLayers, Layers, Part
from ptu_seq.models.seq2seq_parts import Seq2SeqParts, places_by_part
from ptu_seq.source import FrozenSource
from ptu_seq.unit import PTU, Pin


class CollapsedSeq2SeqConfig(PTUSeq2SeqConfig):
    """Shape of a :class:`CollapsedPTUForConditionalGeneration`.

    `target_network` and `source_network` are those of the model that was collapsed; which parts of
    them are left follows from `pinned`. `source_hash` is of what is left of the parent.

    Args:
        pinned: what units are pinned to for good, "target", "frozen" or "adapted", by their place:
            "encoder.embedding", "encoder.layer0.forward", "encoder.layer0.reverse", ...,
            "decoder.embedding", "decoder.layer0", ..., "attention", "output".
        **kwargs: fields of :class:`PTUSeq2SeqConfig`.

    Raises:
        ValueError: for a place that the networks do not have, another state, or a parent that reads
            its own activations.
    """

    model_type = "ptu_seq_collapsed_seq2seq"

    pinned: dict[str, Pin] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        self.pinned = checked_pins(self.pinned, places(self))
        check_choice("source_input of a collapsed model", self.source_input, ("target",))

    @property
    def parts(self) -> Seq2SeqParts:
        """What is left of both networks."""
        pinned = self.pinned or {}
        # Gates act at the configuration's sites; other units are pinned to the target.
        states = {
            place: pinned.get(place, None if site_of(place) in self.sites else "target")
            for place in places(self)
        }
        return Seq2SeqParts.of(states, self)


class CollapsedLayers(GatedLayers):
    """Makes the layers of a child of which some parts are one network's alone.

    Args:
        config: tells which.
    """

    def __init__(self, config: PTUSeq2SeqConfig) -> None:
        super().__init__(config)
        assert isinstance(config, CollapsedSeq2SeqConfig)
        self.sides = config.parts.sides
        self.plain = Layers(self.config)

    def embedding(self, part: Part, vocab_size: int) -> nn.Module:
        """The vectors of tokens."""
        if self.sides[part]:
            return self.plain.embedding(part, vocab_size)
        return super().embedding(part, vocab_size)

    def recurrent(self, part: Part, input_size: int, bidirectional: bool = False) -> nn.Module:
        """One recurrent layer."""
        if self.sides[part]:
            return self.plain.recurrent(part, input_size, bidirectional)
        return super().recurrent(part, input_size, bidirectional)

    def unit(self, site: Seq2SeqSite) -> PTU | None:
        """The unit on a vector of `hidden_size` features, if there is one."""
        return super().unit(site) if self.sides[site] is None else None


class ParentParts(SafetensorsModel):
    """What is left of a parent: the parts between which and the child's a unit stands.

    In the place of what is gone is an `nn.Identity`.

    Args:
        config: the whole network's.
        parts: tells what is left.
    """

    config_class = Seq2SeqConfig
    config: Seq2SeqConfig

    def __init__(self, config: Seq2SeqConfig, parts: Seq2SeqParts) -> None:
        super().__init__(config)
        self.remembers = parts.sides["attention"] is None
        self.encoder = Encoder(config, Layers(config))
        self.decoder = Decoder(config, Layers(config))
        for name in _unread(config, parts):
            self.set_submodule(name, nn.Identity())
        tables = [f"{side}.embedding.weight" for side in ("encoder", "decoder")]
        is_one = config.tie_embeddings == "all" and not {
            "encoder.embedding",
            "decoder.embedding",
        } & {part for part, side in parts.sides.items() if side is not None}
        self._tied_weights_keys = dict([tables]) if is_one else {}
        self.post_init()

    def begin(self, encoded: Encoded, mask: Tensor, child: DecodingState) -> DecodingState:
        """The parent's state before the first token.

        Args:
            encoded: what the child's encoder has made, with the parent's final states.
            mask: true at tokens, `(sentences, length)`.
            child: the child's state, whose memory stands where the parent's is not read.
        """
        decoder = self.decoder
        memory = child.memory
        if self.remembers:
            memory = decoder.attention.remember(encoded.output, mask)
        return DecodingState(memory, DecoderState(decoder.bridge(encoded.finals)))

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config.embedding_std)


class CollapsedPTUForConditionalGeneration(HoldsWhatIsLeft, PTUForConditionalGeneration):
    """A :class:`PTUForConditionalGeneration` without what its pinned units do not need.

    A part whose units are pinned to "target" is the child's layer alone; one whose units are pinned
    to "frozen" is the parent's, which now lies in the child's place. The logits are, to the bit,
    those of the whole model with the same units pinned. The units that are left have all their
    weights; what was pinned stays so until :meth:`pin`.

    :func:`~ptu_seq.models.collapse_seq2seq.collapse_translator` makes one, `from_pretrained` loads
    one.

    Args:
        config: shapes of both networks, options of the units and what is pinned.

    Shape:
        As :class:`PTUForConditionalGeneration`.
    """

    config_class = CollapsedSeq2SeqConfig
    config: CollapsedSeq2SeqConfig
    layers_class = CollapsedLayers
    source: FrozenSource[ParentParts]
    made_by = "ptu_seq.models.collapse_seq2seq.collapse_translator(model)"

    @property
    def parts(self) -> Seq2SeqParts:
        """What is left of both networks."""
        return self.config.parts

    def unpin(self) -> Self:
        """Lets the gates act that are left and were not pinned for good."""
        super().unpin()
        for place, unit in units_by_place(self).items():
            if place in (self.config.pinned or {}):
                unit.pin((self.config.pinned or {})[place])
        return self

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's token vectors."""
        table = self.encoder.embedding
        return getattr(table, "target", table)

    def _begin_parent(self, lent: Encoded, mask: Tensor, child: DecodingState) -> DecodingState:
        return self.source.network.begin(lent, mask, child)

    def _tied_weights(self) -> dict[str, str]:
        sides = self.parts.sides
        tables = ("encoder.embedding", "decoder.embedding")
        return tied_weights(self.target_config, *(t if sides[t] else f"{t}.target" for t in tables))

    def _new_parent(self) -> Any:
        return ParentParts(self.config.source_config, self.parts)


def places(config: PTUSeq2SeqConfig) -> list[str]:
    """The places of all units."""
    return [place for own in places_by_part(config.target_config).values() for place in own]


def site_of(place: str) -> str:
    """What a configuration calls the kind of a place.

    Example:
        >>> site_of("encoder.layer1.reverse"), site_of("decoder.embedding"), site_of("output")
        ('encoder', 'embedding', 'output')
    """
    return "embedding" if place.endswith(".embedding") else place.partition(".")[0]


def units_by_place(model: PTUForConditionalGeneration) -> dict[str, PTU]:
    """Every unit of a translator by its place.

    Example:
        >>> from ptu_seq.models import RNNForConditionalGeneration
        >>> parent = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=50))
        >>> list(units_by_place(PTUForConditionalGeneration.from_source(parent)))
        ['encoder.embedding', 'encoder.layer0.forward', 'encoder.layer0.reverse',
         'decoder.embedding', 'decoder.layer0', 'attention', 'output']
    """
    found = {
        _place_of(f"{side}.{name}"): module
        for side in ("encoder", "decoder")
        for name, module in model.get_submodule(side).named_modules()
        if isinstance(module, PTU)
    }
    return {place: found[place] for place in places(model.config) if place in found}


def _place_of(name: str) -> str:
    """A unit's place from its module's name, such as "encoder.layers.0.units.0.1"."""
    side, part, *rest = name.split(".")
    if part == "embedding":
        return f"{side}.embedding"
    if part != "layers":
        return part.removesuffix("_unit")
    layer = f"{side}.layer{rest[0]}"
    return f"{layer}.{('forward', 'reverse')[int(rest[-1])]}" if side == "encoder" else layer


def _unread(config: Seq2SeqConfig, parts: Seq2SeqParts) -> Iterator[str]:
    """The modules of a parent that nothing reads."""
    yield from ("decoder.projection", "decoder.output")
    for part, side in parts.sides.items():
        if side is None:
            continue
        if part == "attention":
            yield "decoder.attention"
        elif part == "output":
            yield "decoder.combine"
        elif part.endswith("embedding"):
            yield part
        else:
            network, layer = part.split(".layer")
            yield f"{network}.layers.{layer}"
            if network == "decoder" and config.bridge == "linear":
                for i in range(2 if config.rnn_type == "lstm" else 1):
                    yield f"decoder.bridge.layers.{layer}.{i}"
