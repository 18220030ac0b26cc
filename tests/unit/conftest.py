"""Saved classifiers and a translator of a few hundred parameters."""

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from ptu_seq.data import TokenizerPair, train_vocabulary
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig

WORDS = ["<pad>", "<unk>", "good", "bad", "film", "the", "a", "very"]


def save_tiny_classifier(folder: Path, *, is_pair: bool) -> Path:
    """A random transformer of transformers' own, so that these tests depend on no model of ours."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", model_max_length=8
    ).save_pretrained(folder)
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=32,
        initializer_range=2.0,
        id2label={0: "negative", 1: "positive"},
        label2id={"negative": 0, "positive": 1},
    )
    config.is_pair = is_pair
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier of single texts."""
    return save_tiny_classifier(tmp_path_factory.mktemp("single"), is_pair=False)


@pytest.fixture(scope="session")
def tiny_pair_classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier of premise and hypothesis."""
    return save_tiny_classifier(tmp_path_factory.mktemp("pair"), is_pair=True)


@pytest.fixture(scope="session")
def tiny_translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a translator with random weights, of letters into letters."""
    letters = "a b c d e f"
    tokenizer = train_vocabulary(
        [letters, letters[::-1], letters[6:], letters[4:-2]] * 9,
        17,
        model_type="bpe",
        byte_fallback=False,
        max_length=24,
    )
    folder = tmp_path_factory.mktemp("translator")
    TokenizerPair(tokenizer, tokenizer).save(folder)
    torch.manual_seed(3)
    config = Seq2SeqConfig(
        vocab_size=len(tokenizer), embedding_size=8, hidden_size=8, embedding_std=2.0
    )
    RNNForConditionalGeneration(config).save_pretrained(folder)
    return folder
