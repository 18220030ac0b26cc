"""Vocabularies for translation: cased sentencepiece with byte fall-back, and maps between two."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from datasets import Dataset
from tokenizers import Regex, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ptu_seq.data.sentencepiece_conversion import (
    BOS,
    EOS,
    PAD,
    UNK,
    ModelType,
    convert,
    least_pieces,
    train_model,
)
from ptu_seq.errors import UserError

logger = logging.getLogger("ptu_seq")

#: At most so many sentences train a vocabulary, drawn with a fixed seed: more change it little.
TRAINING_SENTENCES = 50_000

#: The first character of what reads like a special token or a byte but stands in a text.
_LITERAL = Regex(r"<(?=/?s>|pad>|unk>|0x[0-9A-F]{2}>)")

SOURCE_FOLDER, TARGET_FOLDER = "source_tokenizer", "target_tokenizer"

_SPECIAL = ("pad_token_id", "unk_token_id", "bos_token_id", "eos_token_id")


def train_vocabulary(
    texts: Iterable[str],
    vocab_size: int,
    model_type: ModelType = "unigram",
    byte_fallback: bool = True,
    *,
    max_length: int = 1024,
) -> PreTrainedTokenizerFast:
    """Trains a sentencepiece vocabulary for translation.

    Text keeps its case and is normalised by sentencepiece's `nmt_nfkc`. The ids 0 to 3 are
    `<pad>`, `<unk>`, `<s>` and `</s>`, with byte fall-back the next 256 are bytes: characters that
    the vocabulary lacks become their UTF-8 bytes and are read and written all the same. A sentence
    becomes "A </s>"; "</s>" and its like inside a text are plain text.

    For a vocabulary that both languages share, or parent and child, give the sentences of both.

    Args:
        texts: training sentences only, never validation or test text.
        vocab_size: number of pieces, special ones and bytes included. A text that does not yield so
            many gives fewer, with a warning that says how many.
        model_type: "unigram" or "bpe".
        byte_fallback: without it unknown characters are `<unk>`.
        max_length: the tokenizer's `model_max_length`: tokens that the model reads of a sentence.

    Returns:
        A tokenizer that saves with `save_pretrained`. The same texts always give the same one.

    Raises:
        UserError: if there is no text, or `vocab_size` is too small for its characters.

    Example:
        >>> tokenizer = train_vocabulary(["Ein Haus.", "Ein Baum."], 280, model_type="bpe")
        >>> tokenizer.decode(tokenizer("Ein Ü.").input_ids, skip_special_tokens=True)
        'Ein Ü.'
    """
    model = train_translation_model(texts, vocab_size, model_type, byte_fallback)
    backend = convert(model, model_type)
    # Unigram would find "</s>" in a text as that very piece, which sentencepiece never does.
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [backend.pre_tokenizer, pre_tokenizers.Split(_LITERAL, "isolated")]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        model_max_length=max_length,
        padding_side="right",
        truncation_side="right",
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
        model_input_names=["input_ids", "attention_mask"],
    )
    if len(tokenizer) < vocab_size:
        logger.warning(
            "The training text yields a vocabulary of %d pieces, not %d.",
            len(tokenizer),
            vocab_size,
        )
    return tokenizer


def train_translation_model(
    texts: Iterable[str],
    vocab_size: int,
    model_type: ModelType = "unigram",
    byte_fallback: bool = True,
) -> sentencepiece.SentencePieceProcessor:
    """Trains sentencepiece itself; see :func:`train_vocabulary` for the arguments."""
    sentences = _sentences(texts)
    try:
        return train_model(
            sentences,
            vocab_size,
            model_type,
            byte_fallback=byte_fallback,
            normalization_rule_name="nmt_nfkc",
            # Rare characters may become bytes, but must not become unknown.
            character_coverage=0.9999 if byte_fallback else 1.0,
        )
    except UserError as error:
        least = least_pieces(error)
        if least is None:
            raise
        bytes_too = ", 256 bytes" if byte_fallback else ""
        raise UserError(
            f"A vocabulary of {vocab_size} pieces is too small: the 4 special tokens{bytes_too} and"
            f" the characters of the training text alone are {least}; give a larger number."
        ) from error


def token_mapping(child: PreTrainedTokenizerBase, parent: PreTrainedTokenizerBase) -> Tensor:
    """Where the tokens of a child's vocabulary are in its parent's.

    Special tokens go to the special tokens of the same role, whatever they are called; all others
    to the token of the same text.

    Args:
        child: the child's tokenizer.
        parent: the parent's.

    Returns:
        The parent's id of each of the child's tokens, -1 where it has none.

    Shape:
        (child vocabulary,), integer.

    Example:
        >>> child, parent = (
        ...     train_vocabulary([text], 60, byte_fallback=False) for text in ("a b c", "b c d")
        ... )
        >>> mapping = token_mapping(child, parent)
        >>> mapping[:4].tolist()
        [0, 1, 2, 3]
        >>> mapping[child.convert_tokens_to_ids("a")].item()
        -1
    """
    mapping = torch.full((len(child),), -1, dtype=torch.long)
    ids = parent.get_vocab()
    for piece, index in child.get_vocab().items():
        mapping[index] = ids.get(piece, -1)
    for role in _SPECIAL:
        index, parent_index = getattr(child, role), getattr(parent, role)
        if index is not None:
            mapping[index] = -1 if parent_index is None else parent_index
    return mapping


def _sentences(texts: Iterable[str]) -> list[str]:
    """The texts that are not empty, or a sample of them (sentencepiece's own is not seeded)."""
    sentences = [text for text in texts if text.strip()]
    if not sentences:
        raise UserError("There is no text to train a vocabulary on.")
    if len(sentences) <= TRAINING_SENTENCES:
        return sentences
    drawn = np.random.default_rng(0).choice(len(sentences), TRAINING_SENTENCES, replace=False)
    return [sentences[i] for i in sorted(drawn)]


@dataclass(frozen=True)
class TokenizerPair:
    """The tokenizers of the source and the target language.

    With a joint vocabulary both are one and the same object.

    Attributes:
        source: splits what is to be translated.
        target: splits and joins translations.
    """

    source: PreTrainedTokenizerFast
    target: PreTrainedTokenizerFast

    @property
    def joint(self) -> bool:
        """Whether both languages share one vocabulary."""
        return self.source is self.target

    @property
    def max_length(self) -> int:
        """Tokens that the model reads of a sentence, `</s>` included."""
        return int(self.source.model_max_length)

    def save(self, folder: str | Path) -> None:
        """Saves into a model's folder: a joint tokenizer there, two in folders of their own.

        Args:
            folder: made if need be. What another pair left there is replaced.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name in (SOURCE_FOLDER, TARGET_FOLDER):
            shutil.rmtree(folder / name, ignore_errors=True)
        if self.joint:
            self.source.save_pretrained(folder)
        else:
            self.source.save_pretrained(folder / SOURCE_FOLDER)
            self.target.save_pretrained(folder / TARGET_FOLDER)

    @classmethod
    def load(cls, folder: str | Path) -> TokenizerPair:
        """Loads what :meth:`save` saved.

        Raises:
            UserError: if the folder, or a tokenizer in it, is missing or cannot be read.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise UserError(f"There is no model folder {folder}.")
        parts = [folder / SOURCE_FOLDER, folder / TARGET_FOLDER]
        if any(part.is_dir() for part in parts):
            source, target = (_load(part) for part in parts)
            return cls(source, target)
        joint = _load(folder)
        return cls(joint, joint)

    def encode_source(self, sentences: Sequence[str]) -> list[list[int]]:
        """The token ids of each sentence, `</s>` last; nothing is cut off."""
        return _encode(self.source, sentences)

    def encode_target(self, sentences: Sequence[str]) -> list[list[int]]:
        """The token ids of each translation, `</s>` last; nothing is cut off."""
        return _encode(self.target, sentences)

    def decode_target(self, ids: Sequence[Sequence[int]] | Tensor) -> list[str]:
        """The text of each row of token ids, without special tokens and negative ids (-100).

        What follows the first `</s>` is left out.
        """
        rows = ids.tolist() if isinstance(ids, Tensor) else ids
        return [self._decode([index for index in row if index >= 0]) for row in rows]

    def _decode(self, ids: list[int]) -> str:
        end = self.target.eos_token_id
        ids = ids[: ids.index(end)] if end in ids else ids
        return str(self.target.decode(ids, skip_special_tokens=True))


def encode_pairs(split: Dataset, tokenizers: TokenizerPair) -> list[dict[str, list[int]]]:
    """Tokenises a split for a translation model.

    Args:
        split: a table with the columns "source" and "target".
        tokenizers: its tokenizers.

    Returns:
        An example for each row: "input_ids" and "labels", both with `</s>` last; nothing is cut
        off (see :mod:`ptu_seq.data.pair_filters`).
    """
    sources = tokenizers.encode_source(split["source"][:])
    targets = tokenizers.encode_target(split["target"][:])
    return [
        {"input_ids": source, "labels": target}
        for source, target in zip(sources, targets, strict=True)
    ]


def _encode(tokenizer: PreTrainedTokenizerFast, sentences: Sequence[str]) -> list[list[int]]:
    if not sentences:
        return []
    # The backend itself, since the wrapper warns of texts that are longer than a model's limit.
    encodings = tokenizer.backend_tokenizer.encode_batch_fast(list(sentences))
    return [encoding.ids for encoding in encodings]


def _load(folder: Path) -> PreTrainedTokenizerFast:
    if not (folder / "tokenizer.json").is_file():
        raise UserError(f"{folder} has no tokenizer: the file tokenizer.json is missing.")
    try:
        return PreTrainedTokenizerFast.from_pretrained(folder)
    except Exception as error:  # tokenizers raises bare Exception
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise UserError(f"The tokenizer in {folder} cannot be read: {reason}") from error
