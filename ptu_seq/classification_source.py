"""The source network of sentence classification: trained once, kept, and used by every run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PreTrainedTokenizerFast, set_seed

from ptu_seq.batches import Examples, stream_batches
from ptu_seq.checkpoints import Checkpoints
from ptu_seq.data import ClassificationDataset, encode, train_tokenizer
from ptu_seq.data.rows import Row
from ptu_seq.data.streams import StreamedBatches, TrainingRows
from ptu_seq.distributed import together, world_size
from ptu_seq.errors import UserError
from ptu_seq.evaluation import accuracy
from ptu_seq.kept_source import check_weights, weights_note
from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from ptu_seq.records import content_digest, read_json, write_json
from ptu_seq.study import Study
from ptu_seq.trainer_setup import decisive
from ptu_seq.training import TrainingOptions, predict, quiet_transformers, train
from ptu_seq.transfer_data import TransferData

#: Validation examples that decide when the source's training ends, at most.
VALIDATION_EXAMPLES = 2000


@dataclasses.dataclass(frozen=True)
class SourceRecipe:
    """What makes a source network.

    Args:
        network: fields of :class:`ptu_seq.models.RNNConfig`, "vocab_size" among them.
        max_length: tokens read of each text.
        learning_rate: Adam's, at its peak.
        training: how it is trained.
        seed: of its weights and batches.
        shuffle_buffer: rows that are shuffled together; None where all are in memory.
    """

    network: Mapping[str, Any]
    max_length: int
    learning_rate: float
    training: TrainingOptions
    seed: int
    shuffle_buffer: int | None = None


def prepare_source(data: TransferData, recipe: SourceRecipe, study: Study, logs: Path) -> Path:
    """Trains the source network and its vocabulary, or finds them already trained.

    Args:
        data: source and targets.
        recipe: what makes the network.
        study: in whose folder it is kept, as `source`.
        logs: a folder for what trackers write.

    Returns:
        The folder of network and tokenizer.

    Raises:
        UserError: if the study has begun with a source that learned rows of a test set given now.
    """
    assert data.source is not None
    dataset, folder = data.source, study.output_dir / "source"
    note = read_json(folder / "source.json")
    wanted = _digest(data.digests[study.source], recipe)
    if note.get("digest") == wanted:
        learned = set(data.left_out) - set(note["left_out"])
        if not learned:
            check_weights(folder, note)
            print(f"Source: {folder} is already trained.")
            return folder
        if study.is_begun:
            raise UserError(
                f"the source network in {folder} has learned {len(learned)} rows of the test sets "
                "given now: choose another --output_dir."
            )
    (folder / "source.json").unlink(missing_ok=True)  # until the new one is complete
    quiet_transformers()
    print(f"Source: training on {dataset.name} ({data.source_rows} examples).")
    model, tokenizer = new_source(dataset, recipe)
    checkpoints = study.checkpoints.of("source", wanted)
    scores = together(
        train_source, dataset, model, tokenizer, recipe, logs, checkpoints, data.stream
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(
        folder / "source.json",
        {
            "digest": wanted,
            "dataset": dataset.name,
            "left_out": list(data.left_out),
            **weights_note(folder),
            **scores,
        },
    )
    study.checkpoints.remove("source")
    print(f"Source: test accuracy {100 * scores['test_score']:.1f} on {dataset.name}.")
    return folder


def new_source(
    dataset: ClassificationDataset, recipe: SourceRecipe
) -> tuple[RNNForSequenceClassification, PreTrainedTokenizerFast]:
    """The network before training, and the vocabulary of its training text."""
    texts = [text for column in dataset.text_columns for text in dataset.train[column]]
    is_pair = len(dataset.text_columns) == 2
    tokenizer = train_tokenizer(
        texts,
        recipe.network["vocab_size"],
        max_length=recipe.max_length * len(dataset.text_columns),
    )
    set_seed(recipe.seed)
    config = RNNConfig(
        **{**recipe.network, "vocab_size": len(tokenizer)},
        is_pair=is_pair,
        id2label=dict(enumerate(dataset.label_names)),
    )
    return RNNForSequenceClassification(config), tokenizer


def train_source(
    dataset: ClassificationDataset,
    model: RNNForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    recipe: SourceRecipe,
    logs: Path,
    checkpoints: Checkpoints | None = None,
    stream: TrainingRows[Row] | None = None,
) -> dict[str, Any]:
    """Trains the source network in place.

    Args:
        dataset: the source; its training rows are learned from where there is no stream of them.
        model: the network.
        tokenizer: its tokenizer.
        recipe: how it is trained.
        logs: a folder for what trackers write.
        checkpoints: where to write them, and to go on from.
        stream: the training rows, of which the data set then has a sample.

    Returns:
        What came of it: "validation_score" and "test_score" (accuracy, 0 to 1), "steps",
        "seconds".
    """

    def encoded(split: Dataset) -> Examples:
        return Examples(encode(split, tokenizer, dataset.text_columns, recipe.max_length))

    def streamed(rows: TrainingRows[Row]) -> StreamedBatches[Row]:
        assert recipe.shuffle_buffer is not None
        parts = recipe.training.gradient_accumulation_steps * world_size()
        return stream_batches(
            rows,
            dataset.text_columns,
            tokenizer,
            recipe.max_length,
            max(1, recipe.training.batch_size // parts),
            buffer=recipe.shuffle_buffer,
            seed=recipe.seed,
        )

    validation = dataset.validation.select(range(min(len(dataset.validation), VALIDATION_EXAMPLES)))
    trained = train(
        model,
        [{"params": list(model.parameters()), "lr": recipe.learning_rate}],
        tokenizer,
        encoded(dataset.train) if stream is None else streamed(stream),
        encoded(validation),
        recipe.training,
        folder=logs / "source",
        seed=recipe.seed,
        progress=True,
        checkpoints=checkpoints,
    )
    predictions = predict(model, tokenizer, encoded(dataset.test))
    return {
        "validation_score": trained.validation_score,
        "test_score": accuracy(dataset.test["label"][:], predictions),
        "steps": trained.steps,
        "seconds": round(trained.seconds, 2),
    }


def _digest(data_digest: str, recipe: SourceRecipe) -> str:
    settings = {**dataclasses.asdict(recipe), "training": decisive(recipe.training)}
    if recipe.shuffle_buffer is None:
        del settings["shuffle_buffer"]
    return content_digest([data_digest, settings])
