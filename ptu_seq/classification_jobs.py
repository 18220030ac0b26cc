"""One job of a sentence-classification study: cut the data, build, train, test."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import (
    AutoTokenizer,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    set_seed,
)
from transformers.utils import logging

from ptu_seq.data import ClassificationDataset, encode, low_resource_subset
from ptu_seq.evaluation import accuracy
from ptu_seq.gate_statistics import GateStatistics
from ptu_seq.methods import Task, get_method
from ptu_seq.models import PTUForSequenceClassification, RNNForSequenceClassification
from ptu_seq.study import TUNING_SEED, Job, Outcome
from ptu_seq.training import TrainingOptions, predict, train

#: Gates are summed up over so many test examples at most.
GATE_EXAMPLES = 1000


@dataclass(frozen=True)
class ClassificationJobs:
    """Does the jobs of a study; picklable, so that other processes can.

    Args:
        source_dir: the trained source and its tokenizer.
        targets: the target data sets by name.
        training: how every method is trained.
        unit_options: fields of :class:`ptu_seq.models.PTUConfig`.
        max_length: tokens read of each text.
        models_dir: where trained PTU models are saved, a folder a run.
    """

    source_dir: Path
    targets: dict[str, ClassificationDataset]
    training: TrainingOptions
    unit_options: dict[str, Any]
    max_length: int
    models_dir: Path

    @cached_property
    def source(self) -> RNNForSequenceClassification:
        """The trained source."""
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        return RNNForSequenceClassification.from_pretrained(self.source_dir)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Its tokenizer, which all targets share."""
        return AutoTokenizer.from_pretrained(self.source_dir)

    @cached_property
    def _tests(self) -> dict[str, Dataset]:
        return {}

    def __call__(self, job: Job) -> Outcome:
        """Does one job. The same job gives the same numbers on the same machine."""
        dataset = self.targets[job.cell.target]
        subset = low_resource_subset(dataset, job.cell.size, job.seed)
        method = get_method(job.cell.method)
        task = Task(dict(enumerate(dataset.label_names)), self.unit_options)
        set_seed(job.seed)
        model = method.build(self.source, task, job.setting)
        trained = train(
            model,
            method.parameter_groups(model, job.setting),
            self.tokenizer,
            self._encode(subset, "train"),
            self._encode(subset, "validation"),
            self.training,
            seed=job.seed,
        )
        parameters = {
            "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in model.parameters()),
        }
        if job.seed == TUNING_SEED:
            return Outcome(trained.validation_score, trained.steps, trained.seconds, parameters)
        test = self._test(job.cell.target)
        predictions = predict(model, self.tokenizer, test)
        labels = list(test["labels"])
        return Outcome(
            trained.validation_score,
            trained.steps,
            trained.seconds,
            parameters,
            score=accuracy(labels, predictions),
            labels=labels,
            predictions=predictions,
            gates=self._gates(model, test),
            model_dir=self._save(model, job),
        )

    def _encode(self, dataset: ClassificationDataset, split: str) -> Dataset:
        examples = getattr(dataset, split)
        return encode(examples, self.tokenizer, dataset.text_columns, self.max_length)

    def _test(self, target: str) -> Dataset:
        if target not in self._tests:
            self._tests[target] = self._encode(self.targets[target], "test")
        return self._tests[target]

    def _gates(self, model: PreTrainedModel, test: Dataset) -> list[dict[str, Any]] | None:
        if not isinstance(model, PTUForSequenceClassification):
            return None
        statistics = GateStatistics()
        collate = DataCollatorWithPadding(self.tokenizer)
        examples = test.select(range(min(len(test), GATE_EXAMPLES))).remove_columns("labels")
        for start in range(0, len(examples), 256):
            batch = collate(examples[start : start + 256]).to(model.device)
            model.gates(on_gates=statistics, **batch)
        return statistics.as_records()

    def _save(self, model: PreTrainedModel, job: Job) -> str | None:
        if not isinstance(model, PTUForSequenceClassification):
            return None
        cell = job.cell
        folder = self.models_dir / f"{cell.target}-{cell.size}-{job.seed}".replace("/", "_")
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        return str(folder)


def train_source(
    dataset: ClassificationDataset,
    model: RNNForSequenceClassification,
    tokenizer: PreTrainedTokenizerFast,
    training: TrainingOptions,
    *,
    learning_rate: float,
    max_length: int,
    seed: int,
    progress: bool,
) -> dict[str, Any]:
    """Trains the source network in place.

    Returns:
        What came of it: "validation_score" and "test_score" (accuracy, 0 to 1), "steps",
        "seconds".
    """

    def encoded(examples: Dataset) -> Dataset:
        return encode(examples, tokenizer, dataset.text_columns, max_length)

    trained = train(
        model,
        [{"params": list(model.parameters()), "lr": learning_rate}],
        tokenizer,
        encoded(dataset.train),
        encoded(dataset.validation.select(range(min(len(dataset.validation), 2000)))),
        training,
        seed=seed,
        progress=progress,
    )
    test = encoded(dataset.test)
    with torch.inference_mode():
        score = accuracy(list(test["labels"]), predict(model, tokenizer, test))
    return {
        "validation_score": trained.validation_score,
        "test_score": score,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 2),
    }
