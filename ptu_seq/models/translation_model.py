"""What every encoder-decoder shares: the forward pass, the loss, and transformers' `generate`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import GenerationMixin
from transformers.modeling_outputs import ModelOutput, Seq2SeqLMOutput

from ptu_seq.models.decoder import Decoded
from ptu_seq.models.decoding_state import DecodingState
from ptu_seq.models.labels import labels_within
from ptu_seq.models.seq2seq_config import Seq2SeqConfig
from ptu_seq.nn.gated import OnGates

IGNORED = -100
"""The label of positions that do not count, as everywhere in torch and transformers."""

# transformers 5.24 renamed what `generate` hands on and models return.
STATE_NAME = (
    "cache" if "cache" in {field.name for field in fields(Seq2SeqLMOutput)} else "past_key_values"
)
"""What the transformers installed here calls the state in a model's output: "cache" from 5.24 on,
"past_key_values" before."""


@dataclass
class EncoderOutput(ModelOutput):
    """What `generate` keeps of the encoder.

    Args:
        last_hidden_state: the encoder's output, `(sentences, length, hidden_size)`.
        state: where decoding begins; it shares this output, so nothing is encoded twice.
    """

    last_hidden_state: Tensor | None = None
    state: DecodingState | None = None


class TranslationGenerationMixin(GenerationMixin):
    """The forward pass, the loss and the hooks of `generate`, for models that encode and decode.

    The state of decoding is one explicit :class:`DecodingState`, which `generate` hands on under
    the name `STATE_NAME`; nothing is kept on modules.
    """

    target_config: Seq2SeqConfig  # of the network that is trained

    def encode(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        on_gates: OnGates | None = None,
    ) -> DecodingState:
        """Reads sentences; the state from which their translations begin.

        Args:
            input_ids: tokens, `(sentences, length)`, padded on either side.
            attention_mask: 1 at tokens, 0 at padding; all but the padding token if None.
            on_gates: is called with each unit's place and gates.
        """
        raise NotImplementedError

    def decode(
        self, decoder_input_ids: Tensor, state: DecodingState, on_gates: OnGates | None = None
    ) -> tuple[Decoded, DecodingState]:
        """Reads tokens of the translations: all activations, and the state after the last token.

        Args:
            decoder_input_ids: tokens, `(rows, length)`; any number of them, one at a time or all.
            state: the state after the tokens before.
            on_gates: is called with each unit's place and gates.
        """
        raise NotImplementedError

    def logits(self, decoded: Decoded) -> Tensor:
        """Scores of the token after each, `(rows, length, decoder_vocab_size)`."""
        raise NotImplementedError

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        labels: Tensor | None = None,
        encoder_outputs: EncoderOutput | None = None,
        past_key_values: DecodingState | None = None,
        use_cache: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        num_items_in_batch: Tensor | int | None = None,
        cache: DecodingState | None = None,
    ) -> Seq2SeqLMOutput:
        """Logits, and the loss if there are labels.

        Args:
            input_ids: tokens of the sentences, ending in the end token.
            attention_mask: 1 at tokens, 0 at padding; all but the padding token if None.
            decoder_input_ids: tokens that the decoder reads; made of the labels if None.
            labels: tokens that it should write, ending in the end token; -100 where none counts.
            encoder_outputs: what the encoder made of the sentences, in place of `input_ids`.
            past_key_values: the state after the tokens before, in place of both.
            use_cache: whether to return the state; true without labels if None.
            output_attentions: whether to return the attention's weights as `cross_attentions`, one
                tensor `(rows, 1, length, source length)`.
            output_hidden_states: accepted for transformers' sake; no hidden states are returned.
            return_dict: likewise; the result is always a `Seq2SeqLMOutput`.
            num_items_in_batch: labels in all of an optimisation step, which Trainer gives when it
                accumulates gradients; the loss is the sum over labels divided by it.
            cache: the same as `past_key_values`, by the name that newer transformers have for it.

        Raises:
            ValueError: if there is nothing to read, or on a CPU if a label is no token.
        """
        if decoder_input_ids is None:
            if labels is None:
                raise ValueError(
                    "The decoder has nothing to read: pass decoder_input_ids or labels."
                )
            decoder_input_ids = self.prepare_decoder_input_ids_from_labels(labels)
        state = past_key_values if cache is None else cache
        if state is None:
            state = self._first_state(input_ids, attention_mask, encoder_outputs)
            state = state.with_rows(len(decoder_input_ids))
        with labels_within(labels, self.target_config.target_vocab_size):
            decoded, state = self.decode(decoder_input_ids, state)
            logits = self.logits(decoded)
            loss = None if labels is None else self._loss(logits, labels, num_items_in_batch)
        keep = labels is None if use_cache is None else use_cache
        kept: dict[str, Any] = {STATE_NAME: state if keep else None}
        return Seq2SeqLMOutput(
            loss=loss,
            logits=logits,
            cross_attentions=(decoded.weights.unsqueeze(1),) if output_attentions else None,
            **kept,
        )

    def prepare_decoder_input_ids_from_labels(self, labels: Tensor) -> Tensor:
        """What the decoder reads to write the labels: the start token, then all but the last."""
        start = labels.new_full((len(labels), 1), self.target_config.decoder_start_token_id)
        tokens = labels[:, :-1].masked_fill(
            labels[:, :-1] == IGNORED, self.target_config.pad_token_id
        )
        return torch.cat([start, tokens], dim=1)

    def _first_state(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        encoder_outputs: EncoderOutput | None,
    ) -> DecodingState:
        state = None if encoder_outputs is None else getattr(encoder_outputs, "state", None)
        if state is not None:
            return state
        if encoder_outputs is not None or input_ids is None:
            raise ValueError(
                "There is no sentence to translate: pass input_ids, or as encoder_outputs what "
                "model.get_encoder() returned."
            )
        return self.encode(input_ids, attention_mask)

    def _loss(self, logits: Tensor, labels: Tensor, num_items: Tensor | int | None) -> Tensor:
        loss = F.cross_entropy(
            logits.flatten(0, 1).float(),
            labels.flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.target_config.label_smoothing if self.training else 0.0,  # type: ignore[attr-defined]
            reduction="mean" if num_items is None else "sum",
        )
        if num_items is None:
            return loss
        return loss / (num_items.to(loss.device) if isinstance(num_items, Tensor) else num_items)

    # What transformers' generate asks of a model.

    if TYPE_CHECKING:
        generate: Any  # transformers declares it for a class that no model belongs to

    def get_encoder(self, modality: str | None = None) -> EncoderCall:
        """What `generate` calls once, before the first step."""
        return EncoderCall(self)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False  # the state comes from the encoder

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[Any, dict[str, Any]]:
        """Beams share the memory of their sentence: only what they have written is multiplied."""
        if input_ids is not None:
            input_ids = input_ids.repeat_interleave(expand_size, dim=0)
        return input_ids, model_kwargs

    def compute_transition_scores(
        self,
        sequences: Tensor,
        scores: tuple[Tensor, ...],
        beam_indices: Tensor | None = None,
        normalize_logits: bool = False,
    ) -> Tensor:
        """Scores of the tokens that `generate` chose: see transformers' documentation.

        Transformers' own takes `vocab_size` for the decoder's, which it need not be here.
        """
        steps = torch.stack(scores, dim=1)  # (rows, steps, decoder_vocab_size)
        if normalize_logits:
            steps = steps.log_softmax(dim=-1)
        if beam_indices is None:
            rows = torch.arange(len(sequences), device=sequences.device).unsqueeze(1)
            beam_indices = rows.expand(-1, steps.shape[1])
        ended = beam_indices < 0
        count = int((~ended).sum(-1).max())
        beams = beam_indices[:, :count].clamp(min=0)
        places = torch.arange(count, device=sequences.device)
        chosen = steps[beams, places, sequences[:, sequences.shape[1] - count :]]
        return chosen.masked_fill(ended[:, :count], 0.0)


class EncoderCall:
    """A model's encoder as `generate` calls it.

    Args:
        model: the model.
    """

    main_input_name = "input_ids"

    def __init__(self, model: TranslationGenerationMixin) -> None:
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **kwargs: Any
    ) -> EncoderOutput:
        """Encodes sentences, for the parent too where there is one."""
        state = self.model.encode(input_ids, attention_mask)
        return EncoderOutput(last_hidden_state=state.memory.values, state=state)

    __call__ = forward
