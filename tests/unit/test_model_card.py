"""The README.md beside a saved model: metadata that the hub reads, and lines that run."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from ptu_seq.data import TokenizerPair, train_vocabulary
from ptu_seq.data.tokenization import train_tokenizer
from ptu_seq.model_card import MARK, Run, model_card, write_model_card
from ptu_seq.models import (
    CNNConfig,
    CNNForImageClassification,
    PTUForConditionalGeneration,
    PTUForImageClassification,
    PTUForSequenceClassification,
    RNNConfig,
    RNNForConditionalGeneration,
    RNNForSequenceClassification,
    Seq2SeqConfig,
)
from ptu_seq.records import read_json

RUN = Run(
    source="imdb",
    target="glue/mrpc",
    size=500,
    method="ptu",
    setting={"learning_rate": 0.001, "update_bias": {"embedding": 0.0, "rnn": -3.0}},
    seed=3,
    metric="accuracy",
    score=0.731,
    details={"all seeds": "72.9 ± 0.4 on the test set"},
    languages=["tl", "en"],
    gates=[("embedding", 0.25, 0.5), ("layer_0", 0.125, 0.75)],
    command="python recipes/sentence_classification.py --seeds 5",
)
TEXTS = ["good bad film the very", "a film bad good", "the a very good film"] * 9


def save_classifier(folder: Path, *, is_pair: bool = False, **options: Any) -> None:
    tokenizer = train_tokenizer(TEXTS, 40, max_length=12)
    config = RNNConfig(
        vocab_size=len(tokenizer),
        embedding_size=4,
        hidden_size=4,
        is_pair=is_pair,
        id2label={0: "no", 1: "yes"},
    )
    source = RNNForSequenceClassification(config)
    PTUForSequenceClassification.from_source(source).save_pretrained(folder, **options)
    source.save_pretrained(folder / "source")
    tokenizer.save_pretrained(folder)


def save_pair_classifier(folder: Path) -> None:
    save_classifier(folder, is_pair=True)


def save_translator(folder: Path) -> None:
    tokenizer = train_vocabulary(TEXTS, 40, byte_fallback=False, max_length=12)
    config = Seq2SeqConfig(vocab_size=len(tokenizer), embedding_size=4, hidden_size=4)
    parent = RNNForConditionalGeneration(config)
    PTUForConditionalGeneration.from_source(parent).save_pretrained(folder)
    TokenizerPair(tokenizer, tokenizer).save(folder)


def save_image_classifier(folder: Path) -> None:
    source = CNNForImageClassification(
        CNNConfig(image_size=20, width=2, id2label={0: "0", 1: "1", 2: "2"})
    )
    PTUForImageClassification.from_source(source).save_pretrained(folder)


SAVE = [save_classifier, save_pair_classifier, save_translator, save_image_classifier]


def run_lines(folder: Path, monkeypatch: pytest.MonkeyPatch, **replaced: str) -> dict[str, Any]:
    """Runs the card's Python lines where they say that they run: in the folder."""
    (lines,) = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.S)
    for name, value in replaced.items():
        lines = lines.replace(name, value)
    monkeypatch.chdir(folder)
    scope: dict[str, Any] = {}
    exec(lines, scope)
    return scope


@pytest.mark.parametrize("save", SAVE)
def test_card_of_a_run(tmp_path, monkeypatch, capsys, save):
    save(tmp_path)
    assert write_model_card(tmp_path, RUN)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "ptu-seq"
    assert card.data.datasets == ["imdb", "glue/mrpc"]
    assert card.data.language == ["tl", "en"]
    assert card.data.license is None
    (result,) = card.data.eval_results
    assert (result.dataset_name, result.metric_type, result.metric_value) == (
        "glue/mrpc",
        "accuracy",
        0.731,
    )
    assert result.task_type == card.data.pipeline_tag
    for text in (
        "| layer_0 | 0.12 | 0.75 |",
        "72.9 ± 0.4",
        RUN.command,
        "rnn -3.0",
        "| seed | 3 |",
    ):
        assert text in card.text
    run_lines(tmp_path, monkeypatch)
    assert capsys.readouterr().out.strip() or save is save_translator


@pytest.mark.parametrize("save", SAVE)
def test_saving_a_model_writes_what_is_known(tmp_path, monkeypatch, save):
    save(tmp_path)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.eval_results is None and card.data.datasets is None
    assert "parameter-transfer-unit" in card.data.tags
    assert "not recorded" in card.text and "source's content hash" in card.text
    model = run_lines(tmp_path, monkeypatch)["model"]
    assert type(model).__name__ in card.text


def test_a_network_without_units(tmp_path):
    save_classifier(tmp_path)
    card = ModelCard.load(tmp_path / "source" / "README.md")
    assert card.data.tags == ["transfer-learning"]
    assert "Parameter Transfer Units" not in card.text


def test_a_model_without_its_source_asks_for_it(tmp_path, monkeypatch):
    save_classifier(tmp_path, include_source=False)
    assert 'source="FOLDER_OF_THE_SOURCE"' in (tmp_path / "README.md").read_text()
    run_lines(tmp_path, monkeypatch, FOLDER_OF_THE_SOURCE="source")


@pytest.mark.parametrize("text", ["My model.", "", "---\nlicense: mit\n---\n"])
def test_a_users_card_stays(tmp_path, text):
    (tmp_path / "README.md").write_text(text)
    save_classifier(tmp_path)
    assert not write_model_card(tmp_path, RUN)
    assert (tmp_path / "README.md").read_text() == text


def test_our_card_is_renewed_until_its_mark_is_removed(tmp_path):
    save_classifier(tmp_path)
    assert write_model_card(tmp_path, RUN)
    path = tmp_path / "README.md"
    path.write_text(path.read_text().replace(MARK, "").replace("0.731", "0.732"))
    assert not write_model_card(tmp_path, RUN)
    assert "0.732" in path.read_text()


def test_other_processes_write_no_card(tmp_path):
    save_classifier(tmp_path, is_main_process=False)
    assert "README.md" not in os.listdir(tmp_path)


def test_names_and_settings_that_markdown_or_the_hub_would_trip_over(tmp_path):
    save_classifier(tmp_path)
    odd = replace(
        RUN, source="bible:fr-en", target="my data|v2: x", size="all", metric="bleu", score=12.34
    )
    write_model_card(tmp_path, odd)
    card = ModelCard.load(tmp_path / "README.md")
    assert card.data.datasets == ["bible-fr-en", "my-data-v2-x"]
    assert card.data.eval_results[0].dataset_name == "my data|v2: x"
    assert "my data\\|v2: x, all training examples" in card.text and "| 12.3 |" in card.text


def test_labels_of_several_lines_stay_in_their_row(tmp_path):
    save_classifier(tmp_path)
    config = read_json(tmp_path / "config.json")
    card = model_card({**config, "id2label": {"0": "so\n\n## so", "1": "good | bad"}})
    assert "| labels | so ## so, good \\| bad |" in card.splitlines()
