"""The search for units that can be pinned, and the command that collapses a saved model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from ptu_seq import cli
from ptu_seq.collapse import search
from ptu_seq.collapse_classifier import ClassifierCollapses, LabelledTexts, Metric, labelled_texts
from ptu_seq.data import load_classification, train_tokenizer
from ptu_seq.evaluation import accuracy
from ptu_seq.inference import Classifier
from ptu_seq.models import (
    PTUForSequenceClassification,
    RNNConfig,
    RNNForSequenceClassification,
)
from ptu_seq.models.collapse import units_by_place
from ptu_seq.unit import PTU
from tests.tiny import sentences, write_dataset

LABELS = {0: "good", 1: "bad"}
SHUT, OPEN = -80.0, 80.0


def saturate(unit: PTU, fine_tune: float, update: float) -> None:
    """Gates that are at one end whatever the activations are."""
    size = unit.target_size
    with torch.no_grad():
        unit.weight_source[: 2 * size] = 0
        unit.weight_target.zero_()
        unit.bias[:size], unit.bias[size : 2 * size] = fine_tune, update


@pytest.fixture
def make_model() -> Callable[..., PTUForSequenceClassification]:
    """Makes a model whose units all mix, and so that each of them decides predictions."""

    def make(vocab_size: int = 30, sites: tuple[str, ...] = ("embedding", "rnn", "classifier")):
        config = RNNConfig(
            vocab_size=vocab_size,
            embedding_size=6,
            hidden_size=8,
            embedding_std=2.0,
            id2label={0: "x", 1: "y"},
        )
        source = RNNForSequenceClassification(config)
        model = PTUForSequenceClassification.from_source(
            source, init="random", id2label=LABELS, candidate="tanh", sites=sites
        )
        for _, unit in model.units():
            for parameter in unit.parameters():
                nn.init.normal_(parameter, std=1.0)
        for head in (model.classifier, model.source_classifier):
            nn.init.normal_(head.weight, std=3.0)
            nn.init.zeros_(head.bias)
        return model.eval()

    return make


def made_up_texts(model: PTUForSequenceClassification, metric: Metric = accuracy) -> LabelledTexts:
    """Examples whose labels are what the model says."""
    ids = torch.randint(1, 30, (400, 5))
    with torch.inference_mode():
        batch = {"input_ids": ids, "labels": model(ids).logits.argmax(-1)}
    return LabelledTexts([batch], metric)


@pytest.mark.parametrize(
    ("fine_tune", "update", "state"),
    [(OPEN, SHUT, "target"), (SHUT, OPEN, "frozen"), (OPEN, OPEN, "adapted")],
)
def test_a_saturated_unit_is_found_and_a_useful_one_is_kept(fine_tune, update, state, make_model):
    model = make_model()
    saturate(units_by_place(model)["layer0.forward"], fine_tune, update)
    states, steps = search(ClassifierCollapses(model, made_up_texts(model)), floor=100)
    assert states == {"embedding": None, "layer0.forward": state, "classifier": None}
    (step,) = steps
    assert step.pinned == {"layer0.forward": state} and step.evaluation.score == 100
    assert all(unit.pinned is None for unit in units_by_place(model).values())


@pytest.mark.parametrize("floor", [97.0, 90.0, 75.0, 0.0])
def test_the_score_stays_within_the_tolerance(floor, make_model):
    model = make_model()
    collapses = ClassifierCollapses(model, made_up_texts(model))
    states, steps = search(collapses, floor)
    assert all(step.evaluation.score >= floor for step in steps)
    counts = [step.parameters for step in steps]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) == len(counts)
    if steps:
        assert collapses.parameters(states) == counts[-1]
        assert (collapses.loss(states), collapses.score(states)) == steps[-1].evaluation
    if floor == 0:  # as small as it can be
        assert None not in collapses.parts(states).states.values()


def test_each_model_is_evaluated_once(make_model):
    read: list[int] = []

    def counting(labels: Any, predictions: Any) -> float:
        read.append(len(labels))
        return accuracy(labels, predictions)

    model = make_model()
    search(ClassifierCollapses(model, made_up_texts(model, counting)), floor=0)
    # 3 units in 4 states each, of which those below a lent layer, or output, do not matter.
    assert len(read) <= 2 + 2 * (2 * 4 + 2)


@pytest.fixture
def saved(make_model, tmp_path: Path) -> Callable[..., list[str]]:
    """Saves a model and a data set that has the model's answers for labels; the words for both."""

    def save(shut: bool, **fields: Any) -> list[str]:
        rows = [sentences(count, seed) for seed, count in enumerate((20, 150, 40))]
        tokenizer = train_tokenizer([row["text"] for row in rows[1]], 60, max_length=12)
        model = make_model(len(tokenizer), **fields)
        if shut:
            for place, unit in units_by_place(model).items():
                if place != "embedding":
                    saturate(unit, SHUT, SHUT)
        model.save_pretrained(tmp_path / "model")
        tokenizer.save_pretrained(tmp_path / "model")
        classifier = Classifier(model, tokenizer, is_pair=False)
        for split in rows[1:]:
            best = classifier.probabilities([(row["text"],) for row in split]).argmax(-1)
            for row, label in zip(split, best.tolist(), strict=True):
                row["label"] = LABELS[label]
        write_dataset(tmp_path / "data", *rows)
        return ["collapse", "--model", str(tmp_path / "model"), "--dataset", str(tmp_path / "data")]

    return save


def test_the_command_writes_a_smaller_model_and_a_report(saved, tmp_path, capsys):
    words = [*saved(shut=True), "--tolerance", "0", "--batch_size", "16"]
    assert cli.main([*words, "--dry_run"]) == 0
    assert "nothing was written" in capsys.readouterr().out
    assert not (tmp_path / "model-collapsed").exists()
    assert cli.main(words) == 0
    table = capsys.readouterr().out
    folder = tmp_path / "model-collapsed"
    report = json.loads((folder / "collapse.json").read_text())
    small = AutoModelForSequenceClassification.from_pretrained(folder)
    assert type(small) is RNNForSequenceClassification  # the source is gone altogether
    assert report["class"] == "RNNForSequenceClassification"
    assert report["sites"] == {
        "embedding": "folded",
        "layer0.forward": "target",
        "classifier": "target",
    }
    before, after = report["before"], report["after"]
    assert after["parameters"] == small.num_parameters() < 0.6 * before["parameters"]
    assert f"{before['parameters']:,}" in table and "ms a batch of 16" in table
    for split in ("validation", "test"):
        assert before[f"{split}_score"] == after[f"{split}_score"] == 100
    assert after["milliseconds"] > 0
    texts: list[tuple[str, ...]] = [("lumo balan",), ("grut dokimi vex",)]
    ours, theirs = (
        Classifier.from_pretrained(str(path)).probabilities(texts)
        for path in (tmp_path / "model", folder)
    )
    torch.testing.assert_close(ours, theirs)

    (folder / "notes.txt").write_text("mine")
    assert cli.main(words) == 0  # an earlier collapse is replaced
    assert (folder / "notes.txt").read_text() == "mine"
    assert cli.main([*words[:2], str(folder), *words[3:]]) == 2
    assert "a RNNForSequenceClassification; accepted is" in capsys.readouterr().err


def test_a_card_that_its_user_wrote_stays(saved, tmp_path):
    words = [*saved(shut=True), "--tolerance", "0"]
    card = tmp_path / "model-collapsed" / "README.md"
    for text in (None, "# mine"):
        if text:
            card.write_text(text)
        assert cli.main(words) == 0
    assert card.read_text() == "# mine"
    assert not list(tmp_path.glob(".collapsing*"))


@pytest.mark.parametrize(
    ("inside", "change", "written"),
    [
        ("model", ["--model", "."], "model-collapsed"),
        ("model/sub", ["--model", ".."], "model-collapsed"),
        ("new", ["--output", "."], "new"),
    ],
)
def test_folders_named_by_dots(inside, change, written, saved, tmp_path, monkeypatch):
    words = [*saved(shut=True), "--tolerance", "0"]
    (tmp_path / inside).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / inside)
    assert cli.main([*words, *change]) == 0
    assert (tmp_path / written / "collapse.json").is_file()


def test_where_every_unit_is_needed_only_what_nothing_reads_goes(saved, tmp_path, capsys):
    words = [*saved(shut=False, sites=("rnn", "classifier")), "--tolerance", "0"]
    assert cli.main(words) == 0
    assert "dropped what nothing reads" in capsys.readouterr().out
    report = json.loads((tmp_path / "model-collapsed" / "collapse.json").read_text())
    assert not report["steps"]
    before, after = report["before"], report["after"]
    # The unit at the token vectors, whose site was left out, and the source's classifier.
    assert before["parameters"] - after["parameters"] >= 5 * 6 * 6 + 3 * 6
    assert before["validation_loss"] == after["validation_loss"]


def test_labels_are_matched_by_name(saved, tmp_path):
    saved(shut=True)
    classifier = Classifier.from_pretrained(str(tmp_path / "model"))
    dataset = load_classification(str(tmp_path / "data"))
    assert dataset.label_names == ("bad", "good")
    batches = labelled_texts(classifier, dataset, dataset.test, 8, accuracy).batches
    assert [len(batch["labels"]) for batch in batches] == [8] * 5
    for batch in batches:
        logits = classifier.model(batch["input_ids"], batch["attention_mask"]).logits
        assert torch.equal(logits.argmax(-1), batch["labels"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--output", "{}"], "holds something that is no earlier collapse"),
        (["--output", "{}/model/config.json"], "a file; accepted is a folder"),
        (["--output", "{}/none/x"], "there is no folder"),
        (["--validation_examples", "999"], "has 150 validation examples"),
        (["--dataset", "{}/other"], "its label 'odd' is none of the model's, which are good, bad"),
        (["--dataset", "{}/pairs"], "it has premise and hypothesis; the model reads text"),
        (["--model", "{}/none"], "there is no such folder"),
        (["--metric", "bleu"], "is a classifier; accepted are accuracy and macro_f1"),
        (["--beam_size", "2"], "--beam_size is of translators"),
    ],
)
def test_mistakes_end_in_one_sentence(change, message, saved, tmp_path, capsys):
    words = saved(shut=True)
    for name, row in (("other", {"text": "a"}), ("pairs", {"premise": "a", "hypothesis": "b"})):
        rows = [
            {**row, next(iter(row)): f"word{i}", "label": ("odd", "good")[i % 2]} for i in range(40)
        ]
        write_dataset(tmp_path / name, rows[:20], rows[20:30], rows[30:])
    assert cli.main([*words, *(word.format(tmp_path) for word in change)]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("points", ["-1", "nan", "inf", "some"])
def test_a_tolerance_is_a_number_of_points(points, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["collapse", "--model", "x", "--dataset", "y", f"--tolerance={points}"])
    assert exit_.value.code == 2
    assert "is no number of points" in capsys.readouterr().err
