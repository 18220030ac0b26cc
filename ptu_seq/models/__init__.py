"""Hugging Face models: importing this package registers them with transformers' Auto classes."""

from transformers import (
    AutoConfig,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from ptu_seq.models.classifier import RNNForSequenceClassification
from ptu_seq.models.config import PTUConfig, RNNConfig
from ptu_seq.models.copy_parent import copy_parent
from ptu_seq.models.ptu_classifier import PTUForSequenceClassification
from ptu_seq.models.ptu_seq2seq import PTUForConditionalGeneration
from ptu_seq.models.seq2seq import RNNForConditionalGeneration
from ptu_seq.models.seq2seq_config import PTUSeq2SeqConfig, Seq2SeqConfig

AutoConfig.register(RNNConfig.model_type, RNNConfig)
AutoConfig.register(PTUConfig.model_type, PTUConfig)
AutoModelForSequenceClassification.register(RNNConfig, RNNForSequenceClassification)
AutoModelForSequenceClassification.register(PTUConfig, PTUForSequenceClassification)

AutoConfig.register(Seq2SeqConfig.model_type, Seq2SeqConfig)
AutoConfig.register(PTUSeq2SeqConfig.model_type, PTUSeq2SeqConfig)
AutoModelForSeq2SeqLM.register(Seq2SeqConfig, RNNForConditionalGeneration)
AutoModelForSeq2SeqLM.register(PTUSeq2SeqConfig, PTUForConditionalGeneration)

__all__ = [
    "PTUConfig",
    "PTUForConditionalGeneration",
    "PTUForSequenceClassification",
    "PTUSeq2SeqConfig",
    "RNNConfig",
    "RNNForConditionalGeneration",
    "RNNForSequenceClassification",
    "Seq2SeqConfig",
    "copy_parent",
]
