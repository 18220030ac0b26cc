"""A sentencepiece vocabulary as a fast transformers tokenizer, and tokenised data sets."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import sentencepiece
from datasets import Dataset
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from ptu_seq.data.files import quiet_datasets
from ptu_seq.errors import UserError

ModelType = Literal["unigram", "bpe"]

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<s>", "</s>"
SPACE = "\u2581"  # sentencepiece's visible space

#: At most so many sentences train a vocabulary, drawn with a fixed seed: more change it little.
TRAINING_SENTENCES = 50_000

#: Words beyond `max_length` that `encode` looks at, for words that normalise to nothing.
SPARE_WORDS = 16


def train_tokenizer(
    texts: Iterable[str],
    vocab_size: int,
    *,
    model_type: ModelType = "unigram",
    max_length: int = 64,
) -> PreTrainedTokenizerFast:
    """Trains a sentencepiece vocabulary and wraps it as a fast transformers tokenizer.

    Text is lower-cased and normalised by sentencepiece's `nmt_nfkc_cf`. Ids 0 to 3 are `<pad>`,
    `<unk>`, `<s>` and `</s>`. A sentence becomes "A </s>", a pair "A </s> B </s>" with token types
    0 and 1.

    Args:
        texts: training text only, never validation or test text.
        vocab_size: number of pieces, special ones included; fewer if the text does not yield so
            many.
        model_type: "unigram" or "bpe".
        max_length: the tokenizer's `model_max_length`: the tokens that pipelines keep of one input,
            that is, of both texts of a pair together.

    Returns:
        A tokenizer that saves with `save_pretrained` and loads with `AutoTokenizer`. The same
        texts always give the same one. It returns "token_type_ids" for single texts too (all 0);
        a model for single texts may ignore them.

    Raises:
        UserError: if there is no text, or `vocab_size` is too small for its characters.

    Example:
        >>> tokenizer = train_tokenizer(["A good film.", "A bad film."], vocab_size=40)
        >>> tokenizer.decode(tokenizer("A BAD film.").input_ids)
        'a bad film.</s>'
    """
    model = train_sentencepiece(texts, vocab_size, model_type)
    return PreTrainedTokenizerFast(
        tokenizer_object=_convert(model, model_type),
        pad_token=PAD,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        model_max_length=max_length,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask", "token_type_ids"],
    )


def train_sentencepiece(
    texts: Iterable[str], vocab_size: int, model_type: ModelType = "unigram"
) -> sentencepiece.SentencePieceProcessor:
    """Trains sentencepiece in memory; see :func:`train_tokenizer` for the arguments."""
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(_sentences(texts)),
            model_writer=written,
            vocab_size=vocab_size,
            model_type=model_type,
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            pad_piece=PAD,
            unk_piece=UNK,
            bos_piece=BOS,
            eos_piece=EOS,
            hard_vocab_limit=False,
            normalization_rule_name="nmt_nfkc_cf",
            character_coverage=0.9999,
            max_sentence_length=1_000_000,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        # What follows the C++ file, line and condition, without advice about its flags.
        reason = str(error).rpartition("] ")[2].partition(" Increase")[0]
        raise UserError(f"No vocabulary of {vocab_size} pieces can be trained: {reason}") from error
    return sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


def _sentences(texts: Iterable[str]) -> list[str]:
    """The sentences of all texts, or a sample of them (sentencepiece's own draw is not seeded)."""
    pieces = (piece.strip() for text in texts for piece in re.split(r"(?<=[.!?])\s+|\n+", text))
    sentences = [piece for piece in pieces if piece]
    if not sentences:
        raise UserError("There is no text to train a vocabulary on.")
    if len(sentences) <= TRAINING_SENTENCES:
        return sentences
    drawn = np.random.default_rng(0).choice(len(sentences), TRAINING_SENTENCES, replace=False)
    return [sentences[i] for i in sorted(drawn)]


def _convert(model: sentencepiece.SentencePieceProcessor, model_type: ModelType) -> Tokenizer:
    """The same vocabulary, normaliser and segmentation in the `tokenizers` library."""
    pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    scores = [model.get_score(i) for i in range(model.get_piece_size())]
    if model_type == "unigram":
        tokenizer = Tokenizer(
            models.Unigram(list(zip(pieces, scores, strict=True)), model.unk_id())
        )
    else:
        tokenizer = Tokenizer(
            models.BPE(
                {piece: i for i, piece in enumerate(pieces)},
                _merges(pieces),
                unk_token=UNK,
                fuse_unk=True,
            )
        )
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in (PAD, UNK, BOS, EOS)]
    )
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(_character_map(model.serialized_model_proto())),
            normalizers.Replace(Regex(r" {2,}"), " "),
            normalizers.Strip(),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement=SPACE, prepend_scheme="always")
    tokenizer.post_processor = TemplateProcessing(
        single=f"$A {EOS}",
        pair=f"$A:0 {EOS}:0 $B:1 {EOS}:1",
        special_tokens=[(EOS, model.eos_id())],
    )
    return tokenizer


def _merges(pieces: Sequence[str]) -> list[tuple[str, str]]:
    """Every way to build a piece from two others, the earliest (most frequent) piece first."""
    ids = {piece: i for i, piece in enumerate(pieces)}
    merges: list[tuple[str, str]] = []
    for piece in pieces[4:]:
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        known = [(a, b) for a, b in splits if a in ids and b in ids]
        merges.extend(sorted(known, key=lambda pair: (ids[pair[0]], ids[pair[1]])))
    return merges


def _character_map(model: bytes) -> bytes:
    """`normalizer_spec.precompiled_charsmap` of a serialised sentencepiece model.

    Two fields of a protocol buffer: reading them here saves a dependency on protobuf.
    """
    return _field(_field(model, 3), 2)


def _field(message: bytes, number: int) -> bytes:
    """The length-delimited field `number` of a protocol buffer message."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire_type = key & 7
        if wire_type == 0:
            _, at = _varint(message, at)
        elif wire_type in (1, 5):
            at += 8 if wire_type == 1 else 4
        else:
            length, at = _varint(message, at)
            if key >> 3 == number:
                return message[at : at + length]
            at += length
    raise ValueError(f"the sentencepiece model has no field {number}")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def encode(
    split: Dataset,
    tokenizer: PreTrainedTokenizerFast,
    text_columns: Sequence[str],
    max_length: int,
) -> Dataset:
    """Tokenises a split for a classifier.

    Each text is cut to `max_length` tokens, its `</s>` included; the two sides of a pair are cut
    separately, so that a long premise never pushes the hypothesis out.

    Args:
        split: a table with the text columns and "label".
        tokenizer: from :func:`train_tokenizer`.
        text_columns: ("text",) or ("premise", "hypothesis").
        max_length: tokens kept of each text.

    Returns:
        A table with "input_ids", "attention_mask", "labels", and for pairs "token_type_ids"
        (0 premise, 1 hypothesis); not padded.
    """
    # A word has at least one token, so the rest of a long text cannot matter; cutting it off first
    # is three times faster on reviews.
    head = re.compile(rf"(?:\S+\s+){{{max_length + SPARE_WORDS}}}")

    def cut(text: str) -> str:
        match = head.match(text)
        return match.group() if match else text

    def encode_batch(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        sides = [
            tokenizer(
                [cut(text) for text in batch[column]], truncation=True, max_length=max_length
            ).input_ids
            for column in text_columns
        ]
        joined: list[list[int]] = [sum(parts, []) for parts in zip(*sides, strict=True)]
        encoded = {
            "input_ids": joined,
            "attention_mask": [[1] * len(ids) for ids in joined],
            "labels": batch["label"],
        }
        if len(sides) > 1:
            encoded["token_type_ids"] = [
                [side for side, ids in enumerate(parts) for _ in ids]
                for parts in zip(*sides, strict=True)
            ]
        return encoded

    with quiet_datasets():
        return split.map(encode_batch, batched=True, remove_columns=split.column_names)
