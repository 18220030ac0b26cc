"""What `ptu-seq collapse` works on: a saved classifier or translator, and its labelled examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from transformers import AutoConfig

from ptu_seq import evaluation
from ptu_seq.collapse import Collapses, Examples
from ptu_seq.collapse_classifier import (
    ClassifierCollapses,
    check_dataset,
    labelled_texts,
    some_validation,
)
from ptu_seq.data import load_classification, load_translation
from ptu_seq.errors import UserError
from ptu_seq.inference import Classifier
from ptu_seq.model_files import check_files
from ptu_seq.models import CollapsedConfig, CollapsedSeq2SeqConfig, PTUConfig, PTUSeq2SeqConfig
from ptu_seq.models.collapse import fold_embedding, units_by_place
from ptu_seq.saved_models import CANNOT_LOAD, check_folder
from ptu_seq.translation.collapse import SentencePairs, TranslatorCollapses, sentence_pairs
from ptu_seq.translation.evaluation import MetricName
from ptu_seq.translation.inference import Translator

#: The scores of each kind, the default first.
CLASSIFIER_METRICS, TRANSLATOR_METRICS = ("accuracy", "macro_f1"), ("bleu", "chrf")


@dataclass(frozen=True)
class Request:
    """What the user asks for, in the words of the command line."""

    model: str
    dataset: str
    metric: str | None
    validation_examples: int | None
    batch_size: int
    beam_size: int | None
    source_lang: str | None
    target_lang: str | None


@dataclass(frozen=True)
class Task:
    """A model to collapse.

    Attributes:
        whole: the model as it was trained.
        collapses: the same in smaller ways, with its validation data.
        test: reads the test split.
        save_tokenizer: writes what belongs beside the model.
        settings: for the report: metric, batch size and so on.
        folded: whether its gated token vectors were put in a table before anything was pinned.
    """

    whole: Any
    collapses: Collapses
    test: Callable[[], Examples]
    save_tokenizer: Callable[[Path], Any]
    settings: dict[str, Any]
    folded: bool = False


def read_task(request: Request) -> Task:
    """Loads a model, and the validation data that decides what is left of it.

    Raises:
        UserError: for a model without units, units of another kind or a model that has been
            collapsed; data that are not what the model reads; and what is of the other kind.
    """
    return _translator(request) if _is_translator(request.model) else _classifier(request)


def _classifier(request: Request) -> Task:
    metric = _metric(request, CLASSIFIER_METRICS, "classifier")
    for flag in ("beam_size", "source_lang", "target_lang"):
        if getattr(request, flag) is not None:
            raise UserError(f"--{flag} is of translators; --model {request.model} is a classifier.")
    classifier = Classifier.from_pretrained(request.model)
    dataset = load_classification(request.dataset)
    check_dataset(classifier, dataset)
    rows = some_validation(dataset, request.validation_examples)
    score = getattr(evaluation, metric)

    def read(split: Any) -> Any:
        return labelled_texts(classifier, dataset, split, request.batch_size, score)

    whole = classifier.model
    folded = units_by_place(whole)["embedding"].pinned is None
    return Task(
        whole,
        ClassifierCollapses(fold_embedding(whole) if folded else whole, read(rows), folded),
        lambda: read(dataset.test),
        classifier.tokenizer.save_pretrained,
        {
            "metric": metric,
            "validation_examples": len(rows),
            "batch_size": request.batch_size,
        },
        folded,
    )


def _translator(request: Request) -> Task:
    metric = _metric(request, TRANSLATOR_METRICS, "translator")
    translator = Translator.from_pretrained(request.model)
    dataset = load_translation(request.dataset, request.source_lang, request.target_lang)
    pairs, wanted = len(dataset.validation), request.validation_examples
    if wanted is not None and wanted > pairs:
        raise UserError(
            f"--validation_examples {wanted}: {dataset.name} has {pairs} validation examples; "
            "accepted is at most that."
        )
    beam_size = request.beam_size or 1

    def read(split: Any, count: int | None = None) -> SentencePairs:
        return sentence_pairs(
            translator,
            split,
            count,
            metric=cast(MetricName, metric),
            beam_size=beam_size,
            batch_size=request.batch_size,
        )

    return Task(
        translator.model,
        TranslatorCollapses(translator.model, read(dataset.validation, wanted)),
        lambda: read(dataset.test),
        translator.tokenizers.save,
        {
            "metric": metric,
            "validation_examples": wanted or pairs,
            "batch_size": request.batch_size,
            "beam_size": beam_size,
        },
    )


def _metric(request: Request, accepted: tuple[str, ...], kind: str) -> str:
    metric = request.metric or accepted[0]
    if metric not in accepted:
        raise UserError(
            f"--metric {metric}: --model {request.model} is a {kind}; accepted are "
            f"{' and '.join(accepted)}."
        )
    return metric


def _is_translator(name: str) -> bool:
    """Whether a folder holds a translator with units, and not a classifier with units."""
    check_folder(name, "--model")
    check_files(name, "--model")
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
    except CANNOT_LOAD:
        return False  # which loading the model tells better
    if isinstance(config, CollapsedConfig | CollapsedSeq2SeqConfig):
        raise UserError(
            f"--model {name}: it has been collapsed already; accepted is the model that it was."
        )
    # Those derived from it mix by learned constants, without gates.
    if type(config) is PTUSeq2SeqConfig:
        if config.source_input != "target":
            raise UserError(
                f"--model {name}: its parent reads its own activations (--source_input own); "
                "accepted is a translator that was trained with --source_input target."
            )
        return True
    if not isinstance(config, PTUConfig):
        kind = (config.architectures or [config.model_type])[0]
        raise UserError(
            f"--model {name}: a {kind}; accepted is a recurrent classifier or a translator with "
            "units, a PTUForSequenceClassification or a PTUForConditionalGeneration."
        )
    return False
