"""Both recipes from end to end with --streaming, and training on a stream."""

from __future__ import annotations

import json
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast, set_seed

from ptu_seq.batches import Examples, stream_batches
from ptu_seq.data import TokenizerPair, encode, encode_pairs, train_tokenizer, train_vocabulary
from ptu_seq.data.pair_filters import learnable
from ptu_seq.data.streams import StreamedBatches, stream_classification, stream_translation
from ptu_seq.data.translation_rows import Pair
from ptu_seq.errors import UserError
from ptu_seq.models import (
    RNNConfig,
    RNNForConditionalGeneration,
    RNNForSequenceClassification,
    Seq2SeqConfig,
)
from ptu_seq.records import read_json, read_lines
from ptu_seq.training import TrainingOptions, train
from ptu_seq.translation import batches
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.training import train_translator
from recipes.low_resource_mt import main as translate
from tests.integration.books_and_films import results, run, write_data
from tests.tiny import TINY_TRANSLATOR, sentences, translations, write_dataset, write_translations

QUICK = ["--methods", "fine_tune", "--min_steps=4", "--max_steps=4", "--evaluations=2"]


def in_one_file(folder: Path) -> None:
    """Leaves a set without a validation and a test split."""
    for split in ("validation", "test"):
        (folder / f"{split}.jsonl").unlink()


def test_classification(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_data(tmp_path)
    in_one_file(tmp_path / "books")
    words = [*QUICK, "--streaming", "--shuffle_buffer=50", "--source_max_steps=30"]
    run(tmp_path, tmp_path / "out", *words)
    # A quarter of 300 rows, whose texts all differ, is for test and a tenth for validation.
    assert "Source: training on" in (said := capsys.readouterr().out)
    assert "(195 examples)" in said
    (line,) = results(tmp_path / "out")
    assert (line["method"], line["size"], line["steps"]) == ("fine_tune", 60, 4)
    assert read_json(tmp_path / "out" / "source" / "source.json")["steps"] == 30
    run(tmp_path, tmp_path / "out", *words)
    assert "is already trained" in capsys.readouterr().out
    with pytest.raises(UserError, match="config|configuration|settings"):
        run(tmp_path, tmp_path / "out", *words[:-2], "--source_max_steps=30")


def test_translation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, language, seed in (("parent", "fr", 1), ("child", "tl", 2)):
        write_translations(tmp_path / name, language, seed)
    in_one_file(tmp_path / "parent")
    words = [
        *(f"--source_dataset={tmp_path / 'parent'}", f"--target_datasets={tmp_path / 'child'}"),
        *("--sizes=60", f"--output_dir={tmp_path / 'out'}", "--target_lang=en", "--seeds=1"),
        *("--tuning_settings=1", "--embedding_size=8", "--hidden_size=8", "--workers=1"),
        *("--vocab_size=300", "--child_vocab_size=300", "--parent_max_steps=6", "--streaming"),
    ]
    translate([*words, *QUICK])
    assert "(130 pairs)" in capsys.readouterr().out
    (line,) = read_lines(tmp_path / "out" / "results.jsonl")
    assert (line["source"], line["target"], line["steps"]) == ("parent:fr-en", "child:tl-en", 4)
    assert read_json(tmp_path / "out" / "parent" / "parent.json")["steps"] == 6


@pytest.fixture(scope="module", params=["classification", "translation"])
def trainable(request, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trains a small network on a stream: gives its weights and the stream afterwards."""
    folder = tmp_path_factory.mktemp("data")
    if request.param == "classification":
        write_dataset(folder / "a", sentences(60, 1), sentences(9, 2), sentences(8, 3))
        return partial(_classifier, stream_classification(str(folder / "a")), folder)
    write_dataset(folder / "a", translations(60, 1), translations(9, 2), translations(8, 3))
    return partial(_translator, stream_translation(str(folder / "a"), "tl", "en"), folder)


def _classifier(opened: Any, folder: Path, parts: int) -> tuple[Any, StreamedBatches[Any]]:
    dataset = opened.dataset
    tokenizer: PreTrainedTokenizerFast = train_tokenizer(dataset.train["text"], 90)
    stream = stream_batches(opened.rows, ("text",), tokenizer, 9, 8 // parts, buffer=20, seed=1)
    set_seed(0)
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "embedding_size": 4, "hidden_size": 4}
    model = RNNForSequenceClassification(RNNConfig(**sizes, id2label={0: "a", 1: "b"}))
    trained = train(
        model,
        [{"params": list(model.parameters()), "lr": 0.01}],
        tokenizer,
        stream,
        Examples(encode(dataset.validation, tokenizer, ("text",), 9)),
        TrainingOptions(
            batch_size=8, epochs=1, min_steps=1, evaluations=2, gradient_accumulation_steps=parts
        ),
        folder=folder / "logs",
        seed=0,
    )
    assert trained.steps == 8  # an epoch of 60 rows
    return model, stream


def _translator(opened: Any, folder: Path, parts: int) -> tuple[Any, StreamedBatches[Any]]:
    dataset = opened.dataset
    sides = [train_vocabulary(dataset.train[side], 300, "bpe") for side in ("source", "target")]
    tokenizers = TokenizerPair(*sides)
    pairs = list(map(Pair, dataset.train["source"], dataset.train["target"]))
    keep = partial(learnable, max_length=40)
    stream = batches.stream_batches(
        opened.rows, pairs, tokenizers, keep, 300 // parts, buffer=20, seed=1
    )
    set_seed(0)
    sizes: dict[str, Any] = {"vocab_size": len(sides[0]), "decoder_vocab_size": len(sides[1])}
    model = RNNForConditionalGeneration(Seq2SeqConfig(**TINY_TRANSLATOR, **sizes))
    trained = train_translator(
        model,
        [{"params": list(model.parameters()), "lr": 0.01}],
        tokenizers,
        stream,
        encode_pairs(dataset.validation, tokenizers),
        TranslationTrainingOptions(
            max_steps=8, evaluations=1, gradient_accumulation_steps=parts, batch_tokens=300
        ),
        folder=folder / "logs",
        seed=0,
    )
    assert trained.steps == 8
    return model, stream


@pytest.mark.parametrize("parts", [1, 2])
def test_training_takes_as_many_batches_as_it_learns_from(trainable, parts):
    model, stream = trainable(parts)
    state = json.loads(json.dumps(stream.state_dict()))
    again, other = trainable(parts)
    assert other.state_dict() == state
    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    other.load_state_dict({"block": None, "window": 0, "batch": 0})
    for _ in islice(other, 8 * parts):
        pass
    assert other.state_dict() == state
