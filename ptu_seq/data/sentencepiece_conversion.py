"""sentencepiece vocabularies, trained in memory and converted to the `tokenizers` library."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing

from ptu_seq.errors import UserError

ModelType = Literal["unigram", "bpe"]

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<s>", "</s>"
SPACE = "\u2581"  # sentencepiece's visible space


def train_model(
    sentences: Iterable[str], vocab_size: int, model_type: ModelType, **options: Any
) -> sentencepiece.SentencePieceProcessor:
    """Trains sentencepiece in memory, with the special tokens at the ids 0 to 3.

    Args:
        sentences: what to train on.
        vocab_size: number of pieces, special ones included; fewer if there is no more to learn.
        model_type: "unigram" or "bpe".
        options: sentencepiece's own, such as "normalization_rule_name".

    Returns:
        The trained vocabulary; the same sentences always give the same one.

    Raises:
        UserError: if `vocab_size` is too small for the characters of the text.
    """
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences),
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
            max_sentence_length=1_000_000,
            num_threads=1,
            minloglevel=2,
            **options,
        )
    except RuntimeError as error:
        # What follows the C++ file, line and condition, without advice about its flags.
        reason = str(error).rpartition("] ")[2].partition(" Increase")[0]
        raise UserError(f"No vocabulary of {vocab_size} pieces can be trained: {reason}") from error
    return sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


def convert(model: sentencepiece.SentencePieceProcessor, model_type: ModelType) -> Tokenizer:
    """The same vocabulary, normaliser and segmentation in the `tokenizers` library.

    Args:
        model: a vocabulary from :func:`train_model`.
        model_type: what it was trained as.

    Returns:
        A tokenizer that puts `</s>` after each text, and the token types 0 and 1 on pairs.
    """
    count = model.get_piece_size()
    pieces = [model.id_to_piece(i) for i in range(count)]
    has_bytes = any(model.is_byte(i) for i in range(count))
    if model_type == "unigram":
        scores = [model.get_score(i) for i in range(count)]
        tokenizer = Tokenizer(
            models.Unigram(
                list(zip(pieces, scores, strict=True)), model.unk_id(), byte_fallback=has_bytes
            )
        )
    else:
        tokenizer = Tokenizer(
            models.BPE(
                {piece: i for i, piece in enumerate(pieces)},
                _merges(pieces[4 + 256 * has_bytes :]),
                unk_token=UNK,
                fuse_unk=True,
                byte_fallback=has_bytes,
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
    tokenizer.decoder = _byte_decoder() if has_bytes else _piece_decoder()
    tokenizer.post_processor = TemplateProcessing(
        single=f"$A {EOS}",
        pair=f"$A:0 {EOS}:0 $B:1 {EOS}:1",
        special_tokens=[(EOS, model.eos_id())],
    )
    return tokenizer


def least_pieces(error: UserError) -> int | None:
    """The smallest possible vocabulary, from the error of one that was too small."""
    match = re.search(r"required_chars. \d+ vs (\d+)", str(error))
    return int(match.group(1)) if match else None


def _piece_decoder() -> decoders.Decoder:
    return decoders.Metaspace(replacement=SPACE, prepend_scheme="always")


def _byte_decoder() -> decoders.Decoder:
    """Bytes are put together into characters before the pieces are."""
    return decoders.Sequence(
        [
            decoders.Replace(SPACE, " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", left=1, right=0),
        ]
    )


def _merges(pieces: Sequence[str]) -> list[tuple[str, str]]:
    """Every way to build a piece from two others, the earliest (most frequent) piece first."""
    ids = {piece: i for i, piece in enumerate(pieces)}
    merges: list[tuple[str, str]] = []
    for piece in pieces:
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
