"""Exported classifiers: programs of torch alone, with the model's logits to the bit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from ptu_seq import cli
from ptu_seq.errors import UserError
from ptu_seq.export import export_classifier
from ptu_seq.inference import Classifier
from ptu_seq.models import (
    CollapsedPTUForSequenceClassification,
    EncoderConfig,
    EncoderForSequenceClassification,
    PTUEncoderForSequenceClassification,
    PTUForSequenceClassification,
    RNNConfig,
    RNNForSequenceClassification,
)
from ptu_seq.models.collapse import collapse
from tests.unit.fuzz.models import saved

LENGTH = 6
LABELS = {0: "cold", 1: "hot"}
TINY_BERT = {
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
}


def recurrent(**fields: Any) -> RNNForSequenceClassification:
    shape = {"vocab_size": 30, "embedding_size": 6, "hidden_size": 8, "id2label": LABELS}
    return RNNForSequenceClassification(RNNConfig(**{**shape, **fields})).eval()


def with_units(**fields: Any) -> PTUForSequenceClassification:
    return PTUForSequenceClassification.from_source(recurrent(), **fields).eval()


def collapsed() -> CollapsedPTUForSequenceClassification:
    model = with_units(level="step", num_labels=2)
    model.rnn.pin("target")
    small = collapse(model)
    assert isinstance(small, CollapsedPTUForSequenceClassification)
    return small


def encoder() -> EncoderForSequenceClassification:
    config = EncoderConfig(encoder=TINY_BERT, id2label=LABELS)
    return EncoderForSequenceClassification(config).eval()


def export(model: Any, *, is_pair: bool = False) -> Any:
    return export_classifier(Classifier(model, tokenizer=None, is_pair=is_pair), LENGTH).module()


@pytest.mark.parametrize(
    "make",
    [
        lambda: recurrent(pooling="last", rnn_type="gru", num_hidden_layers=2),
        lambda: recurrent(pooling="attention"),
        lambda: with_units(candidate="tanh"),
        collapsed,
        encoder,
        lambda: PTUEncoderForSequenceClassification.from_source(encoder(), id2label=LABELS).eval(),
    ],
    ids=["gru", "lstm", "ptu", "collapsed", "encoder", "ptu encoder"],
)
def test_logits_are_the_models(make):
    model = make()
    program = export(model)
    for rows in (1, 4):
        ids, mask = torch.randint(4, 30, (rows, LENGTH)), torch.ones(rows, LENGTH).long()
        mask[-1, 3:] = 0
        with torch.no_grad():
            wanted = model(input_ids=ids, attention_mask=mask).logits
            assert torch.equal(program(ids, mask), wanted)
            assert not torch.equal(program(ids, torch.ones_like(mask)), wanted)


@pytest.mark.parametrize(
    ("make", "is_pair", "message"),
    [
        (lambda: recurrent(is_pair=True), True, "it reads pairs; accepted is a classifier of"),
        (lambda: recurrent(bidirectional=True), False, "read in both directions; accepted is"),
        (lambda: with_units(level="step"), False, "units at level 'step'"),
    ],
)
def test_what_cannot_be_exported_is_refused(make, is_pair, message):
    with pytest.raises(UserError, match=message):
        export(make(), is_pair=is_pair)


def test_the_command_writes_a_program_and_the_labels(tiny_classifier: Path, tmp_path: Path):
    file = tmp_path / "model.pt2"
    assert cli.main(["export", "--model", str(tiny_classifier), "--length", "5", str(file)]) == 0
    extra = {"labels.json": ""}
    program = torch.export.load(file, extra_files=extra).module()
    classifier = Classifier.from_pretrained(str(tiny_classifier))
    labels = classifier.model.config.id2label
    assert json.loads(extra["labels.json"]) == [labels[i] for i in range(len(labels))]
    ids = torch.tensor([[5, 4, 3, 0, 0]])
    with torch.no_grad():
        wanted = classifier.model(input_ids=ids, attention_mask=ids.ne(0).long()).logits
        assert torch.equal(program(ids, ids.ne(0).long()), wanted)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{folder}/model.onnx"], "model.onnx: accepted is a .pt2 file in a folder that exists"),
        (["{folder}/none/model.pt2"], "accepted is a .pt2 file in a folder that exists"),
        (["--length", "999", "{folder}/model.pt2"], "--length 999: accepted is at most 8"),
    ],
)
def test_mistakes_end_in_one_sentence(tiny_classifier, tmp_path, capsys, words, message):
    given = [word.format(folder=tmp_path) for word in words]
    assert cli.main(["export", "--model", str(tiny_classifier), *given]) == 2
    assert message in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_a_file_that_cannot_be_written_is_told(tiny_classifier, tmp_path, capsys, monkeypatch):
    def fail(*given: Any, **named: Any) -> None:
        raise RuntimeError("no space left")

    monkeypatch.setattr(torch.export, "save", fail)
    words = ["--model", str(tiny_classifier), str(tmp_path / "model.pt2")]
    assert cli.main(["export", *words]) == 2
    assert "model.pt2: cannot be written (no space left)." in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_without_a_limit_a_length_is_needed(tmp_path, capsys):
    folder = tmp_path / "endless"
    shutil.copytree(saved("ptu"), folder)  # which has no table of positions that tells one
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text("utf-8"))
    del settings["model_max_length"]
    file.write_text(json.dumps(settings), "utf-8")
    assert cli.main(["export", "--model", str(folder), str(tmp_path / "model.pt2")]) == 2
    assert "--length is needed" in capsys.readouterr().err
