"""Saved models of a few hundred weights, made once."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import torch

from ptu_seq.data import TokenizerPair, train_vocabulary
from ptu_seq.models import (
    PTUForConditionalGeneration,
    PTUForSequenceClassification,
    RNNConfig,
    RNNForConditionalGeneration,
    RNNForSequenceClassification,
    Seq2SeqConfig,
)
from tests.unit.conftest import save_tiny_classifier

LETTERS = "a b c d e f"

_folder = tempfile.TemporaryDirectory(prefix="ptu-seq-fuzz-")


@cache
def saved(name: str) -> Path:
    """The folder of a model: "bert", "pair", "ptu" (classifiers), "rnn_mt", "ptu_mt"."""
    folder = Path(_folder.name) / name
    if name in ("bert", "pair"):
        return save_tiny_classifier(folder, is_pair=name == "pair")
    torch.manual_seed(0)
    texts = [LETTERS, LETTERS[::-1], LETTERS[6:], LETTERS[4:-2]] * 9
    tokenizer = train_vocabulary(texts, 17, "bpe", byte_fallback=False, max_length=24)
    TokenizerPair(tokenizer, tokenizer).save(folder)
    size = len(tokenizer)
    if name == "ptu":
        labels = {0: "bad", 1: "good"}
        config = RNNConfig(vocab_size=size, embedding_size=8, hidden_size=8, id2label=labels)
        source = RNNForSequenceClassification(config)
        PTUForSequenceClassification.from_source(source).save_pretrained(folder)
        return folder
    parent = RNNForConditionalGeneration(
        Seq2SeqConfig(vocab_size=size, embedding_size=8, hidden_size=8, embedding_std=2.0)
    )
    translator = PTUForConditionalGeneration.from_source(parent) if name == "ptu_mt" else parent
    translator.save_pretrained(folder)
    return folder
