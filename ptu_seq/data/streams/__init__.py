"""Data sets larger than memory: rows read from disk or the hub as they are needed."""

from ptu_seq.data.streams.arguments import StreamingArguments
from ptu_seq.data.streams.batches import StreamedBatches
from ptu_seq.data.streams.classification import ClassificationStream, stream_classification
from ptu_seq.data.streams.training_rows import TrainingRows
from ptu_seq.data.streams.translation import TranslationStream, stream_translation

__all__ = [
    "ClassificationStream",
    "StreamedBatches",
    "StreamingArguments",
    "TrainingRows",
    "TranslationStream",
    "stream_classification",
    "stream_translation",
]
