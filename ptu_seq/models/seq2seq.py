"""A plain recurrent encoder-decoder: the parent, and the child of every method but the unit."""

from __future__ import annotations

from torch import Tensor, nn

from ptu_seq.models.decoder import Decoded, Decoder
from ptu_seq.models.decoding_state import DecodingState
from ptu_seq.models.encoder import Encoder
from ptu_seq.models.encoding import Batch, initialise, read_sentences
from ptu_seq.models.safetensors_model import SafetensorsModel
from ptu_seq.models.seq2seq_config import Seq2SeqConfig
from ptu_seq.models.seq2seq_layers import Layers
from ptu_seq.models.translation_model import TranslationGenerationMixin
from ptu_seq.nn.gated import OnGates


class RNNForConditionalGeneration(TranslationGenerationMixin, SafetensorsModel):
    """A bidirectional recurrent encoder and a recurrent decoder with attention.

    The encoder reads `tokens </s>`; the decoder starts from `<s>` and writes `tokens </s>`.
    Translations are made by transformers' `generate`.

    Args:
        config: the network's shape.

    Shape:
        - input_ids, attention_mask: `(batch, length)`, padded on either side
        - labels: `(batch, target length)`, padded with -100
        - logits: `(batch, target length, decoder_vocab_size)`

    Example:
        >>> import torch
        >>> model = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=50)).eval()
        >>> sentences = torch.tensor([[7, 8, 9, 3], [4, 3, 0, 0]])
        >>> model(sentences, labels=torch.tensor([[5, 6, 3], [9, 3, -100]])).logits.shape
        torch.Size([2, 3, 50])
        >>> model.generate(sentences, num_beams=2, max_new_tokens=4).shape[0]
        2
    """

    config_class = Seq2SeqConfig
    config: Seq2SeqConfig
    main_input_name = "input_ids"
    accepts_loss_kwargs = True

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__(config)
        layers = Layers(config)
        self.target_config = config
        self.encoder = Encoder(config, layers)
        self.decoder = Decoder(config, layers)
        self._tied_weights_keys = tied_weights(config)
        self.post_init()

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        on_gates: OnGates | None = None,
    ) -> DecodingState:
        """Reads sentences: see :class:`TranslationGenerationMixin`."""
        batch = sentences(self.config, input_ids, attention_mask)
        return self.decoder.begin(self.encoder(batch), batch.mask)

    def decode(
        self, decoder_input_ids: Tensor, state: DecodingState, on_gates: OnGates | None = None
    ) -> tuple[Decoded, DecodingState]:
        """Reads tokens of the translations: see :class:`TranslationGenerationMixin`."""
        return self.decoder(decoder_input_ids, state)

    def logits(self, decoded: Decoded) -> Tensor:
        """Scores of the token after each, `(rows, length, decoder_vocab_size)`."""
        return self.decoder.logits(decoded.vector)

    def get_input_embeddings(self) -> nn.Module:
        """The encoder's token vectors."""
        return self.encoder.embedding

    def get_output_embeddings(self) -> nn.Module:
        """The layer that scores tokens."""
        return self.decoder.output

    def _init_weights(self, module: nn.Module) -> None:
        initialise(module, self.config.embedding_std)


def sentences(config: Seq2SeqConfig, input_ids: Tensor, attention_mask: Tensor | None) -> Batch:
    """A batch of sentences, each moved to the front of its row."""
    padding = config.pad_token_id
    kept = input_ids != padding if attention_mask is None else attention_mask.bool()
    return read_sentences(input_ids, kept, padding)


def tied_weights(
    config: Seq2SeqConfig, encoder: str = "encoder.embedding", decoder: str = "decoder.embedding"
) -> dict[str, str]:
    """Which weights are one, as transformers asks for it, by the names of both vocabularies."""
    if config.tie_embeddings == "none":
        return {}
    table = f"{decoder}.weight"
    tied = {"decoder.output.weight": table}
    return tied if config.tie_embeddings == "decoder" else {**tied, f"{encoder}.weight": table}
