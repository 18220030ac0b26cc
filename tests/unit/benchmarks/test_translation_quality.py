"""The command `quality` of scripts/benchmark_translation.py, with a peer that is made up."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ptu_seq.data import TokenizerPair, train_vocabulary
from ptu_seq.errors import UserError
from ptu_seq.jobs import TUNING_SEED
from ptu_seq.records import append_line, write_json
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.vocabularies import VocabularyOptions
from tests.tiny import TINY_TRANSLATOR

SETTING = {"learning_rate": 1e-3, "embedding_dropout": 0.1, "hidden_dropout": 0.2}

#: Stands for JoeyNMT: "translates" every sentence by its reference, and scores a setting the higher
#: the more dropout it has and, of equal ones, the lower its learning rate.
FAKE_PEER = """#!{python}
import pathlib, sys, yaml
mode, file = sys.argv[3:5]  # after -c and the command
config = yaml.safe_load(open(file, encoding="utf-8"))
model = pathlib.Path(config["model_dir"])
if mode == "train":
    model.mkdir(parents=True, exist_ok=True)
    score = config["model"]["decoder"]["hidden_dropout"] - config["training"]["learning_rate"]
    fields = ["Steps: 1", "loss: 9.0", "bleu: %.5f" % score, "*"]
    (model / "validations.txt").write_text("\\t".join(fields))
    (model / "best.ckpt").write_text(config["training"].get("load_model", "scratch"))
else:
    reference = pathlib.Path(config["data"]["test"] + ".target").read_text(encoding="utf-8")
    pathlib.Path(sys.argv[-1] + ".test").write_text(reference, encoding="utf-8")
"""


@pytest.fixture(scope="module")
def script(load_script: Any) -> Any:
    return load_script("benchmark_translation")


@pytest.fixture
def peer(script: Any, tmp_path: Path) -> Any:
    python = tmp_path / "python"
    python.write_text(FAKE_PEER.format(python=sys.executable))
    python.chmod(0o755)
    runs = importlib.import_module("translation_peers.joeynmt_runs")
    return runs.JoeyNMT(python, tmp_path / "joeynmt", TINY_TRANSLATOR, 20, 3.0, False, 2)


def test_children_learn_from_the_pairs_and_tokens_of_ours(peer, dataset, tokenizers, tmp_path):
    study = importlib.import_module("translation_peers.joeynmt_study")
    training = TranslationTrainingOptions(batch_tokens=100, validation_sentences=15)
    children = study.Children(
        peer, tokenizers, tmp_path / "joeynmt/parent/model/best.ckpt", VocabularyOptions(), training
    )
    result = children.run("tiny:tl-en", dataset, 30, study.WARM, SETTING, 0)
    assert result["translations"] == dataset.test["target"][:]
    (folder,) = (tmp_path / "joeynmt").iterdir()
    config = yaml.safe_load((folder / "train.yaml").read_text("utf-8"))
    assert config["training"]["load_model"].endswith("parent/model/best.ckpt")
    assert config["training"]["scheduling"] == "exponential"
    assert config["model"]["encoder"]["hidden_size"] == 4
    assert config["model"]["decoder"]["hidden_dropout"] == 0.2
    lines = {
        split: (folder / "text" / f"{split}.source").read_text("utf-8").splitlines()
        for split in ("train", "dev", "test")
    }
    assert {split: len(of_split) for split, of_split in lines.items()} == {
        "train": 30,
        "dev": 15,
        "test": 10,
    }
    known = set(dataset.train["source"][:])
    decoder = tokenizers.source
    texts = [decoder.decode(decoder.convert_tokens_to_ids(x.split(" "))) for x in lines["train"]]
    assert set(texts) <= known
    assert not (folder / "model").exists()  # its translations are kept, its weights are not


def test_what_is_finished_is_not_done_again(peer, dataset, tokenizers):
    options = TranslationTrainingOptions(batch_tokens=100)
    text = peer.text(dataset, tokenizers, options)
    first = peer.run("one", text, SETTING, options, seed=0)
    peer.python.unlink()
    assert peer.run("one", text, SETTING, options, seed=0) == first
    with pytest.raises(FileNotFoundError):  # another seed is another run
        peer.run("one", text, SETTING, options, seed=1)


def test_the_best_setting_is_chosen_on_validation_data(script, peer, dataset, tmp_path):
    study = importlib.import_module("translation_peers.joeynmt_study")
    corpora = importlib.import_module("ptu_seq.translation.corpora")
    ours = tmp_path / "ours"
    texts = [*dataset.train["source"][:], *dataset.train["target"][:]]
    joint = train_vocabulary(texts, 300, max_length=20)
    TokenizerPair(joint, joint).save(ours / "parent")
    parent = {"learning_rate": 1e-3, "dropout": 0.1, "batch_tokens": 100, "epochs": 1.0}
    parent |= {"max_steps": 3, "seed": 0}
    configuration = {
        "network": TINY_TRANSLATOR,
        "sentences": {
            "max_length": 20,
            "max_length_ratio": 3.0,
            "truncate": False,
            "beam_size": 2,
        },
        "vocabularies": {"vocabulary": "joint", "scratch_vocab_size": 300},
        "parent": {f"parent_{name}": value for name, value in parent.items()},
        "training": {"max_steps": 4, "min_steps": 2, "evaluations": 2},
    }
    write_json(ours / "study.json", {"configuration": configuration})
    translations, settings = study.run_joeynmt(
        peer.folder,
        ours,
        ours / "parent",
        corpora.Corpora(dataset, "tiny", {"child": dataset}, [], {}),
        [20],
        peer.python,
        seeds=2,
        tuning_settings=2,
        workers=2,
    )
    assert {system: chosen for (_, _, system), chosen in settings.items()} == {
        system: max(
            grid[:2], key=lambda setting: setting["hidden_dropout"] - setting["learning_rate"]
        )
        for system, grid in study.GRIDS.items()
    }
    assert all(runs == [dataset.test["target"][:]] * 2 for runs in translations.values())
    tuning = [f for f in peer.folder.iterdir() if "0.3" in f.name]
    assert len(tuning) == 4 and not any((f / "best.test").exists() for f in tuning)
    assert not any(str(TUNING_SEED) in f.name for f in peer.folder.iterdir())


def test_a_failure_names_the_log(peer, dataset, tokenizers):
    peer.python.write_text("#!/bin/sh\necho out of order\nexit 3\n")
    options = TranslationTrainingOptions()
    text = peer.text(dataset, tokenizers, options)
    with pytest.raises(UserError, match=r"JoeyNMT failed in train; .*one/train\.log\."):
        peer.run("one", text, SETTING, options, seed=0)
    assert (peer.folder / "one" / "train.log").read_text() == "out of order\n"


@pytest.mark.parametrize("batch_tokens", [50, 400, 10_000])
def test_a_schedule_has_room_for_its_validations(script, dataset, tokenizers, batch_tokens):
    runs = importlib.import_module("translation_peers.joeynmt_runs")
    files = importlib.import_module("translation_peers.joeynmt_files")
    from ptu_seq.data import encode_pairs, pair_lengths

    options = TranslationTrainingOptions(batch_tokens=batch_tokens, epochs=20, min_steps=40)
    examples = encode_pairs(dataset.train, tokenizers)
    schedule = runs.make_schedule(examples, options)
    steps = schedule.epochs * files.batches_an_epoch(pair_lengths(examples), batch_tokens)
    assert schedule.epochs >= 20
    assert options.evaluations <= steps // schedule.validation_freq <= 1.2 * options.evaluations + 1
    assert schedule.decrease_factor**schedule.epochs == pytest.approx(0.2, rel=0.01)


def test_quality_scores_ours_beside_theirs(script, dataset, tmp_path, monkeypatch, capsys):
    quality = script.quality
    references = dataset.test["target"][:]
    garbled = [" ".join(reversed(text.split())) for text in references]
    monkeypatch.setattr(script, "prepare_environment", lambda folder: Path("python"))
    monkeypatch.setattr(quality, "run_recipe", lambda options: None)
    names = {"children": {"data": dataset}}
    monkeypatch.setattr(quality, "load_corpora", lambda *args: type("Corpora", (), names))
    theirs = {("data", 50, s): [garbled, references] for s in quality.AGAINST.values()}
    monkeypatch.setattr(
        quality, "run_joeynmt", lambda *a, **k: (theirs, {key: SETTING for key in theirs})
    )
    output = tmp_path / "out"
    ours = output / "ptu_seq"
    ours.mkdir(parents=True)
    for method, seed in [("scratch", 1), ("scratch", 0), ("ptu", 0), ("ptu", 1), ("ptu", 2)]:
        run = {"run_id": f"{method}{seed}", "method": method, "seed": seed, "setting": SETTING}
        append_line(ours / "results.jsonl", {"target": "other", "size": 50, **run})
        append_line(ours / "results.jsonl", {"target": "data", "size": 50, **run})
        texts = references if method == "ptu" or seed else garbled
        write_json(ours / "predictions" / f"{method}{seed}.json", {"predictions": texts})
    file = tmp_path / "quality.json"
    words = f"quality --output_dir {output} --sizes 50 --seeds 2 --output {file}"
    script.main(words.split())
    report = json.loads(file.read_text("utf-8"))
    cells = {cell["system"]: cell["scores"] for cell in report["cells"]}
    assert list(cells) == ["scratch", "JoeyNMT scratch", "ptu", "JoeyNMT warm start"]
    assert cells["ptu"] == pytest.approx([100, 100])
    assert cells["scratch"] == cells["JoeyNMT scratch"] == cells["JoeyNMT warm start"]
    same, better = report["comparisons"]
    assert same["difference"] == 0 and same["p_value"] == 1
    assert better["system"] == "ptu" and better["against"] == "JoeyNMT warm start"
    assert better["difference"] == pytest.approx(100 - sum(cells["scratch"]) / 2)
    table = capsys.readouterr().out
    assert "data, 50 pairs: ptu less JoeyNMT warm start +" in table
    assert report["signature"] in table and report["signature"].startswith("nrefs:1|")


def test_flags_of_the_recipe(script):
    arguments = script.parse(
        "quality --source_langs fr tl --target_lang en --sizes 10 all --parent_model old "
        "-- --vocabulary match".split()
    )
    words = " ".join(script.quality.recipe_words(script.quality_options(arguments)))
    assert "--methods scratch ptu" in words and "--sizes 10 all --seeds 3" in words
    assert "--source_langs fr tl --target_lang en" in words
    assert "--parent_model old" in words
    assert words.endswith("--vocabulary joint --vocabulary match")  # the last one counts
