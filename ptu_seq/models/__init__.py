"""Hugging Face models: importing this package registers them with transformers' Auto classes."""

from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
)

from ptu_seq.models.classifier import RNNForSequenceClassification
from ptu_seq.models.collapsed_classifier import CollapsedPTUForSequenceClassification
from ptu_seq.models.collapsed_config import CollapsedConfig
from ptu_seq.models.collapsed_seq2seq import (
    CollapsedPTUForConditionalGeneration,
    CollapsedSeq2SeqConfig,
)
from ptu_seq.models.config import PTUConfig, RNNConfig
from ptu_seq.models.copy_parent import copy_parent
from ptu_seq.models.encoder_classifier import EncoderForSequenceClassification
from ptu_seq.models.encoder_config import EncoderConfig, PTUEncoderConfig
from ptu_seq.models.ptu_classifier import PTUForSequenceClassification
from ptu_seq.models.ptu_encoder import PTUEncoderForSequenceClassification
from ptu_seq.models.ptu_seq2seq import PTUForConditionalGeneration
from ptu_seq.models.ptu_vision import PTUForImageClassification
from ptu_seq.models.seq2seq import RNNForConditionalGeneration
from ptu_seq.models.seq2seq_config import PTUSeq2SeqConfig, Seq2SeqConfig
from ptu_seq.models.stitched_seq2seq import (
    CrossStitchForConditionalGeneration,
    CrossStitchSeq2SeqConfig,
    SideBlendForConditionalGeneration,
    SideBlendSeq2SeqConfig,
)
from ptu_seq.models.vision import CNNForImageClassification
from ptu_seq.models.vision_config import CNNConfig, PTUVisionConfig

AutoConfig.register(RNNConfig.model_type, RNNConfig)
AutoConfig.register(PTUConfig.model_type, PTUConfig)
AutoModelForSequenceClassification.register(RNNConfig, RNNForSequenceClassification)
AutoModelForSequenceClassification.register(PTUConfig, PTUForSequenceClassification)

AutoConfig.register(CollapsedConfig.model_type, CollapsedConfig)
AutoModelForSequenceClassification.register(CollapsedConfig, CollapsedPTUForSequenceClassification)

AutoConfig.register(EncoderConfig.model_type, EncoderConfig)
AutoConfig.register(PTUEncoderConfig.model_type, PTUEncoderConfig)
AutoModelForSequenceClassification.register(EncoderConfig, EncoderForSequenceClassification)
AutoModelForSequenceClassification.register(PTUEncoderConfig, PTUEncoderForSequenceClassification)

AutoConfig.register(Seq2SeqConfig.model_type, Seq2SeqConfig)
AutoConfig.register(PTUSeq2SeqConfig.model_type, PTUSeq2SeqConfig)
AutoModelForSeq2SeqLM.register(Seq2SeqConfig, RNNForConditionalGeneration)
AutoModelForSeq2SeqLM.register(PTUSeq2SeqConfig, PTUForConditionalGeneration)

AutoConfig.register(CollapsedSeq2SeqConfig.model_type, CollapsedSeq2SeqConfig)
AutoModelForSeq2SeqLM.register(CollapsedSeq2SeqConfig, CollapsedPTUForConditionalGeneration)

AutoConfig.register(CrossStitchSeq2SeqConfig.model_type, CrossStitchSeq2SeqConfig)
AutoConfig.register(SideBlendSeq2SeqConfig.model_type, SideBlendSeq2SeqConfig)
AutoModelForSeq2SeqLM.register(CrossStitchSeq2SeqConfig, CrossStitchForConditionalGeneration)
AutoModelForSeq2SeqLM.register(SideBlendSeq2SeqConfig, SideBlendForConditionalGeneration)

AutoConfig.register(CNNConfig.model_type, CNNConfig)
AutoConfig.register(PTUVisionConfig.model_type, PTUVisionConfig)
AutoModelForImageClassification.register(CNNConfig, CNNForImageClassification)
AutoModelForImageClassification.register(PTUVisionConfig, PTUForImageClassification)

__all__ = [
    "CNNConfig",
    "CNNForImageClassification",
    "CollapsedConfig",
    "CollapsedPTUForConditionalGeneration",
    "CollapsedPTUForSequenceClassification",
    "CollapsedSeq2SeqConfig",
    "EncoderConfig",
    "EncoderForSequenceClassification",
    "PTUConfig",
    "PTUEncoderConfig",
    "PTUEncoderForSequenceClassification",
    "PTUForConditionalGeneration",
    "PTUForImageClassification",
    "PTUForSequenceClassification",
    "PTUSeq2SeqConfig",
    "PTUVisionConfig",
    "RNNConfig",
    "RNNForConditionalGeneration",
    "RNNForSequenceClassification",
    "Seq2SeqConfig",
    "copy_parent",
]
