"""Encoder-decoders that mix a frozen parent and a child by learned constants, not by gates."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import nn

from ptu_seq.linear_units import CrossStitch, LinearUnit, SideBlend
from ptu_seq.models.seq2seq_config import PTUSeq2SeqConfig, Seq2SeqSite
from ptu_seq.models.seq2seq_layers import GatedLayers, Part
from ptu_seq.models.twin_seq2seq import TwinForConditionalGeneration
from ptu_seq.unit import PTU


class CrossStitchSeq2SeqConfig(PTUSeq2SeqConfig):
    """Shape of a :class:`CrossStitchForConditionalGeneration`."""

    model_type = "ptu_seq_cross_stitch_seq2seq"


class SideBlendSeq2SeqConfig(PTUSeq2SeqConfig):
    """Shape of a :class:`SideBlendForConditionalGeneration`."""

    model_type = "ptu_seq_side_blend_seq2seq"


class StitchedLayers(GatedLayers):
    """Makes the layers of a child with linear units where :class:`GatedLayers` has gated ones.

    Args:
        config: shapes of both networks, whose layers are of one size; its options of gates have no
            meaning here.

    Raises:
        ValueError: for level "step", at which only a Parameter Transfer Unit can mix, or networks
            of different sizes.
    """

    linear: ClassVar[type[LinearUnit]]

    def __init__(self, config: PTUSeq2SeqConfig) -> None:
        super().__init__(config)
        if config.level != "layer":
            raise ValueError(
                f"{self.linear.__name__} units mix the outputs of layers: level is "
                f"{config.level!r}; accepted is 'layer'."
            )

    def embedding(self, part: Part, vocab_size: int) -> nn.Module:
        """The vectors of tokens, mixed."""
        return self._stitch(super().embedding(part, vocab_size))

    def recurrent(self, part: Part, input_size: int, bidirectional: bool = False) -> nn.Module:
        """One recurrent layer, with a unit for each direction."""
        return self._stitch(super().recurrent(part, input_size, bidirectional))

    def unit(self, site: Seq2SeqSite) -> Any:
        """The unit on a vector of `hidden_size` features."""
        return self.linear(self.source.hidden_size, self.config.hidden_size)

    def _stitch(self, layer: nn.Module) -> nn.Module:
        """Puts linear units in the places of gated ones; they are called in the same way."""
        gated = [(name, unit) for name, unit in layer.named_modules() if isinstance(unit, PTU)]
        for name, unit in gated:
            layer.set_submodule(name, self.linear(unit.source_size, unit.target_size))
        return layer


class CrossStitchLayers(StitchedLayers):
    """Layers with a cross-stitch unit after each."""

    linear = CrossStitch


class SideBlendLayers(StitchedLayers):
    """Layers with a blend after each."""

    linear = SideBlend


class CrossStitchForConditionalGeneration(TwinForConditionalGeneration):
    """A child stitched to a frozen parent: see :class:`ptu_seq.linear_units.CrossStitch`.

    Like :class:`~ptu_seq.models.PTUForConditionalGeneration` in all but its units, which have no
    gates: in what `gates` reports, the parent's weight stands as update gate.

    Args:
        config: shapes of both networks and the sites; level "layer".

    Raises:
        ValueError: for level "step", or networks whose layers are of different sizes.

    Example:
        >>> from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
        >>> parent = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=50))
        >>> child = CrossStitchForConditionalGeneration.from_source(parent, sites=["encoder"])
        >>> sorted({site for site, _ in child.units()})
        ['attention', 'decoder', 'embedding', 'encoder', 'output']
        >>> {site for site, unit in child.units() if unit.pinned is None}
        {'encoder'}
    """

    config_class = CrossStitchSeq2SeqConfig
    layers_class = CrossStitchLayers


class SideBlendForConditionalGeneration(TwinForConditionalGeneration):
    """A child blended with a frozen parent: see :class:`ptu_seq.linear_units.SideBlend`.

    Like :class:`CrossStitchForConditionalGeneration` in all but its units, which have one learned
    share for all features.

    Args:
        config: shapes of both networks and the sites; level "layer".

    Raises:
        ValueError: for level "step", or networks whose layers are of different sizes.

    Example:
        >>> from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
        >>> parent = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=50))
        >>> child = SideBlendForConditionalGeneration.from_source(parent, sites=["output"])
        >>> sum(p.numel() for site, unit in child.units() if site == "output"
        ...     for p in unit.parameters())
        1
    """

    config_class = SideBlendSeq2SeqConfig
    layers_class = SideBlendLayers
