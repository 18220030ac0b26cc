"""Hugging Face models: importing this package registers them with transformers' Auto classes."""

from transformers import AutoConfig, AutoModelForSequenceClassification

from ptu_seq.models.classifier import RNNForSequenceClassification
from ptu_seq.models.config import PTUConfig, RNNConfig
from ptu_seq.models.ptu_classifier import PTUForSequenceClassification

AutoConfig.register(RNNConfig.model_type, RNNConfig)
AutoConfig.register(PTUConfig.model_type, PTUConfig)
AutoModelForSequenceClassification.register(RNNConfig, RNNForSequenceClassification)
AutoModelForSequenceClassification.register(PTUConfig, PTUForSequenceClassification)

__all__ = [
    "PTUConfig",
    "PTUForSequenceClassification",
    "RNNConfig",
    "RNNForSequenceClassification",
]
