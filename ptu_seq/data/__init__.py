"""Data sets, vocabularies and low-resource subsets."""

from ptu_seq.data.classification import ClassificationDataset, load_classification
from ptu_seq.data.subsets import low_resource_subset
from ptu_seq.data.tokenization import encode, train_tokenizer

__all__ = [
    "ClassificationDataset",
    "encode",
    "load_classification",
    "low_resource_subset",
    "train_tokenizer",
]
