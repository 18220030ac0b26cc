"""Data sets, vocabularies and low-resource subsets."""

from ptu_seq.data.classification import ClassificationDataset, load_classification
from ptu_seq.data.pair_filters import filter_pairs, truncate_pairs
from ptu_seq.data.subsets import excerpt, low_resource_subset, some_rows, translation_subset
from ptu_seq.data.token_batches import TokenBatchSampler, pair_lengths
from ptu_seq.data.tokenization import encode, train_tokenizer
from ptu_seq.data.translation import (
    TranslationDataset,
    drop_shared_sentences,
    load_translation,
)
from ptu_seq.data.vocabulary import TokenizerPair, encode_pairs, token_mapping, train_vocabulary

__all__ = [
    "ClassificationDataset",
    "TokenBatchSampler",
    "TokenizerPair",
    "TranslationDataset",
    "drop_shared_sentences",
    "encode",
    "encode_pairs",
    "excerpt",
    "filter_pairs",
    "load_classification",
    "load_translation",
    "low_resource_subset",
    "pair_lengths",
    "some_rows",
    "token_mapping",
    "train_tokenizer",
    "train_vocabulary",
    "translation_subset",
    "truncate_pairs",
]
