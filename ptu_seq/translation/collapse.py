"""Collapsing a saved translator: what its units can be pinned to, and the sentences that decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast, get_args

import datasets
import torch
from torch import Tensor
from torch.nn import functional as F

from ptu_seq.collapse import Collapses, State, States
from ptu_seq.data.pair_filters import cut
from ptu_seq.data.vocabulary import TokenizerPair, encode_pairs
from ptu_seq.models import PTUForConditionalGeneration
from ptu_seq.models.collapse_seq2seq import (
    CollapsedTranslator,
    Vocabulary,
    can_fold,
    collapse_translator,
    fold_embeddings,
)
from ptu_seq.models.collapsed_seq2seq import units_by_place
from ptu_seq.models.seq2seq_layers import Part
from ptu_seq.models.seq2seq_parts import Seq2SeqParts, places_by_part
from ptu_seq.models.translation_model import IGNORED
from ptu_seq.translation.batches import collate, validation_rows
from ptu_seq.translation.evaluation import MetricName, corpus_score
from ptu_seq.translation.inference import Translator, translate
from ptu_seq.unit import Pin

#: How many batches at most are timed.
TIMED_BATCHES = 4

_VOCABULARIES: dict[Part, Vocabulary] = {
    "encoder.embedding": "encoder",
    "decoder.embedding": "decoder",
}


@dataclass(frozen=True)
class SentencePairs:
    """Sentences with translations: see :class:`ptu_seq.collapse.Examples`.

    Args:
        tokenizers: the translator's.
        sources: sentences.
        references: the translation of each.
        batches: the same as the translator reads them, with "labels".
        metric: "bleu" or "chrf".
        beam_size: hypotheses of the translations that are scored and timed.
        batch_size: sentences translated at a time.
    """

    tokenizers: TokenizerPair
    sources: Sequence[str]
    references: Sequence[str]
    batches: Sequence[Mapping[str, Tensor]]
    metric: MetricName
    beam_size: int
    batch_size: int

    @torch.inference_mode()
    def loss(self, model: Any) -> float:
        """The mean cross-entropy of a translation's tokens, in eval mode."""
        total, count = 0.0, 0
        for batch in self.batches:
            labels = batch["labels"].flatten()
            logits = model(**batch).logits.flatten(0, 1).float()
            total += F.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum").item()
            count += int((labels != IGNORED).sum())
        return total / count

    def score(self, model: Any) -> float:
        """The corpus score of a model's translations."""
        return corpus_score(self.metric, self._translate(model, self.sources), self.references)

    def timed(self) -> list[list[str]]:
        """Some batches of sentences."""
        rows = range(0, len(self.sources), self.batch_size)
        starts = rows[:: -(-len(rows) // TIMED_BATCHES)]
        return [list(self.sources[start : start + self.batch_size]) for start in starts]

    def run(self, model: Any, batch: list[str]) -> None:
        """Translates a batch, from text to text: what is written takes its time too."""
        self._translate(model, batch)

    def _translate(self, model: Any, sentences: Sequence[str]) -> list[str]:
        found = translate(
            model,
            self.tokenizers,
            sentences,
            beam_size=self.beam_size,
            batch_size=self.batch_size,
            window=max(1, len(sentences)),
        )
        return [translation.text for translation in found]


class TranslatorCollapses(Collapses):
    """A trained translator collapsed in every way that is asked for.

    Args:
        model: the whole model, whose parent reads what its child does.
        validation: validation data.
    """

    def __init__(self, model: PTUForConditionalGeneration, validation: SentencePairs) -> None:
        super().__init__(model, validation)
        self.model = model
        self.places = places_by_part(model.target_config)
        units = units_by_place(model)
        self._units = [(p, part, units[p]) for part, own in self.places.items() for p in own]

    def start(self) -> dict[str, State]:
        """What the units of each part are pinned to; None where they differ."""
        units, states = units_by_place(self.model), {}
        for part, places in self.places.items():
            first, *others = (units[place].pinned for place in places)
            states[part] = None if any(other != first for other in others) else first
        return cast(dict[str, State], states)

    def make(self, states: States) -> CollapsedTranslator:
        """The model with the units of its parts in these states, collapsed."""
        folded = _folded(states)
        model = fold_embeddings(self.model, folded) if folded else self.model
        pins = {
            place: cast(Pin, states[part])
            for part, places in self.places.items()
            for place in places
            if states[part] in get_args(Pin)
        }
        with _pinned(model, pins):
            return collapse_translator(model)

    def key(self, states: States) -> tuple:
        """Equal where parts are of the same network, and those of both have the same pins."""
        pins = {
            place: "target" if states[part] == "folded" else states[part] or unit.pinned
            for place, part, unit in self._units
        }
        parts = Seq2SeqParts.of(cast(Mapping[str, Pin | None], pins), self.model.config)
        left = ((place, pins[place]) for place, part, _ in self._units if not parts.sides[part])
        return (*_folded(states), *parts.sides.items(), *left)

    def candidates(self, states: States) -> Iterator[dict[str, State]]:
        """One part of one network, all recurrent layers, or everything."""
        child = self.model.target_config
        alone: dict[Part, tuple[State, ...]] = dict.fromkeys(states, ("target", "frozen"))
        for part, side in _VOCABULARIES.items():
            # Pinned to the parent, token vectors would keep both tables, for unknown tokens.
            alone[part] = ("target", "folded") if can_fold(child, side) else ("target",)
        for part, accepted in alone.items():
            yield from ({**states, part: state} for state in accepted)
        # An encoder layer and the decoder layer that begins from it go to one side together.
        recurrent = [part for part in states if ".layer" in part]
        yield {**states, **dict.fromkeys(recurrent, "target")}
        yield {**states, **dict.fromkeys(recurrent, "frozen")}
        yield dict.fromkeys(states, "target")
        yield {part: accepted[-1] for part, accepted in alone.items()}

    def sites(self, states: States) -> dict[str, str]:
        """What each part is."""
        return {part: str(state or "gated") for part, state in states.items()}


def sentence_pairs(
    translator: Translator,
    split: datasets.Dataset,
    count: int | None,
    *,
    metric: MetricName,
    beam_size: int,
    batch_size: int,
) -> SentencePairs:
    """A split as a translator reads it, like lengths together, on its device.

    Args:
        translator: the model and its vocabularies, which tell how much of a sentence is read.
        split: a table with the columns "source" and "target".
        count: take so many pairs, always the same ones; all if None.
        metric: the score.
        beam_size: hypotheses of the translations that are scored.
        batch_size: sentences read at a time.
    """
    tokenizers, limit = translator.tokenizers, translator.limit
    examples = [
        {name: cut(ids, limit) for name, ids in example.items()}
        for example in encode_pairs(split, tokenizers)
    ]
    rows = validation_rows(examples, len(examples) if count is None else count)
    device, padding = translator.model.device, int(translator.model.config.pad_token_id)
    batches = []
    for start in range(0, len(rows), batch_size):
        batch = collate([examples[i] for i in rows[start : start + batch_size]], padding)
        batches.append({name: tensor.to(device) for name, tensor in batch.items()})
    sources, references = split["source"][:], split["target"][:]
    return SentencePairs(
        tokenizers,
        [sources[i] for i in rows],
        [references[i] for i in rows],
        batches,
        metric,
        beam_size,
        batch_size,
    )


def _folded(states: States) -> list[Vocabulary]:
    return [side for part, side in _VOCABULARIES.items() if states[part] == "folded"]


@contextmanager
def _pinned(model: PTUForConditionalGeneration, pins: Mapping[str, Pin]) -> Iterator[None]:
    units = units_by_place(model)
    before = {place: units[place].pinned for place in pins}
    try:
        for place, state in pins.items():
            units[place].pinned = state
        yield
    finally:
        for place, pinned in before.items():
            units[place].pinned = pinned
