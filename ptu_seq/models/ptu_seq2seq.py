"""The encoder-decoder with units: a frozen parent beside a child, gate by gate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from ptu_seq.models.seq2seq_layers import GatedLayers
from ptu_seq.models.twin_seq2seq import TwinForConditionalGeneration
from ptu_seq.unit import PTU


class PTUForConditionalGeneration(TwinForConditionalGeneration):
    r"""A child encoder-decoder that draws on a frozen parent at every layer through units.

    Both twins read the same tokens, the parent through mappings of the vocabularies. Units sit
    after both embeddings, after every encoder and decoder layer (and direction), on the attention's
    context, and on the attentional vector, which the output layer reads. With all units pinned to
    "target" the model is the child network; pinned to "frozen" it is the parent up to the output
    layer, which is always the child's own, so that both are equal, to the bit, where the child's
    output layer is the parent's.

    In training the parent reads the true target, as the child does; in decoding both twins' states
    advance together in one :class:`~ptu_seq.models.decoding_state.DecodingState`. Where the parent
    does not know a token, the unit after the embedding passes the child's vector on alone; the
    parent, where it reads its tokens by itself (`source_input` "own"), reads its unknown token
    there.

    Make one with :meth:`from_source`, load one with `from_pretrained`.

    Args:
        config: shapes of both networks and options of the units.

    Shape:
        - input_ids, attention_mask: `(batch, length)`, padded on either side
        - labels: `(batch, target length)`, padded with -100
        - logits: `(batch, target length, decoder_vocab_size)`

    Example:
        >>> import torch
        >>> from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
        >>> parent = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=50))
        >>> child = PTUForConditionalGeneration.from_source(parent, candidate="tanh").eval()
        >>> sentences = torch.tensor([[7, 8, 9, 3], [4, 3, 0, 0]])
        >>> child(sentences, labels=torch.tensor([[5, 6, 3], [9, 3, -100]])).logits.shape
        torch.Size([2, 3, 50])
    """

    layers_class = GatedLayers

    def units(self) -> Iterator[tuple[str, PTU]]:
        """Every unit, with the site it sits at."""
        return cast(Iterator[tuple[str, PTU]], super().units())
