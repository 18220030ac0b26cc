"""Encoder-decoders of two networks: a frozen parent beside a child, joined by units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Self, get_args

import torch
from torch import Tensor, nn

from ptu_seq.linear_units import LinearUnit
from ptu_seq.models.copy_parent import (
    check_shapes,
    checked_mapping,
    copy_parent,
    parents_ids,
)
from ptu_seq.models.decoder import Decoded, Decoder
from ptu_seq.models.decoding_state import DecodingState
from ptu_seq.models.encoder import Encoded, Encoder
from ptu_seq.models.encoding import initialise
from ptu_seq.models.seq2seq import RNNForConditionalGeneration, sentences, tied_weights
from ptu_seq.models.seq2seq_config import PTUSeq2SeqConfig
from ptu_seq.models.seq2seq_layers import GatedLayers
from ptu_seq.models.token_gates import OnTokenGates, ReportsGates, at_tokens
from ptu_seq.models.translation_model import IGNORED, TranslationGenerationMixin
from ptu_seq.models.twins import DECODER_TWINS, ENCODER_TWINS
from ptu_seq.models.with_source import ModelWithSource, check_names, describe_source
from ptu_seq.nn.frozen import Init
from ptu_seq.nn.gated import OnGates
from ptu_seq.source import FrozenSource
from ptu_seq.unit import PTU, Pin, PTUGates


class TwinForConditionalGeneration(
    ReportsGates, TranslationGenerationMixin, ModelWithSource[RNNForConditionalGeneration]
):
    """A child encoder-decoder beside a frozen parent: the shared base.

    :class:`~ptu_seq.models.PTUForConditionalGeneration` documents it; a subclass says which layers,
    with which units, the child is made of.

    Args:
        config: shapes of both networks and options of the units.
    """

    layers_class: ClassVar[type[GatedLayers]]
    config_class = PTUSeq2SeqConfig
    source_class = RNNForConditionalGeneration
    config: PTUSeq2SeqConfig
    main_input_name = "input_ids"
    accepts_loss_kwargs = True
    encoder_mapping: Tensor
    decoder_mapping: Tensor

    def __init__(self, config: PTUSeq2SeqConfig) -> None:
        super().__init__(config)
        layers = self.layers_class(config)
        self.target_config = layers.config
        self.encoder = Encoder(self.target_config, layers)
        self.decoder = Decoder(self.target_config, layers)
        for side, size in (
            ("encoder", self.target_config.vocab_size),
            ("decoder", self.target_config.target_vocab_size),
        ):
            self.register_buffer(f"{side}_mapping", torch.arange(size))
        self._tied_weights_keys = self._tied_weights()
        self.post_init()
        # Made last, so that a seed draws the same child whatever the parent.
        self.source = FrozenSource(self._new_parent())
        self.all_tied_weights_keys = self.get_expanded_tied_weights_keys(all_submodels=True)
        self.unpin().requires_grad_()

    @classmethod
    def from_source(
        cls,
        parent: RNNForConditionalGeneration,
        init: Init = "source",
        *,
        target: dict[str, Any] | None = None,
        encoder_mapping: Tensor | None = None,
        decoder_mapping: Tensor | None = None,
        **options: Any,
    ) -> Self:
        """Makes a model for a new language pair from a trained parent.

        Args:
            parent: the trained network; its weights are copied, it is left as it is.
            init: "source" starts the child from the parent's weights (of the tokens that both
                know), "random" anew.
            target: fields of :class:`Seq2SeqConfig` in which the child differs.
            encoder_mapping: the parent's id of every token that the child's encoder reads, -1 where
                it has none; None if both share that vocabulary.
            decoder_mapping: the same of the decoder's tokens.
            **options: fields of :class:`PTUSeq2SeqConfig`: `sites`, `level`, `candidate`, ...

        Returns:
            A model on the parent's device and of its type.

        Raises:
            ValueError: for an unknown `init` or option, shapes that do not fit (it names the
                fields), or a mapping that does not.
        """
        shape = parent.config.shape
        described = describe_source(parent)
        internal = (*described, "target_network", "include_source", "is_encoder_decoder")
        free = [name for name in PTUSeq2SeqConfig.__annotations__ if name not in internal]
        check_names(cls, "init", [init], get_args(Init))
        check_names(cls, "field of target", target or {}, shape)
        check_names(cls, "option", options, free)
        config = cls.config_class(
            target_network={**shape, **(target or {})}, **described, **options
        )
        child = config.target_config
        if init == "source":
            check_shapes(parent.config, child)
        mappings = {
            "encoder_mapping": checked_mapping(
                encoder_mapping, parent.config.vocab_size, child.vocab_size, "vocab_size"
            ),
            "decoder_mapping": checked_mapping(
                decoder_mapping,
                parent.config.target_vocab_size,
                child.target_vocab_size,
                "decoder_vocab_size",
            ),
        }
        model = cls(config)
        for name, mapping in mappings.items():
            model.get_buffer(name).copy_(mapping)
        model.to(device=parent.device, dtype=parent.dtype)  # type: ignore[call-arg]
        model.source.network.load_state_dict(parent.state_dict())
        if init == "source":
            copy_parent(parent, model, **mappings)
        return model

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        on_gates: OnGates | None = None,
    ) -> DecodingState:
        """Both twins read sentences: see :class:`TranslationGenerationMixin`."""
        parent = self.source.network.encoder
        batch = sentences(self.target_config, input_ids, attention_mask)
        ids, known = self._for_parent(batch.ids, self.encoder_mapping)
        twin = ENCODER_TWINS[self.config.source_input](parent, batch._replace(ids=ids))
        encoded = self.encoder(batch, twin, known, on_gates)
        child = self.decoder.begin(encoded, batch.mask)
        return replace(child, source=self._begin_parent(twin.lent(encoded), batch.mask, child))

    def decode(
        self, decoder_input_ids: Tensor, state: DecodingState, on_gates: OnGates | None = None
    ) -> tuple[Decoded, DecodingState]:
        """Both twins read tokens: see :class:`TranslationGenerationMixin`."""
        assert state.source is not None
        ids, known = self._for_parent(decoder_input_ids, self.decoder_mapping)
        parent = self.source.network.decoder
        twin = DECODER_TWINS[self.config.source_input](parent, ids, state.source)
        decoded, state = self.decoder(decoder_input_ids, state, twin, known, on_gates)
        return decoded, replace(state, source=twin.state)

    def logits(self, decoded: Decoded) -> Tensor:
        """Scores of the token after each, `(rows, length, decoder_vocab_size)`."""
        return self.decoder.logits(decoded.vector)

    @torch.inference_mode()
    def token_gates(
        self,
        input_ids: Tensor,
        on_gates: OnTokenGates,
        attention_mask: Tensor | None = None,
        *,
        labels: Tensor,
    ) -> None:
        """The gates at "encoder.embedding", "encoder.layer0.forward", ..., "attention", "output".

        See :class:`~ptu_seq.models.token_gates.ReportsGates`. The decoder's are those under which
        each label was written; their tokens are what it read then, the one before.

        Args:
            input_ids: tokens of the sentences.
            on_gates: is given a site, the gates and their tokens.
            attention_mask: 1 at tokens, 0 at padding.
            labels: their translations, padded with -100.
        """
        batch = sentences(self.target_config, input_ids, attention_mask)
        in_encoder = at_tokens(on_gates, batch.ids, batch.mask, len(batch.ids))
        state = self.encode(input_ids, attention_mask, in_encoder)
        read = self.prepare_decoder_input_ids_from_labels(labels)
        steps: dict[str, list[PTUGates]] = {}  # with input feeding, one step after another
        self.decode(read, state, lambda site, gates: steps.setdefault(site, []).append(gates))
        in_decoder = at_tokens(on_gates, read, labels != IGNORED, len(read))
        for site, given in steps.items():
            joined = (torch.cat(parts, dim=1) for parts in zip(*given, strict=True))
            in_decoder(site, PTUGates(*joined))

    def units(self) -> Iterator[tuple[str, PTU | LinearUnit]]:
        """Every unit, with the site it sits at."""
        for name, module in (*_named("encoder", self.encoder), *_named("decoder", self.decoder)):
            if isinstance(module, PTU | LinearUnit):
                yield _site_of(name), module

    def pin(self, state: Pin) -> Self:
        """Pins every unit (see :meth:`ptu_seq.PTU.pin`); returns the model."""
        for _, unit in self.units():
            unit.pin(state)
        return self

    def unpin(self) -> Self:
        """Lets the gates of the configuration's sites act; the others stay pinned to "target"."""
        for site, unit in self.units():
            if site in self.config.sites:
                unit.unpin()
            else:
                unit.pin("target")
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Sets it for all but the parent and the units that are not among the sites."""
        super().requires_grad_(requires_grad)
        for site, unit in self.units():
            if site not in self.config.sites:
                unit.requires_grad_(False)
        return self

    def get_input_embeddings(self) -> nn.Module:
        """The child's encoder's token vectors."""
        return self.encoder.embedding.target  # type: ignore[return-value]

    def get_output_embeddings(self) -> nn.Module:
        """The layer that scores tokens."""
        return self.decoder.output

    def _begin_parent(self, lent: Encoded, mask: Tensor, child: DecodingState) -> DecodingState:
        return self.source.network.decoder.begin(lent, mask)

    def _tied_weights(self) -> dict[str, str]:
        return tied_weights(
            self.target_config, "encoder.embedding.target", "decoder.embedding.target"
        )

    def _new_parent(self) -> RNNForConditionalGeneration:
        return RNNForConditionalGeneration(self.config.source_config)

    def _for_parent(self, ids: Tensor, mapping: Tensor) -> tuple[Tensor, Tensor]:
        """The parent's tokens, and where it knows them."""
        return parents_ids(ids, mapping, self.source.network.config.unk_token_id)

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.target_config.embedding_std)


def _named(prefix: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((f"{prefix}.{name}", part) for name, part in module.named_modules())


def _site_of(name: str) -> str:
    if ".embedding." in name:
        return "embedding"
    if name.endswith(("attention_unit", "output_unit")):
        return name.rpartition(".")[2].removesuffix("_unit")
    return name.partition(".")[0]
