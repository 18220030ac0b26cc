"""Translating sentences with a trained encoder-decoder, in batches of like length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForSeq2SeqLM

import ptu_seq.models  # noqa: F401  registers this project's classes with AutoModel
from ptu_seq.data.pair_filters import cut
from ptu_seq.data.vocabulary import TokenizerPair
from ptu_seq.errors import UserError
from ptu_seq.model_trials import try_translator
from ptu_seq.saved_models import load_model, to_accelerator
from ptu_seq.translation.alignment import Alignment, align

#: So many batches are read before they are sorted by length and translated.
WINDOW_BATCHES = 16

#: A translation ends at the latest after so many tokens for each of its sentence, rounded up to a
#: multiple of the step, and some more. The limits being few, sentences of one limit make batches:
#: a translation then never depends on what else is in its batch.
LENGTH_RATIO, LENGTH_STEP, LENGTH_SLACK = 2, 16, 10


@dataclass(frozen=True)
class Translation:
    """What a sentence was translated into.

    Args:
        source: the sentence.
        texts: the best translations, the best first; a sentence without text has empty ones.
        scores: if asked for, of each text the log-probability of its tokens (the end included)
            divided by their number to the power of the length penalty: what beam search ranks by.
            None for a sentence without text.
        ids: the token ids of the best translation, the end token included.
        tokens: tokens of the sentence.
        is_cut: whether there were more of them than the model reads, so that only the first ones
            were translated.
    """

    source: str
    texts: tuple[str, ...]
    scores: tuple[float, ...] | None
    ids: tuple[int, ...]
    tokens: int
    is_cut: bool

    @property
    def text(self) -> str:
        """The best translation."""
        return self.texts[0]

    def as_rows(self, *, with_scores: bool) -> list[str]:
        """A line for each translation: its text, or `score<TAB>text` (no score: no text)."""
        # A vocabulary with bytes can spell line ends, which would put later lines out of place.
        rows = [" ".join(text.splitlines()) for text in self.texts]
        if not with_scores:
            return rows
        if self.scores is None:
            return [f"\t{row}" for row in rows]
        return [f"{score:.4f}\t{row}" for score, row in zip(self.scores, rows, strict=True)]


@dataclass(frozen=True)
class Translator:
    """A trained encoder-decoder with its vocabularies.

    Args:
        model: any of transformers' encoder-decoders for text.
        tokenizers: the vocabularies of source and target.
    """

    model: Any
    tokenizers: TokenizerPair

    @classmethod
    def from_pretrained(cls, name: str, flag: str = "--model") -> Translator:
        """Loads a model and its vocabularies, on the accelerator where there is one.

        Args:
            name: a folder written by `save_pretrained` and `TokenizerPair.save`.
            flag: what the user gave it with, for messages.

        Raises:
            UserError: if there is no such folder, or it holds no trained translator.
        """
        if not Path(name).exists():  # its vocabularies have a form that no hub knows
            raise UserError(f"{flag} {name}: there is no such folder.")
        model, tokenizers = load_model(
            name, AutoModelForSeq2SeqLM, TokenizerPair.load, "translation model", flag
        )
        config = getattr(model, "target_config", None)
        if config is not None:
            _check_size(name, flag, "source", len(tokenizers.source), config.vocab_size)
            _check_size(name, flag, "target", len(tokenizers.target), config.target_vocab_size)
        translator = cls(model, tokenizers)
        try_translator(translator, name, flag)
        to_accelerator(model)
        return translator

    @property
    def limit(self) -> int:
        """Tokens of a sentence that the model reads."""
        return self.tokenizers.source.model_max_length

    def align(self, translation: Translation) -> Alignment:
        """The attention under which the best translation of a sentence was written."""
        (source,) = self.tokenizers.encode_source([translation.source])
        source = cut(source, self.limit)
        target = list(translation.ids)
        return align(
            self.model,
            source,
            target,
            self.tokenizers.source.convert_ids_to_tokens(source),
            self.tokenizers.target.convert_ids_to_tokens(target),
        )


def translate(
    model: Any,
    tokenizers: TokenizerPair,
    sentences: Iterable[str],
    *,
    beam_size: int = 5,
    n_best: int = 1,
    length_penalty: float = 1.0,
    max_length: int | None = None,
    batch_size: int = 32,
    window: int | None = None,
    with_scores: bool = False,
    **generation: Any,
) -> Iterator[Translation]:
    """Translates sentences as they come, in their order.

    A window of sentences is read, sorted by length, translated in batches and yielded in the order
    of the sentences, before the next is read.

    Args:
        model: the encoder-decoder; it is set to eval mode.
        tokenizers: its vocabularies.
        sentences: text, a sentence each.
        beam_size: hypotheses that beam search keeps; 1 is greedy search.
        n_best: how many of them are returned.
        length_penalty: exponent of the length by which a hypothesis's log-probability is divided.
        max_length: tokens of a translation at most; about twice those of its sentence, and 10, if
            None.
        batch_size: sentences translated at a time.
        window: sentences read at a time; 16 batches if None.
        with_scores: whether to return scores, for one more pass over the translations.
        **generation: further arguments of transformers' `generate`, such as
            `no_repeat_ngram_size`.

    Returns:
        A translation of each sentence.

    Raises:
        UserError: for a number below 1, or more translations than hypotheses; and what reading the
            sentences raises, once those before have been translated.
    """
    numbers = {"beam_size": beam_size, "n_best": n_best, "batch_size": batch_size}
    for name, number in {**numbers, "window": window, "max_length": max_length}.items():
        if number is not None and number < 1:
            raise UserError(f"--{name} is {number}; accepted is at least 1.")
    if n_best > beam_size:
        raise UserError(
            f"--n_best is {n_best}, but beam search keeps only --beam_size {beam_size} "
            "translations; accepted is at most as many."
        )
    search = _Search(
        model.eval(),
        tokenizers,
        n_best,
        max_length,
        length_penalty if with_scores else None,
        {
            "num_beams": beam_size,
            "num_return_sequences": n_best,
            "do_sample": False,
            **({"length_penalty": length_penalty} if beam_size > 1 else {}),
            **generation,
        },
    )
    return _stream(search, iter(sentences), batch_size, window or WINDOW_BATCHES * batch_size)


def _check_size(name: str, flag: str, side: str, tokens: int, size: int) -> None:
    if tokens != size:
        raise UserError(
            f"{flag} {name}: the {side} vocabulary has {tokens} tokens and the network {size}, so "
            "they do not belong together."
        )


def _stream(
    search: _Search, sentences: Iterator[str], batch_size: int, window: int
) -> Iterator[Translation]:
    broken: UserError | None = None
    while broken is None:
        texts: list[str] = []
        try:
            for text in itertools.islice(sentences, window):
                texts.append(text)
        except UserError as error:  # a line that cannot be read: those before it are translated
            broken = error
        if not texts:
            break
        encoded = search.encode(texts)
        done = {i: search.nothing(texts[i]) for i, ids in enumerate(encoded) if not ids}
        rows = [i for i in range(len(texts)) if i not in done]
        limits = [search.limit(ids) for ids in encoded]
        for batch in _batches(rows, [len(ids) for ids in encoded], limits, batch_size):
            translations = search([texts[i] for i in batch], [encoded[i] for i in batch])
            done.update(zip(batch, translations, strict=True))
        yield from (done[i] for i in range(len(texts)))
    if broken is not None:
        raise broken


def _batches(
    rows: Sequence[int], lengths: Sequence[int], limits: Sequence[int], batch_size: int
) -> Iterator[list[int]]:
    """Rows of one limit and of about one length together."""
    # The longest first: memory that does not suffice is noticed at once.
    order = sorted(rows, key=lambda i: -lengths[i])
    for _, group in itertools.groupby(order, lambda i: limits[i]):
        alike = list(group)
        for start in range(0, len(alike), batch_size):
            yield alike[start : start + batch_size]


@dataclass(frozen=True)
class _Search:
    """Translates one batch of encoded sentences."""

    model: Any
    tokenizers: TokenizerPair
    n_best: int
    max_length: int | None
    length_penalty: float | None
    generation: dict[str, Any]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """All tokens of each sentence, none where there is no text."""
        encoded = self.tokenizers.encode_source(texts)
        # Invisible characters leave the end token alone.
        return [
            ids if text.strip() and len(ids) > 1 else []
            for text, ids in zip(texts, encoded, strict=True)
        ]

    def limit(self, ids: list[int]) -> int:
        """Tokens of a sentence's translation at most."""
        length = min(len(ids), self.source_limit)
        steps = math.ceil(length / LENGTH_STEP)
        return self.max_length or LENGTH_RATIO * LENGTH_STEP * steps + LENGTH_SLACK

    def nothing(self, text: str) -> Translation:
        """The translation of a sentence without text."""
        return Translation(text, ("",) * self.n_best, None, (), 0, False)

    @property
    def source_limit(self) -> int:
        """Tokens that the model reads."""
        return self.tokenizers.source.model_max_length

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str], rows: Sequence[list[int]]) -> list[Translation]:
        """The translations of sentences that have tokens and share a limit."""
        config, device = self.model.config, self.model.device
        kept = [torch.tensor(cut(ids, self.source_limit), device=device) for ids in rows]
        inputs = {
            "input_ids": pad_sequence(kept, batch_first=True, padding_value=config.pad_token_id),
            "attention_mask": pad_sequence([torch.ones_like(x) for x in kept], batch_first=True),
        }
        limit = self.limit(rows[0])
        written = self.model.generate(**inputs, max_new_tokens=limit, **self.generation)
        labels = written[:, 1:]
        inside = up_to_the_end(labels, config.eos_token_id)
        scores = None if self.length_penalty is None else self._scores(inputs, written, inside)
        targets = self.tokenizers.decode_target(labels)
        return [
            Translation(
                source=text,
                texts=tuple(targets[own]),
                scores=None if scores is None else tuple(scores[own]),
                ids=tuple(labels[own.start][inside[own.start]].tolist()),
                tokens=len(ids),
                is_cut=len(ids) > self.source_limit,
            )
            for text, ids, own in zip(texts, rows, self._slices(len(rows)), strict=True)
        ]

    def _slices(self, count: int) -> list[slice]:
        """Where the translations of each sentence are among those of all."""
        return [slice(i * self.n_best, (i + 1) * self.n_best) for i in range(count)]

    def _scores(self, inputs: dict[str, Tensor], written: Tensor, inside: Tensor) -> list[float]:
        """What beam search ranks by, of every translation."""
        assert self.length_penalty is not None
        repeated = {name: x.repeat_interleave(self.n_best, dim=0) for name, x in inputs.items()}
        logits = self.model(**repeated, decoder_input_ids=written[:, :-1]).logits
        tokens = logits.float().log_softmax(-1).gather(2, written[:, 1:, None]).squeeze(-1)
        return ((tokens * inside).sum(1) / inside.sum(1) ** self.length_penalty).tolist()


def up_to_the_end(ids: Tensor, end: int) -> Tensor:
    """True at the tokens up to the first end token, which counts.

    Example:
        >>> up_to_the_end(torch.tensor([[7, 3, 0], [7, 8, 9]]), end=3).tolist()
        [[True, True, False], [True, True, True]]
    """
    is_end = ids == end
    return is_end.cumsum(1) - is_end.long() == 0
