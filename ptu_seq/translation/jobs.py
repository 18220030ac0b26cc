"""One job of a translation study: cut the pairs, make the vocabulary, build, train, translate."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, set_seed

from ptu_seq.checkpoints import CheckpointStore
from ptu_seq.data import (
    TokenizerPair,
    TranslationDataset,
    encode_pairs,
    filter_pairs,
    pair_lengths,
    some_rows,
    translation_subset,
    truncate_pairs,
)
from ptu_seq.distributed import is_main_process, world_size
from ptu_seq.errors import UserError
from ptu_seq.gate_history import HISTORY_EXAMPLES, GateHistory
from ptu_seq.gate_statistics import GateStatistics
from ptu_seq.gate_summary import GateSummary
from ptu_seq.jobs import Job, Outcome
from ptu_seq.methods.domains import DOMAIN_EXAMPLES
from ptu_seq.methods.translation import TranslationTask, get_translation_method
from ptu_seq.methods.translation.domains import SentenceDomains, SentenceReader
from ptu_seq.models import PTUForConditionalGeneration, RNNForConditionalGeneration
from ptu_seq.translation.batches import Example, collate
from ptu_seq.translation.evaluation import score_translations
from ptu_seq.translation.inference import translate
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.training import quiet_transformers, step_budget, train_translator
from ptu_seq.translation.vocabularies import (
    ChildVocabulary,
    VocabularyOptions,
    child_vocabulary,
    scratch_vocabulary,
)

#: Gates are summed up over so many test pairs at most, in batches of so many.
GATE_EXAMPLES, GATE_BATCH = 300, 50

#: This method has no parent, so its vocabulary is its own.
SCRATCH = "scratch"


@dataclass(frozen=True)
class TranslationJobs:
    """Does the jobs of a study; picklable, so that other processes can.

    Args:
        parent_dir: the trained parent and its tokenizers.
        parent_data: what it learned from, or `DOMAIN_EXAMPLES` of it.
        children: the children's pairs by name.
        training: how every method is trained.
        vocabulary: kind and sizes of the children's vocabularies.
        unit_options: fields of :class:`ptu_seq.models.PTUSeq2SeqConfig`.
        max_length: most tokens of a training sentence, and those read of any.
        max_length_ratio: most times that one side of a training pair may be as long as the other.
        truncate: whether longer training sentences are cut, not left out.
        beam_size: of beam search on the test set.
        models_dir: where trained PTU models are saved, a folder a run.
        logs_dir: where trackers write, a folder a run.
        checkpoints: where trainings go on from after an interruption; None: they begin anew.
    """

    parent_dir: Path
    parent_data: TranslationDataset
    children: Mapping[str, TranslationDataset]
    training: TranslationTrainingOptions
    vocabulary: VocabularyOptions
    unit_options: Mapping[str, Any]
    max_length: int
    max_length_ratio: float
    truncate: bool
    beam_size: int
    models_dir: Path
    logs_dir: Path
    checkpoints: CheckpointStore | None = None

    @cached_property
    def parent(self) -> RNNForConditionalGeneration:
        """The trained parent."""
        quiet_transformers()
        return RNNForConditionalGeneration.from_pretrained(self.parent_dir)

    @cached_property
    def parent_tokenizers(self) -> TokenizerPair:
        """Its tokenizers."""
        return TokenizerPair.load(self.parent_dir)

    def __call__(self, job: Job) -> Outcome:
        """Does one job. The same job gives the same numbers on the same machine."""
        subset = translation_subset(self.children[job.cell.target], job.cell.size, job.seed)
        with _quiet():  # what is dropped is told in the outcome, not by every job
            vocabulary = self._vocabulary(job, subset)
            training = self._learnable(subset.train, vocabulary.tokenizers)
            # Read as the test set is: to the limit.
            validation = truncate_pairs(
                encode_pairs(subset.validation, vocabulary.tokenizers), self.max_length
            )
        if not training:
            raise UserError(
                f"{job.cell.target}, size {job.cell.size}: no training pair has at most "
                f"--max_length {self.max_length} tokens and sides of about one length; give a "
                "larger --max_length, or --truncate."
            )
        method = get_translation_method(job.cell.method)
        set_seed(job.seed)
        task = self._task(vocabulary)
        model = method.build(self.parent, task, job.setting)
        watched = isinstance(model, PTUForConditionalGeneration) and not job.is_tuning
        padding = int(model.config.pad_token_id)
        history = GateHistory(collate(validation[:HISTORY_EXAMPLES], padding)) if watched else None
        trained = train_translator(
            model,
            method.parameter_groups(model, job.setting),
            vocabulary.tokenizers,
            training,
            validation,
            self.training,
            folder=self.logs_dir / job.file_name,
            seed=job.seed,
            references=subset.validation["target"][:],
            callbacks=[*method.callbacks(model, job.setting), *([history] if history else [])],
            objectives=method.objectives(
                model, self.parent, task, job.setting, partial(self._read_domains, job, vocabulary)
            ),
            checkpoints=None if self.checkpoints is None else self.checkpoints.of_job(job),
        )
        parameters = {
            "trained": sum(p.numel() for p in model.parameters() if p.requires_grad),
            "total": sum(p.numel() for p in model.parameters()),
        }
        outcome = Outcome(
            trained.validation_score,
            trained.steps,
            trained.seconds,
            parameters,
            metric=self.training.metric,
            details={"left_out": len(subset.train) - len(training)},
        )
        if job.is_tuning or not is_main_process():
            return outcome
        return self._test(job, model, vocabulary.tokenizers, history, outcome)

    def budget(self, job: Job) -> int:
        """The optimisation steps that a job is given; early stopping may end it before."""
        subset = translation_subset(self.children[job.cell.target], job.cell.size, job.seed)
        with _quiet():
            training = self._learnable(subset.train, self._vocabulary(job, subset).tokenizers)
        return step_budget(training, self.training, job.seed)

    def _vocabulary(self, job: Job, subset: TranslationDataset) -> ChildVocabulary:
        if job.cell.method == SCRATCH:
            return ChildVocabulary(scratch_vocabulary(subset, self.vocabulary, self.max_length))
        languages = self.parent_data.source_lang, self.parent_data.target_lang
        return child_vocabulary(
            self.parent_tokenizers, languages, subset, self.vocabulary, job.seed
        )

    def _task(self, vocabulary: ChildVocabulary) -> TranslationTask:
        tokenizers = vocabulary.tokenizers
        return TranslationTask(
            vocab_size=len(tokenizers.source),
            decoder_vocab_size=len(tokenizers.target),
            encoder_mapping=vocabulary.encoder_mapping,
            decoder_mapping=vocabulary.decoder_mapping,
            network={"tie_embeddings": "all" if tokenizers.joint else "decoder"},
            unit_options=self.unit_options,
        )

    def _learnable(self, split: Dataset, tokenizers: TokenizerPair) -> list[Example]:
        """The pairs of a split that are short enough to learn from."""
        return filter_pairs(
            encode_pairs(split, tokenizers),
            self.max_length,
            self.max_length_ratio,
            truncate=self.truncate,
        )

    def _read_domains(
        self, job: Job, vocabulary: ChildVocabulary, model: PreTrainedModel
    ) -> SentenceReader:
        """Reads sentences of both languages with a model, for methods that learn from more."""
        child = self.children[job.cell.target]
        reads_both = vocabulary.encoder_mapping is None
        writes_both = (
            vocabulary.decoder_mapping is None and child.target_lang == self.parent_data.target_lang
        )
        with _quiet():
            examples = self._learnable(
                some_rows(child.train, DOMAIN_EXAMPLES), vocabulary.tokenizers
            )
        parts = self.training.gradient_accumulation_steps * world_size()
        tokens = self.training.batch_tokens // parts
        both = (self._parent_examples, examples)
        domains = SentenceDomains(
            *both,
            with_labels=reads_both and writes_both,
            collate=partial(collate, pad_token_id=int(model.config.pad_token_id)),
            batch_size=min(tokens * len(x) // max(1, sum(pair_lengths(x))) for x in both),
            seed=job.seed,
        )
        return SentenceReader(model, None if reads_both else self.parent, domains)

    @cached_property
    def _parent_examples(self) -> list[Example]:
        with _quiet():
            return self._learnable(self.parent_data.train, self.parent_tokenizers)

    def _test(
        self,
        job: Job,
        model: PreTrainedModel,
        tokenizers: TokenizerPair,
        history: GateHistory | None,
        outcome: Outcome,
    ) -> Outcome:
        """Adds what the test set says of a trained model, and saves it if it has units."""
        test = self.children[job.cell.target].test
        references = test["target"][:]
        translated = list(translate(model, tokenizers, test["source"][:], beam_size=self.beam_size))
        translations = [translation.text for translation in translated]
        scores = score_translations(translations, references)
        values = {"bleu": scores.bleu, "chrf": scores.chrf, "ter": scores.ter}
        outcome = replace(
            outcome,
            score=values[self.training.metric],
            labels=references,
            predictions=translations,
            details={
                **outcome.details,
                "cut": sum(translation.is_cut for translation in translated),
                "scores": values,
                "signatures": scores.signatures,
            },
        )
        if not isinstance(model, PTUForConditionalGeneration):
            return outcome
        folder = self.models_dir / job.file_name
        model.save_pretrained(folder)
        tokenizers.save(folder)
        test = test.select(range(min(len(test), GATE_EXAMPLES)))
        with _quiet():  # what is cut is in the outcome
            examples = truncate_pairs(encode_pairs(test, tokenizers), self.max_length)

        def spell(site: str, ids: list[int]) -> list[str]:
            side = tokenizers.source if site.startswith("encoder") else tokenizers.target
            return list(side.convert_ids_to_tokens(ids))

        gates = GateSummary.of(_gates(model, examples), history, spell)
        return replace(outcome, gates=gates, model_dir=str(folder))


def _gates(
    model: PTUForConditionalGeneration, examples: Sequence[dict[str, list[int]]]
) -> GateStatistics:
    """Statistics of the gates while the references are written."""
    statistics = GateStatistics()
    model.eval()
    for start in range(0, len(examples), GATE_BATCH):
        batch = collate(examples[start : start + GATE_BATCH], int(model.config.pad_token_id))
        with torch.inference_mode():
            model.token_gates(
                **{name: tensor.to(model.device) for name, tensor in batch.items()},
                on_gates=statistics,
            )
    return statistics


@contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("ptu_seq")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
