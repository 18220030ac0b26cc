"""Configurations of the encoder-decoders, as transformers saves and loads them."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal, get_args

from transformers import PreTrainedConfig

from ptu_seq.models.config import BySite, RNNType, check_by_site, check_choice, options_at
from ptu_seq.models.versioned_config import VersionedConfig
from ptu_seq.nn.gated import Level
from ptu_seq.nn.options import UnitOptions
from ptu_seq.unit import Candidate, CandidateInit

AttentionType = Literal["bahdanau", "luong_general", "luong_dot"]
BridgeType = Literal["linear", "copy", "zero"]
Tying = Literal["none", "decoder", "all"]
Seq2SeqSite = Literal["embedding", "encoder", "attention", "decoder", "output"]
SourceInput = Literal["own", "target"]


class TwoVocabulariesConfig(VersionedConfig):
    """A configuration with a `vocab_size` of the encoder and a `decoder_vocab_size`."""

    def get_text_config(
        self, decoder: bool | None = None, encoder: bool | None = None
    ) -> PreTrainedConfig:
        """The configuration with the number of tokens that are written, or read, as `vocab_size`.

        The beam search of transformers 5.17 asks here how many tokens a model writes.

        Args:
            decoder: whether the decoder is meant, as it is if neither is.
            encoder: whether the encoder is.
        """
        if encoder or self.decoder_vocab_size in (None, self.vocab_size):
            return self
        written = copy.copy(self)
        written.vocab_size = self.decoder_vocab_size
        return written


class Seq2SeqConfig(TwoVocabulariesConfig):
    """Shape of an :class:`~ptu_seq.models.RNNForConditionalGeneration`.

    Args:
        vocab_size: number of tokens that the encoder reads.
        decoder_vocab_size: number of tokens that the decoder writes; `vocab_size` if None.
        embedding_size: features of a token's vector.
        hidden_size: features of the decoder's hidden state and of the encoder's output; each of
            the encoder's two directions has half of them.
        num_encoder_layers: stacked recurrent layers of the encoder.
        num_decoder_layers: stacked recurrent layers of the decoder.
        rnn_type: "lstm" or "gru".
        attention: "bahdanau" (additive), "luong_general" (bilinear) or "luong_dot".
        input_feeding: whether the decoder reads its attentional vector of the step before beside
            the token (Luong et al. 2015). Without it, the decoder runs fused over all of a target
            in training, about as fast as torch.nn.LSTM.
        bridge: how the encoder's final state becomes the decoder's first: "linear" (a linear
            layer and tanh, for each decoder layer), "copy" or "zero".
        tie_embeddings: which token tables are one: "none"; "decoder": the decoder's input and
            output; "all": these and the encoder's, for a joint vocabulary.
        embedding_dropout: probability that a feature of a token's vector is dropped in training.
        hidden_dropout: the same between recurrent layers and of the attentional vector.
        word_dropout: probability in training that a token's whole vector is dropped.
        variational_dropout: whether a feature is dropped at all positions of a sentence or none
            (Gal & Ghahramani 2016), in embedding and hidden dropout.
        label_smoothing: share of the target's probability that the training loss spreads evenly
            over all tokens; evaluation's loss is not smoothed.
        embedding_std: standard deviation of the initial token vectors.
        pad_token_id: the token that fills up short sequences.
        unk_token_id: the token that stands for unknown ones.
        bos_token_id: the token that begins a sentence.
        eos_token_id: the token that ends a sentence.
        decoder_start_token_id: the token that the decoder reads first.
        **kwargs: other arguments of transformers' PreTrainedConfig.

    Raises:
        ValueError: for an unknown choice, a size below 1, an odd `hidden_size`, or embeddings tied
            across vocabularies of unequal sizes.
    """

    model_type = "ptu_seq_rnn_seq2seq"
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "cache",
        "past_key_values",
        "cross_attentions",
    ]

    is_encoder_decoder: bool = True
    vocab_size: int = 4000
    decoder_vocab_size: int | None = None
    embedding_size: int = 256
    hidden_size: int = 256
    num_encoder_layers: int = 1
    num_decoder_layers: int = 1
    rnn_type: RNNType = "lstm"
    attention: AttentionType = "luong_general"
    input_feeding: bool = False
    bridge: BridgeType = "linear"
    tie_embeddings: Tying = "decoder"
    embedding_dropout: float = 0.3
    hidden_dropout: float = 0.3
    word_dropout: float = 0.0
    variational_dropout: bool = False
    label_smoothing: float = 0.1
    embedding_std: float = 0.1
    pad_token_id: int = 0
    unk_token_id: int = 1
    bos_token_id: int = 2
    eos_token_id: int = 3
    decoder_start_token_id: int = 2

    def __post_init__(self, **kwargs: Any) -> None:
        if self.decoder_vocab_size is None:
            self.decoder_vocab_size = self.vocab_size
        for name, accepted in (
            ("rnn_type", get_args(RNNType)),
            ("attention", get_args(AttentionType)),
            ("bridge", get_args(BridgeType)),
            ("tie_embeddings", get_args(Tying)),
        ):
            check_choice(name, getattr(self, name), accepted)
        for name in (
            *("vocab_size", "decoder_vocab_size", "embedding_size", "hidden_size"),
            *("num_encoder_layers", "num_decoder_layers"),
        ):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"Seq2SeqConfig: {name} is {getattr(self, name)}; at least 1 needed."
                )
        if self.hidden_size % 2:
            raise ValueError(
                f"Seq2SeqConfig: hidden_size is {self.hidden_size}; it must be even, as each of "
                "the encoder's two directions has half of it."
            )
        if self.tie_embeddings == "all" and self.vocab_size != self.decoder_vocab_size:
            raise ValueError(
                f"Seq2SeqConfig: tie_embeddings='all' needs one joint vocabulary, but vocab_size "
                f"is {self.vocab_size} and decoder_vocab_size {self.decoder_vocab_size}."
            )
        kwargs["tie_word_embeddings"] = self.tie_embeddings != "none"
        super().__post_init__(**kwargs)

    @property
    def shape(self) -> dict[str, Any]:
        """The fields of this class, without those that all of transformers' models have."""
        names = set(Seq2SeqConfig.__annotations__) - {"is_encoder_decoder"}
        return {
            name: getattr(self, name)
            for name in Seq2SeqConfig.__annotations__
            if name in names and name != "keys_to_ignore_at_inference"
        }

    @property
    def target_vocab_size(self) -> int:
        """`decoder_vocab_size`, which is never None once the configuration is made."""
        return self.decoder_vocab_size or self.vocab_size


class PTUSeq2SeqConfig(TwoVocabulariesConfig):
    """Shape of a :class:`~ptu_seq.models.PTUForConditionalGeneration`.

    Args:
        target_network: the child's :class:`Seq2SeqConfig`, as a dict.
        source_network: the parent's, likewise, with the type of its weights.
        sites: where units sit: any of "embedding" (the encoder's and the decoder's), "encoder"
            and "decoder" (after every recurrent layer, for each direction), "attention" (on the
            context) and "output" (on the attentional vector, which the output layer reads).
        level: "layer" (a unit gates a recurrent layer's output) or "step" (the gated state feeds
            the recurrence).
        source_input: what the parent's layers read: "own", the tokens and then its own activations,
            or "target", what the child's layer in their place reads (see
            :mod:`ptu_seq.models.twins`). For "target" both must have features of equal number.
        candidate: the unit's candidate: "linear", "tanh" or "relu".
        candidate_init: "identity" or "random".
        fine_tune_bias: initial bias of the fine-tune gates.
        update_bias: initial bias of the update gates: one number, or one for each of the sites.
        gate_dropout: probability in training that a neuron's update gate is forced open or shut:
            one number, or one for each of the sites.
        source_hash: content hash of the parent's weights, checked on loading.
        include_source: whether the weights file holds the parent (else it must be given).
        **kwargs: other arguments of transformers' PreTrainedConfig.

    The token ids (`pad_token_id` and so on) and vocabulary sizes are the child's.

    Raises:
        ValueError: for an unknown site or `source_input`, numbers by site that leave one out, or
            networks that do not fit: of unequal numbers of layers, or of unequal features where the
            parent reads what the child does.
    """

    model_type = "ptu_seq_ptu_seq2seq"
    keys_to_ignore_at_inference: ClassVar[list[str]] = [
        "cache",
        "past_key_values",
        "cross_attentions",
    ]

    is_encoder_decoder: bool = True
    target_network: dict[str, Any] | None = None
    source_network: dict[str, Any] | None = None
    sites: list[str] | tuple[str, ...] = get_args(Seq2SeqSite)
    level: Level = "layer"
    source_input: SourceInput = "own"
    candidate: Candidate = "linear"
    candidate_init: CandidateInit = "identity"
    fine_tune_bias: float = 0.0
    update_bias: BySite = 0.0
    gate_dropout: BySite = 0.0
    source_hash: str | None = None
    include_source: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        for site in self.sites:
            check_choice("sites", site, get_args(Seq2SeqSite))
        self.sites = list(self.sites)
        check_choice("source_input", self.source_input, get_args(SourceInput))
        for name in ("update_bias", "gate_dropout"):
            check_by_site(type(self).__name__, name, getattr(self, name), get_args(Seq2SeqSite))
        source, target = self.source_config, self.target_config
        equal = ["num_encoder_layers", "num_decoder_layers"]
        if self.source_input == "target":
            equal += ["rnn_type", "embedding_size", "hidden_size", "input_feeding"]
        for name in equal:
            theirs, ours = getattr(source, name), getattr(target, name)
            if theirs != ours:
                raise ValueError(
                    f"The parent's {name} is {theirs} and the child's {ours}; they must be equal."
                )
        tokens = ("pad", "unk", "bos", "eos", "decoder_start")
        kwargs |= {f"{name}_token_id": getattr(target, f"{name}_token_id") for name in tokens}
        kwargs["vocab_size"] = target.vocab_size
        kwargs["decoder_vocab_size"] = target.decoder_vocab_size
        kwargs["tie_word_embeddings"] = target.tie_embeddings != "none"
        super().__post_init__(**kwargs)

    def unit_options(self, site: Seq2SeqSite) -> UnitOptions:
        """What the units at a site are made with: keyword arguments of :class:`ptu_seq.PTU`."""
        return options_at(self, site)

    @property
    def target_config(self) -> Seq2SeqConfig:
        """The child's configuration."""
        return Seq2SeqConfig(**(self.target_network or {}))

    @property
    def source_config(self) -> Seq2SeqConfig:
        """The parent's configuration."""
        return Seq2SeqConfig(**(self.source_network or {}))
