"""Sentences of the parent's and the child's languages, and what translators make of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from ptu_seq.methods.domains import Batch, check_sizes, endless_batches
from ptu_seq.methods.readers import Activations, BothRead, DomainReader
from ptu_seq.models import RNNForConditionalGeneration
from ptu_seq.models.decoding_state import DecodingState
from ptu_seq.models.twin_seq2seq import TwinForConditionalGeneration
from ptu_seq.source import FrozenSource


@dataclass(frozen=True)
class SentenceDomains:
    """The parent's training pairs, and the child's without their translations.

    Args:
        parent: tokenised pairs, "input_ids" and "labels".
        child: tokenised pairs; their labels are never read.
        with_labels: whether the parent's sentences keep their translations, as they may where the
            child writes the same tokens of the same language.
        collate: makes a batch of pairs.
        batch_size: sentences of each in a batch, or all there are if those are fewer.
        seed: orders the batches.

    Raises:
        UserError: if a batch would hold a single sentence, which is at no distance from others.
    """

    parent: Sequence[Any]
    child: Sequence[Any]
    with_labels: bool
    collate: Callable[[list[Any]], Batch]
    batch_size: int
    seed: int

    def __post_init__(self) -> None:
        flags = "--batch_tokens over --gradient_accumulation_steps and a sentence's mean length"
        check_sizes(self.parent, self.child, self.batch_size, flags)

    def batches(self) -> Iterator[tuple[Batch, Batch]]:
        """Batches of the parent's and of the child's sentences, without end."""
        for theirs, ours in zip(
            endless_batches(self.parent, self.batch_size, self.collate, self.seed),
            endless_batches(self.child, self.batch_size, self.collate, self.seed + 1),
            strict=True,
        ):
            del ours["labels"]
            if not self.with_labels:
                del theirs["labels"]
            yield theirs, ours


class SentenceReader(DomainReader):
    r"""Reads sentences of both languages with an encoder-decoder that learns the child's.

    The layers are the encoder's output, averaged over a sentence's :math:`n` tokens (attention
    reads them one by one), and the first state of the decoder's top layer, which the bridge makes:

    .. math::
        \bar h = \frac1n \sum_{i=1}^n h_i \qquad s_0 = \mathrm{bridge}(h)

    Where both languages are read with one vocabulary, the network that learns reads both, as in the
    companions' papers; it learns the parent's pairs as well if their translations are given. With
    a vocabulary of its own the child has no vectors for most of the parent's words, and its pieces
    would cut them up into what nobody taught it. There the frozen parent reads them, as in
    adversarial discriminative domain adaptation (Tzeng et al., CVPR 2017), where each domain has an
    encoder of its own and only the target's learns: the child's sentences are to look to the
    decoder like those that the parent's knew. The parent's dropout sleeps, as always.

    Args:
        model: the network that learns.
        parent: the trained parent, which is copied; None where the model reads both languages.
        domains: the sentences.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        parent: RNNForConditionalGeneration | None,
        domains: SentenceDomains,
    ) -> None:
        assert isinstance(model, RNNForConditionalGeneration | TwinForConditionalGeneration)
        self.model = model
        self.parent = None if parent is None else FrozenSource(copy.deepcopy(parent))
        self.size = model.target_config.hidden_size
        self._batches = domains.batches()

    def read(self, device: torch.device) -> BothRead:
        """Reads the next batches: see :class:`DomainReader`."""
        theirs, ours = (
            {name: tensor.to(device) for name, tensor in batch.items()}
            for batch in next(self._batches)
        )
        network = self.model if self.parent is None else self.parent.to(device).network
        parent = network.encode(theirs["input_ids"], theirs["attention_mask"])
        child = self.model.encode(ours["input_ids"], ours["attention_mask"])
        # Read a second time, as mixed precision, which the state is not in, wraps this call alone.
        loss = self.model(**theirs).loss if "labels" in theirs else None
        return BothRead(_activations(parent), _activations(child), loss)

    def skip(self, batches: int) -> None:
        """Passes over batches: see :class:`DomainReader`."""
        for _ in range(batches):
            next(self._batches)


def _activations(state: DecodingState) -> Activations:
    tokens = state.memory.mask.unsqueeze(-1)
    mean = (state.memory.values * tokens).sum(1) / tokens.sum(1)
    (first, *_) = state.recurrent.layers[-1]  # without an LSTM's cell state
    return Activations(mean.float(), first.squeeze(0).float())
