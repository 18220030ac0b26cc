"""Jobs of a translation study: what they tell methods that learn from both languages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset

from ptu_seq.data import TranslationDataset
from ptu_seq.errors import UserError
from ptu_seq.jobs import TUNING_SEED, Cell, Job
from ptu_seq.methods.alignment import Alignment
from ptu_seq.methods.objective import Objective
from ptu_seq.methods.translation import (
    TRANSLATION_ALIGNMENTS,
    TRANSLATION_METHODS,
    get_translation_method,
)
from ptu_seq.methods.translation.distillation import ParentWords
from ptu_seq.methods.translation.domains import SentenceReader
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
from ptu_seq.trainer_setup import Trained
from ptu_seq.translation import jobs as jobs_module
from ptu_seq.translation.jobs import TranslationJobs
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.vocabularies import VocabularyOptions, parent_vocabulary
from tests.tiny import translations


def dataset(languages: str, seed: int) -> TranslationDataset:
    """Made-up pairs, of which one side is English."""
    source, target = languages.split("-")
    (language,) = {source, target} - {"en"}
    sides = {"source": source, "target": target}

    def split(count: int) -> Dataset:
        rows = [row["translation"] for row in translations(count, seed, language)]
        return Dataset.from_dict(
            {side: [row[lang] for row in rows] for side, lang in sides.items()}
        )

    return TranslationDataset(
        languages, split(60), split(5), split(5), source_lang=source, target_lang=target
    )


@pytest.fixture
def make_jobs(tmp_path: Path) -> Callable[..., TranslationJobs]:
    def make(languages: str, childs: str, vocabulary: str, **training: Any) -> TranslationJobs:
        parent, child = dataset(languages, 1), dataset(childs, 2)
        options = VocabularyOptions(vocabulary, 300, 300, 300)  # type: ignore[arg-type]
        tokenizers = parent_vocabulary(parent, [child], options, 20)
        config = Seq2SeqConfig(
            vocab_size=len(tokenizers.source),
            decoder_vocab_size=len(tokenizers.target),
            embedding_size=4,
            hidden_size=4,
            tie_embeddings="all" if tokenizers.joint else "decoder",
        )
        RNNForConditionalGeneration(config).save_pretrained(tmp_path)
        tokenizers.save(tmp_path)
        return TranslationJobs(
            tmp_path,
            parent,
            {"child": child},
            TranslationTrainingOptions(**{"batch_tokens": 80, **training}),
            options,
            {},
            max_length=20,
            max_length_ratio=3.0,
            truncate=False,
            beam_size=1,
            models_dir=tmp_path,
            logs_dir=tmp_path,
        )

    return make


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Sequence[Objective]]]:
    """The models and objectives of jobs that are done, but for their training."""
    noted: list[tuple[Any, Sequence[Objective]]] = []

    def note(model: Any, *args: Any, objectives: Sequence[Objective], **kwargs: Any) -> Trained:
        noted.append((model, objectives))
        return Trained(0.0, 0, 0.0)

    monkeypatch.setattr(jobs_module, "train_translator", note)
    return noted


def tuning(name: str, size: int = 20) -> Job:
    setting = get_translation_method(name).grid[0]
    return Job(Cell("child", size, name), setting, TUNING_SEED)


@pytest.mark.parametrize(
    ("languages", "childs", "vocabulary", "reads_both", "learns_both"),
    [
        ("fr-en", "tl-en", "match", False, False),
        ("fr-en", "tl-en", "random", False, False),
        ("fr-en", "tl-en", "joint", True, True),
        ("en-fr", "en-tl", "match", True, False),
        ("en-fr", "en-tl", "joint", True, False),
        ("fr-en", "fr-en", "match", True, True),
    ],
)
@pytest.mark.parametrize("name", ["dann", "ptu+ddc"])
def test_who_reads_the_parents_sentences_follows_from_the_vocabularies(
    name, languages, childs, vocabulary, reads_both, learns_both, make_jobs, given
):
    jobs = make_jobs(languages, childs, vocabulary)
    jobs(tuning(name))
    ((model, (alignment,)),) = given
    assert isinstance(alignment, Alignment) and isinstance(alignment.reader, SentenceReader)
    assert (alignment.reader.parent is None) == reads_both
    both = alignment.reader.read(torch.device("cpu"))
    assert both.source.features.requires_grad == reads_both
    assert (both.loss is not None) == learns_both
    assert len(both.source.features) == len(both.target.features) >= 2


def test_all_of_the_childs_sentences_are_read_whatever_the_size(make_jobs, given, monkeypatch):
    jobs = make_jobs("fr-en", "tl-en", "match")
    seen: list[Any] = []
    reader = SentenceReader

    def note(model: Any, parent: Any, domains: Any) -> SentenceReader:
        seen.append(domains)
        return reader(model, parent, domains)

    monkeypatch.setattr(jobs_module, "SentenceReader", note)
    jobs(tuning("ddc", size=30))
    (domains,) = seen
    assert len(domains.child) == len(domains.parent) == 60
    longest = [max(map(len, row.values())) for row in domains.child]
    assert domains.batch_size == int(80 / (sum(longest) / 60))


def test_a_part_that_holds_no_two_sentences_is_explained(make_jobs):
    jobs = make_jobs("fr-en", "tl-en", "match", gradient_accumulation_steps=16)
    with pytest.raises(UserError, match="--batch_tokens over --gradient_accumulation_steps"):
        jobs(tuning("ptu+ddc"))


def test_distillation_knows_both_vocabularies(make_jobs, given):
    jobs = make_jobs("fr-en", "tl-en", "match")
    jobs(tuning("distillation"))
    ((model, (words,)),) = given
    assert isinstance(words, ParentWords)
    assert len(words.encoder_mapping) == model.config.vocab_size
    assert bool((words.encoder_mapping < 0).any()) and bool((words.decoder_mapping >= 0).all())
    assert words.parent.network is not jobs.parent


def test_methods_without_companions_read_nothing_more(make_jobs, given, monkeypatch):
    jobs = make_jobs("fr-en", "tl-en", "match")
    monkeypatch.setattr(jobs_module, "SentenceReader", None)
    names = [n for n in TRANSLATION_METHODS if n not in {*TRANSLATION_ALIGNMENTS, "distillation"}]
    for name in names:
        jobs(tuning(name))
    assert [list(objectives) for _, objectives in given] == [[]] * len(names)
