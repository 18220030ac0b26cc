"""Sentence classification with a pretrained encoder as the source, end to end."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AlbertConfig, AlbertModel, BertConfig, BertModel

from ptu_seq import cli
from ptu_seq.data import train_tokenizer
from ptu_seq.errors import UserError
from ptu_seq.records import read_json
from tests.integration.books_and_films import results, write_data
from tests.integration.books_and_films import run as run_recipe
from tests.tiny import BAD, GOOD, OTHER, pairs, write_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("data"))


def run(data: Path, output_dir: Path, *words: str) -> None:
    run_recipe(data, output_dir, *words, config="encoder")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small Transformer with random weights, and its tokenizer."""
    folder = tmp_path_factory.mktemp("encoder")
    text = [" ".join([*GOOD, *BAD, *OTHER])] * 3
    tokenizer = train_tokenizer(text, 120)
    tokenizer.save_pretrained(folder)
    sizes: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 32}
    BertModel(BertConfig(vocab_size=len(tokenizer), pad_token_id=0, **sizes)).save_pretrained(
        folder
    )
    return folder


def test_a_pretrained_encoder_is_a_source(data: Path, encoder: Path, tmp_path: Path, capsys):
    words = [f"--source_model={encoder}", "--test_examples", "30"]
    methods = ["linear_probe", "lora", "ptu", "ptu_lstm"]
    run(data, tmp_path / "out", *words, "--methods", *methods)
    lines = results(tmp_path / "out")
    assert [line["method"] for line in lines] == methods
    assert {line["source"] for line in lines} == {encoder.name}
    assert {p.stem.partition("-")[0] for p in (tmp_path / "out" / "gates").iterdir()} == {
        "ptu",
        "ptu_lstm",
    }
    for line in lines:
        told = read_json(tmp_path / "out" / "predictions" / f"{line['run_id']}.json")
        assert len(told["labels"]) == 30
    capsys.readouterr()
    cli.main(
        ["classify", f"--model={tmp_path / 'out' / 'model'}", f"--input={encoder / 'config.json'}"]
    )
    assert len(capsys.readouterr().out.splitlines()) > 10

    run(data, tmp_path / "out", *words, "--methods", *methods)  # nothing is left to do
    assert results(tmp_path / "out") == lines

    weights = tmp_path / "out" / "source" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-400] + bytes(400))
    with pytest.raises(UserError, match=f"{weights} is damaged or was exchanged"):
        run(data, tmp_path / "out", *words, "--methods", "ptu", "--seeds", "2")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source_model={encoder}", "--max_length", "40"], "reads 32 tokens at most"),
        (["--source_model={encoder}", "--source_cache", "disk"], "--source_cache is of the recur"),
        (
            ["--source_model={encoder}", "--rnn_type", "gru"],
            "--rnn_type is of the recurrent",
        ),
        (["--source_model={encoder}", "--sites", "rnn"], "--sites is of the recurrent"),
        (["--source_model={encoder}", "--target_datasets", "{pairs}"], "'pairs' has pairs; with"),
        (["--source_model={other}"], "its kind is 'albert'; accepted are bert, roberta,"),
        (["--source_model=/nowhere"], "--source_model /nowhere: there is no such folder."),
        (["--source_model={data}"], "the folder holds no config.json"),
        (
            ["--source_model={encoder}", "--methods", "dann"],
            "on a pretrained encoder is named 'dann'",
        ),
    ],
)
def test_what_is_no_encoder_is_refused(data: Path, encoder: Path, tmp_path: Path, words, message):
    if "{pairs}" in words:
        write_dataset(tmp_path / "pairs", pairs(90, 1), pairs(20, 2), pairs(20, 3))
    other = shutil.copytree(encoder, tmp_path / "other")
    if "--source_model={other}" in words:
        sizes: dict[str, Any] = {"hidden_size": 16, "num_attention_heads": 2, "vocab_size": 120}
        AlbertModel(AlbertConfig(**sizes, intermediate_size=16)).save_pretrained(other)
    places = {"data": data, "encoder": encoder, "pairs": tmp_path / "pairs", "other": other}
    given = [word.format(**places) for word in words]
    if "--methods" not in given:
        given += ["--methods", "ptu"]
    with pytest.raises(UserError) as error:
        run(data, tmp_path / "out", *given)
    assert message in str(error.value)


def test_another_encoder_does_not_mix_in(data: Path, encoder: Path, tmp_path: Path):
    encoder = shutil.copytree(encoder, tmp_path / "encoder")
    words = [f"--source_model={encoder}", "--methods", "linear_probe"]
    run(data, tmp_path / "out", *words)
    other = BertModel.from_pretrained(encoder)
    other.embeddings.word_embeddings.weight.data.add_(1.0)
    other.save_pretrained(encoder)
    with pytest.raises(UserError, match="is not the encoder that .* has results on"):
        run(data, tmp_path / "out", *words)
