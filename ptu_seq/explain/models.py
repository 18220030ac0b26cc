"""Explains the lines that a saved model reads, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor
from transformers import AutoConfig

from ptu_seq.data.pair_filters import cut
from ptu_seq.errors import UserError
from ptu_seq.explain.explanation import Explanation, Reading, SiteGates
from ptu_seq.inference import Classifier, has_text, split_row
from ptu_seq.model_files import check_files
from ptu_seq.models import (
    CollapsedConfig,
    CollapsedSeq2SeqConfig,
    PTUConfig,
    PTUEncoderConfig,
    PTUSeq2SeqConfig,
)
from ptu_seq.models.token_gates import Tokens
from ptu_seq.saved_models import CANNOT_LOAD, check_folder, reason_of
from ptu_seq.translation.batches import collate
from ptu_seq.translation.inference import Translation, Translator, translate
from ptu_seq.unit import PTUGates

Item = TypeVar("Item")

Explainer = Callable[[Iterable[str], int], Iterator[Explanation]]
"""Explains lines in their order, so many at a time."""


def load_explainer(name: str) -> Explainer:
    """Loads a classifier or a translator with units.

    Args:
        name: a folder written by `save_pretrained`, or a name on the hub.

    Raises:
        UserError: if there is no such folder, or it holds no model of texts that has units.
    """
    check_folder(name, "--model")
    check_files(name, "--model")
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except CANNOT_LOAD as error:
        raise UserError(
            f"--model {name}: no model that can be loaded ({reason_of(error)})."
        ) from error
    # Those derived from them mix by learned constants, which are the same at every token.
    if type(config) in (PTUSeq2SeqConfig, CollapsedSeq2SeqConfig):
        return TranslatorExplainer(Translator.from_pretrained(name))
    if type(config) in (PTUConfig, PTUEncoderConfig, CollapsedConfig):
        return ClassifierExplainer(Classifier.from_pretrained(name))
    raise UserError(
        f"--model {name}: a {config.model_type} model, which has no gates at tokens; accepted is a "
        "text classifier or a translator with Parameter Transfer Units, such as the model/ of a "
        "recipe's output."
    )


@dataclass(frozen=True)
class ClassifierExplainer:
    """Explains texts, or `premise<TAB>hypothesis` where the model reads pairs.

    Args:
        classifier: a model with units and its tokenizer.
    """

    classifier: Classifier

    def __call__(self, lines: Iterable[str], batch_size: int) -> Iterator[Explanation]:
        """Explains lines.

        Raises:
            UserError: for a line that is no pair where the model reads pairs.
        """
        is_pair = self.classifier.is_pair
        rows = (split_row(number, line, is_pair) for number, line in enumerate(lines, start=1))
        for batch in _batches(rows, batch_size):
            explained = iter(self.explain([row for row in batch if has_text(row)]))
            for row in batch:
                nothing = Explanation(row, "label", None, "probability", None)
                yield next(explained) if has_text(row) else nothing

    def explain(self, rows: Sequence[tuple[str, ...]]) -> list[Explanation]:
        """Explains a batch of rows that have text."""
        if not rows:
            return []
        model, tokenizer = self.classifier.model, self.classifier.tokenizer
        best = self.classifier.probabilities(rows).max(dim=-1)
        inputs = self.classifier.batch(rows)
        read = zip(inputs["input_ids"], inputs["attention_mask"].bool(), strict=True)
        return [
            Explanation(
                row,
                "label",
                model.config.id2label[label],
                "probability",
                probability,
                Reading(tuple(tokenizer.convert_ids_to_tokens(ids[mask].tolist())), gates.read),
                whole=gates.whole,
                is_cut=self._is_cut(row),
            )
            for row, label, probability, (ids, mask), gates in zip(
                rows,
                best.indices.tolist(),
                best.values.tolist(),
                read,
                _gates(model, len(rows), inputs),
                strict=True,
            )
        ]

    def _is_cut(self, row: tuple[str, ...]) -> bool:
        tokenizer = self.classifier.tokenizer
        limit = tokenizer.model_max_length
        return any(len(tokenizer(text)["input_ids"]) > limit for text in row)


@dataclass(frozen=True)
class TranslatorExplainer:
    """Explains sentences: the gates at their tokens, and at those of their translations.

    Args:
        translator: a model with units and its vocabularies.
    """

    translator: Translator

    def __call__(self, lines: Iterable[str], batch_size: int) -> Iterator[Explanation]:
        """Explains sentences, translated by beam search as `ptu-seq translate` does."""
        model, tokenizers = self.translator.model, self.translator.tokenizers
        window = {"batch_size": batch_size, "window": batch_size}
        translations = translate(model, tokenizers, lines, **window, with_scores=True)
        for batch in _batches(translations, batch_size):
            explained = iter(
                self.explain([translation for translation in batch if translation.ids])
            )
            for translation in batch:
                nothing = Explanation((translation.source,), "translation", None, "score", None)
                yield next(explained) if translation.ids else nothing

    def explain(self, translations: Sequence[Translation]) -> list[Explanation]:
        """Explains a batch of translations."""
        if not translations:
            return []
        model, tokenizers = self.translator.model, self.translator.tokenizers
        sources = tokenizers.encode_source([translation.source for translation in translations])
        examples = [
            {"input_ids": cut(ids, self.translator.limit), "labels": list(translation.ids)}
            for ids, translation in zip(sources, translations, strict=True)
        ]
        told = _gates(model, len(examples), collate(examples, int(model.config.pad_token_id)))
        return [
            Explanation(
                (translation.source,),
                "translation",
                translation.text,
                "score",
                (translation.scores or (None,))[0],
                Reading(tuple(tokenizers.source.convert_ids_to_tokens(example["input_ids"])), read),
                whole=whole,
                written=Reading(
                    tuple(tokenizers.target.convert_ids_to_tokens(example["labels"])), written
                ),
                is_cut=translation.is_cut,
            )
            for translation, example, (read, whole, written) in zip(
                translations, examples, told, strict=True
            )
        ]


class _Gates(NamedTuple):
    """The gates of one example, where it is read, of all of it, and where its output is written."""

    read: tuple[SiteGates, ...]
    whole: tuple[SiteGates, ...]
    written: tuple[SiteGates, ...]


@torch.inference_mode()
def _gates(model: Any, examples: int, inputs: Mapping[str, Tensor]) -> list[_Gates]:
    """The gates of each example of a batch, averaged over neurons."""
    kinds: list[list[list[SiteGates]]] = [[[], [], []] for _ in range(examples)]

    def keep(site: str, gates: PTUGates, tokens: Tokens | None) -> None:
        update, fine_tune = (g.float().mean(-1).cpu() for g in (gates.update, gates.fine_tune))
        rows = torch.arange(examples) if tokens is None else tokens.examples.cpu()
        writes = model.config.is_encoder_decoder and not site.startswith("encoder")
        kind = 1 if tokens is None else 2 if writes else 0
        for i, own in enumerate(kinds):
            of = rows == i
            own[kind].append(
                SiteGates(site, tuple(update[of].tolist()), tuple(fine_tune[of].tolist()))
            )

    on_device = {name: tensor.to(model.device) for name, tensor in inputs.items()}
    model.token_gates(**on_device, on_gates=keep)
    return [_Gates(*map(tuple, own)) for own in kinds]


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Items, so many together; where reading fails, those before come first."""
    batch: list[Item] = []
    broken: UserError | None = None
    try:
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    except UserError as error:
        broken = error
    if batch:
        yield batch
    if broken is not None:
        raise broken
