"""One job of a sentence-classification study: cut the data, build, train, test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast

import datasets
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    set_seed,
)

from ptu_seq.activation_table import Lender, WithActivations
from ptu_seq.batches import Examples, Row, pad
from ptu_seq.checkpoints import CheckpointStore
from ptu_seq.data import ClassificationDataset, encode, low_resource_subset, some_rows
from ptu_seq.distributed import is_main_process, world_size
from ptu_seq.evaluation import accuracy
from ptu_seq.gate_history import HISTORY_EXAMPLES, GateHistory
from ptu_seq.gate_statistics import GateStatistics
from ptu_seq.gate_summary import GateSummary
from ptu_seq.jobs import Job, Outcome
from ptu_seq.methods import Method, Task, get_method
from ptu_seq.methods.domains import DOMAIN_EXAMPLES, Domains
from ptu_seq.methods.readers import ClassifierReader, DomainReader
from ptu_seq.models import PTUEncoderForSequenceClassification, PTUForSequenceClassification
from ptu_seq.source_cache import SourceCache
from ptu_seq.training import (
    EVALUATION_BATCH,
    TrainingOptions,
    predict,
    quiet_transformers,
    train,
)

#: Classifiers with units.
WithGates = PTUForSequenceClassification | PTUEncoderForSequenceClassification

#: Gates are summed up over so many test examples at most.
GATE_EXAMPLES = 1000


@dataclass(frozen=True)
class ClassificationJobs:
    """Does the jobs of a study; picklable, so that other processes can.

    Args:
        source_dir: the trained source and its tokenizer.
        source_data: what it learned from; None of a pretrained encoder, which comes without.
        targets: the target data sets by name.
        training: how every method is trained.
        unit_options: fields of :class:`ptu_seq.models.PTUConfig`.
        max_length: tokens read of each text.
        models_dir: where trained PTU models are saved, a folder a run.
        logs_dir: where trackers write, a folder a run.
        find: knows the methods by their names.
        test_examples: how many of each test set are scored, drawn at random; 0: all.
        checkpoints: where trainings go on from after an interruption; None: they begin anew.
        source_cache: keeps what networks that never learn make of training and validation examples.
    """

    source_dir: Path
    source_data: ClassificationDataset | None
    targets: Mapping[str, ClassificationDataset]
    training: TrainingOptions
    unit_options: Mapping[str, Any]
    max_length: int
    models_dir: Path
    logs_dir: Path
    find: Callable[[str], Method[Any, Any]] = get_method
    test_examples: int = 0
    checkpoints: CheckpointStore | None = None
    source_cache: SourceCache = SourceCache(limit=2**30)

    @cached_property
    def source(self) -> PreTrainedModel:
        """The trained source."""
        quiet_transformers()
        return AutoModelForSequenceClassification.from_pretrained(
            self.source_dir, use_safetensors=True, trust_remote_code=False
        )

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Its tokenizer, which all targets share."""
        tokenizer = AutoTokenizer.from_pretrained(self.source_dir, trust_remote_code=False)
        assert isinstance(tokenizer, PreTrainedTokenizerFast)
        return tokenizer

    @cached_property
    def _encoded(self) -> dict[str, ClassificationDataset]:
        return {}

    def __call__(self, job: Job) -> Outcome:
        """Does one job. The same job gives the same numbers on the same machine."""
        dataset = self._encode(job.cell.target)
        subset = low_resource_subset(dataset, job.cell.size, job.seed)
        method = self.find(job.cell.method)
        task = Task(dict(enumerate(dataset.label_names)), self.unit_options)
        set_seed(job.seed)
        model = method.build(self.source, task, job.setting)
        lender = method.lender(model)
        validation = self._with_activations(lender, _examples(subset.validation))
        watched = isinstance(model, WithGates) and not job.is_tuning
        history = GateHistory(self._first(validation, HISTORY_EXAMPLES)) if watched else None
        trained = train(
            model,
            method.parameter_groups(model, job.setting),
            self.tokenizer,
            self._with_activations(lender, _examples(subset.train)),
            validation,
            self.training,
            folder=self.logs_dir / job.file_name,
            seed=job.seed,
            callbacks=[*method.callbacks(model, job.setting), *([history] if history else [])],
            objectives=method.objectives(
                model, self.source, task, job.setting, partial(self._domains, job)
            ),
            checkpoints=None if self.checkpoints is None else self.checkpoints.of_job(job),
        )
        parameters = {
            "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in model.parameters()),
        }
        outcome = Outcome(trained.validation_score, trained.steps, trained.seconds, parameters)
        if job.is_tuning or not is_main_process():
            return outcome
        return self._test(job, model, history, outcome)

    def budget(self, job: Job) -> int:
        """The optimisation steps that a job is given; early stopping may end it before."""
        subset = low_resource_subset(self.targets[job.cell.target], job.cell.size, job.seed)
        return self.training.steps(len(subset.train))

    def _test(
        self, job: Job, model: PreTrainedModel, history: GateHistory | None, outcome: Outcome
    ) -> Outcome:
        """Adds what the test set says of a trained model, and saves it if it has units."""
        test = _examples(self._encode(job.cell.target).test)
        labels = [int(row["labels"]) for row in test.rows]
        predictions = predict(model, self.tokenizer, test)
        outcome = replace(
            outcome,
            score=accuracy(labels, predictions),
            labels=labels,
            predictions=predictions,
        )
        if not isinstance(model, WithGates):
            return outcome
        folder = self.models_dir / job.file_name
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        gates = GateSummary.of(self._gates(model, test), history, self._spell)
        return replace(outcome, gates=gates, model_dir=str(folder))

    def _with_activations(self, lender: Lender | None, examples: Examples) -> Dataset[Row]:
        """Examples, and beside them what a frozen network makes of each, where that is kept."""
        if lender is None:
            return examples
        lender.network.to("cuda" if torch.cuda.is_available() else "cpu")  # where it trains
        table = self.source_cache.table(lender, examples.rows)
        return examples if table is None else WithActivations(examples, table)

    def _domains(self, job: Job, model: PreTrainedModel) -> DomainReader:
        """Reads both tasks with a model, for methods that learn from more than labels."""
        assert self.source_data is not None, "methods on an encoder have no companions"
        target = self._encode(job.cell.target)
        parts = self.training.gradient_accumulation_steps * world_size()
        domains = Domains(
            self._source_examples,
            _examples(some_rows(target.train, DOMAIN_EXAMPLES)),
            self.source_data.label_names,
            target.label_names,
            collate=partial(pad, pad_token_id=int(self.tokenizer.pad_token_id)),
            batch_size=self.training.batch_size // parts,
            seed=job.seed,
        )
        return ClassifierReader(model, domains)

    @cached_property
    def _source_examples(self) -> Examples:
        assert self.source_data is not None
        rows, columns = (
            some_rows(self.source_data.train, DOMAIN_EXAMPLES),
            self.source_data.text_columns,
        )
        return Examples(encode(rows, self.tokenizer, columns, self.max_length))

    def _encode(self, target: str) -> ClassificationDataset:
        """The data set with tokens in place of texts; kept, as all of a target's jobs use it."""
        if target not in self._encoded:
            dataset = self.targets[target]
            if self.test_examples:
                dataset = replace(dataset, test=some_rows(dataset.test, self.test_examples))
            splits = {
                name: encode(
                    getattr(dataset, name), self.tokenizer, dataset.text_columns, self.max_length
                ).rename_column("labels", "label")
                for name in ("train", "validation", "test")
            }
            self._encoded[target] = replace(dataset, **splits)
        return self._encoded[target]

    def _first(self, examples: Dataset[Row], count: int) -> dict[str, Tensor]:
        """The first examples as a batch without labels."""
        length = len(cast(Sized, examples))
        rows = [examples[i] for i in range(min(count, length))]
        batch = pad(rows, int(self.tokenizer.pad_token_id))
        del batch["labels"]
        return batch

    def _spell(self, site: str, ids: list[int]) -> list[str]:
        return list(self.tokenizer.convert_ids_to_tokens(ids))

    def _gates(self, model: WithGates, test: Examples) -> GateStatistics:
        statistics = GateStatistics()
        rows = test.rows[:GATE_EXAMPLES]
        for start in range(0, len(rows), EVALUATION_BATCH):
            batch = pad(rows[start : start + EVALUATION_BATCH], int(self.tokenizer.pad_token_id))
            del batch["labels"]
            inputs = {name: tensor.to(model.device) for name, tensor in batch.items()}
            model.token_gates(on_gates=statistics, **inputs)
        return statistics


def _examples(split: datasets.Dataset) -> Examples:
    return Examples(split.rename_column("label", "labels"))
