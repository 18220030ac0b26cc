"""The cards of the models that a study keeps."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import ModelCard

from ptu_seq.report import write_model_cards, write_summary


@pytest.fixture
def keep():
    """Puts a model's files, without weights, where a study keeps the best one."""

    def write(folder, run, name):
        folder.mkdir(parents=True)
        cell = {key: run[key] for key in ("target", "size", "method")}
        (folder / "run.json").write_text(json.dumps({"cell": cell, "seed": run["seed"]}))
        (folder / "config.json").write_text(json.dumps({"architectures": [name]}))
        return folder

    return write


def test_each_model_has_the_numbers_of_its_own_run(tmp_path, write_run, keep):
    runs = [write_run("ptu", seed, target=t) for t in ("trec", "sick") for seed in (0, 1)]
    first = keep(tmp_path / "model", runs[1], "PTUForSequenceClassification")
    second = keep(tmp_path / "model" / "sick", runs[2], "PTUForSequenceClassification")
    summary = write_summary(tmp_path, "r", command="python x.py")
    assert write_model_cards(tmp_path, summary) == [first, second]
    for folder, run in ((first, runs[1]), (second, runs[2])):
        card = ModelCard.load(folder / "README.md")
        assert card.data.eval_results[0].metric_value == run["score"]
        assert card.data.eval_results[0].dataset_name == run["target"]
        assert "over 2; this model was chosen" in card.text
        assert "3,400, 1,200 trained" in card.text and "python x.py" in card.text
        assert "| layer_0 | 0." in card.text


def test_translators_have_languages_and_all_scores(tmp_path, write_translation, keep):
    run = write_translation("ptu", target="bible:tl-en")
    folder = keep(tmp_path / "model", run, "PTUForConditionalGeneration")
    write_model_cards(tmp_path, write_summary(tmp_path, "r"))
    card = ModelCard.load(folder / "README.md")
    assert card.data.language == ["tl", "en"]
    assert "| test chrF |" in card.text and "2000 training pairs" in card.text


def test_a_model_whose_run_has_no_line_yet_keeps_the_card_it_has(tmp_path, write_run, keep):
    run = write_run("ptu", 0)
    folder = keep(tmp_path / "model", {**run, "seed": 7}, "PTUForSequenceClassification")
    assert write_model_cards(tmp_path, write_summary(tmp_path, "r")) == []
    assert not (folder / "README.md").exists()


def test_no_model_no_card(tmp_path, write_run):
    write_run("frozen")
    assert write_model_cards(tmp_path, write_summary(tmp_path, "r")) == []
