"""One job of an image study: cut the data, build, train, test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoModelForImageClassification, PreTrainedModel, set_seed

from ptu_seq.checkpoints import CheckpointStore
from ptu_seq.data.image_subsets import image_subset
from ptu_seq.data.images import ImageDataset, ImageSplit
from ptu_seq.distributed import is_main_process, world_size
from ptu_seq.evaluation import accuracy
from ptu_seq.gate_history import HISTORY_EXAMPLES, GateHistory
from ptu_seq.gate_statistics import GateStatistics
from ptu_seq.gate_summary import GateSummary
from ptu_seq.images.batches import EVALUATION_BATCH, ImageExamples, predict, stack
from ptu_seq.images.networks import NetworkShape
from ptu_seq.jobs import Job, Outcome
from ptu_seq.methods import Task
from ptu_seq.methods.domains import DOMAIN_EXAMPLES, Domains
from ptu_seq.methods.readers import ClassifierReader, DomainReader
from ptu_seq.methods.vision import get_image_method
from ptu_seq.models import PTUForImageClassification
from ptu_seq.trainer_setup import quiet_transformers
from ptu_seq.training import TrainingOptions, fit

#: Gates are summed up over so many test images at most.
GATE_EXAMPLES = 1000


@dataclass(frozen=True)
class ImageJobs:
    """Does the jobs of a study; picklable, so that other processes can.

    Args:
        source_dir: the trained source.
        source_data: what it learned from.
        targets: the target data sets by name.
        training: how every method is trained.
        unit_options: what :meth:`ptu_seq.models.PTUForImageClassification.from_source` is told of
            all units.
        network: the networks' shape.
        models_dir: where trained PTU models are saved, a folder a run.
        logs_dir: where trackers write, a folder a run.
        checkpoints: where trainings go on from after an interruption; None: they begin anew.
    """

    source_dir: Path
    source_data: ImageDataset
    targets: Mapping[str, ImageDataset]
    training: TrainingOptions
    unit_options: Mapping[str, Any]
    network: NetworkShape
    models_dir: Path
    logs_dir: Path
    checkpoints: CheckpointStore | None = None

    @cached_property
    def source(self) -> PreTrainedModel:
        """The trained source."""
        quiet_transformers()
        return AutoModelForImageClassification.from_pretrained(
            self.source_dir, use_safetensors=True, trust_remote_code=False
        )

    def __call__(self, job: Job) -> Outcome:
        """Does one job. The same job gives the same numbers on the same machine."""
        dataset = self.targets[job.cell.target]
        subset = image_subset(dataset, job.cell.size, job.seed)
        method = get_image_method(job.cell.method)
        task = Task(dict(enumerate(dataset.label_names)), self.unit_options)
        set_seed(job.seed)
        model = method.build(self.source, task, job.setting)
        validation = self._examples(subset.validation)
        watched = isinstance(model, PTUForImageClassification) and not job.is_tuning
        pixels = validation.pixels[:HISTORY_EXAMPLES]
        history = GateHistory({"pixel_values": pixels}) if watched else None
        trained = fit(
            model,
            method.parameter_groups(model, job.setting),
            self._examples(subset.train),
            validation,
            self.training,
            collate=stack,
            sampling="random",
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
        subset = image_subset(self.targets[job.cell.target], job.cell.size, job.seed)
        return self.training.steps(len(subset.train))

    def _test(
        self, job: Job, model: PreTrainedModel, history: GateHistory | None, outcome: Outcome
    ) -> Outcome:
        """Adds what the test set says of a trained model, and saves it if it has units."""
        test = self._examples(self.targets[job.cell.target].test)
        labels = test.labels.tolist()
        predictions = predict(model, test)
        outcome = replace(
            outcome,
            score=accuracy(labels, predictions),
            labels=labels,
            predictions=predictions,
        )
        if not isinstance(model, PTUForImageClassification):
            return outcome
        folder = self.models_dir / job.file_name
        model.save_pretrained(folder)
        statistics = GateStatistics()
        for pixels in test.pixels[:GATE_EXAMPLES].split(EVALUATION_BATCH):
            model.gates(pixels.to(model.device), on_gates=statistics)
        gates = GateSummary.of(statistics, history)
        return replace(outcome, gates=gates, model_dir=str(folder))

    def _domains(self, job: Job, model: PreTrainedModel) -> DomainReader:
        """Reads both tasks with a model, for methods that learn from more than labels."""
        target = self.targets[job.cell.target]
        parts = self.training.gradient_accumulation_steps * world_size()
        domains = Domains(
            self._source_examples,
            self._examples(some_images(target.train)),
            self.source_data.label_names,
            target.label_names,
            collate=stack,
            batch_size=self.training.batch_size // parts,
            seed=job.seed,
        )
        return ClassifierReader(model, domains)

    @cached_property
    def _source_examples(self) -> ImageExamples:
        return self._examples(some_images(self.source_data.train))

    def _examples(self, split: ImageSplit) -> ImageExamples:
        return ImageExamples(split, self.network.image_size, self.network.num_channels)


def some_images(split: ImageSplit) -> ImageSplit:
    """At most `DOMAIN_EXAMPLES` images of a split, drawn at random, the same each time."""
    order = np.random.default_rng(0).permutation(len(split))
    return split.select(order[:DOMAIN_EXAMPLES].tolist())
