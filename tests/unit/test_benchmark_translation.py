"""scripts/benchmark_translation.py, without its peers and on networks of a few weights."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from datasets import Dataset

from ptu_seq.data import TokenizerPair, TranslationDataset, train_vocabulary
from ptu_seq.errors import UserError
from ptu_seq.jobs import TUNING_SEED
from ptu_seq.records import append_line, write_json
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.vocabularies import VocabularyOptions
from tests.tiny import translations, write_translations

SCRIPTS = Path(__file__).parents[2] / "scripts"
NETWORK = {
    "rnn_type": "gru",
    "embedding_size": 6,
    "hidden_size": 8,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "attention": "luong_general",
    "input_feeding": False,
}
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
def script() -> Any:
    """The script, as a module; the modules beside it are found as when it is run."""
    sys.path.insert(0, str(SCRIPTS))
    try:
        yield importlib.import_module("benchmark_translation")
    finally:
        sys.path.remove(str(SCRIPTS))
        for name in [n for n in sys.modules if n.partition(".")[0] == "translation_peers"]:
            del sys.modules[name]
        del sys.modules["benchmark_translation"]


@pytest.fixture(scope="module")
def dataset() -> TranslationDataset:
    rows = [row["translation"] for row in translations(90, seed=3)]
    columns = {"source": [r["tl"] for r in rows], "target": [r["en"] for r in rows]}
    train, validation, test = (
        Dataset.from_dict({name: column[start:end] for name, column in columns.items()})
        for start, end in ((0, 60), (60, 80), (80, 90))
    )
    return TranslationDataset("tiny", train, validation, test, "tl", "en")


@pytest.fixture(scope="module")
def tokenizers(dataset: TranslationDataset) -> TokenizerPair:
    source, target = (
        train_vocabulary(dataset.train[side][:], 300, max_length=20)
        for side in ("source", "target")
    )
    return TokenizerPair(source, target)


@pytest.fixture(scope="module")
def speed_options(script: Any) -> Any:
    return script.speed.SpeedOptions(
        network=NETWORK,
        vocab_size=300,
        dropout=0.1,
        max_length=40,
        batch_tokens=200,
        train_steps=2,
        decode_sentences=5,
        decode_batch=3,
        decode_length=4,
        beam_size=2,
        rounds=1,
        warmup=1,
    )


# Turns


def test_a_worker_answers_each_word_and_keeps_other_output_apart():
    program = """
from translation_peers.turns import Turns
turns = Turns()
for batch in turns.train([[0], [1], [2]], steps=2):
    print("batch", batch[0])
turns.decode(lambda: 7)
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        input="train\ntrain\ndecode\n",
        capture_output=True,
        text=True,
        cwd=SCRIPTS,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [sorted(answer) for answer in answers] == [["seconds"]] * 2 + [["seconds", "tokens"]]
    assert answers[2]["tokens"] == 7
    assert done.stderr.split() == "batch 0 batch 1 batch 2 batch 0".split()


def test_tokens_of_a_turn_are_those_of_its_batches(script):
    task = {"batches": [[0], [1, 2], [3]], "train_target_ids": [[5], [5, 5], [5, 5, 5], [5] * 10]}
    turns = script.speed.tokens_in_turns(task, steps=2)
    assert [next(turns) for _ in range(3)] == [1 + 5, 10 + 1, 5 + 10]


def test_rates_are_compared_within_rounds(script):
    ours, theirs = script.speed.rates([[10.0, 20.0], [100.0, 50.0], [1.0, 9.0]])
    assert (ours.median, ours.ratio, ours.rounds) == (10.0, 1.0, [10.0, 100.0, 1.0])
    assert (theirs.median, theirs.ratio) == (20.0, 2.0)


def test_a_worker_that_dies_says_why(script, speed_options, dataset, tmp_path):
    task = script.speed.make_task(dataset, speed_options, tmp_path)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no such module >&2\nexit 1\n")
    python.chmod(0o755)
    with (
        pytest.raises(UserError, match=r"eole-0\.6\.4 has stopped: no such module"),
        script.speed.start_worker("eole-0.6.4", task, tmp_path, python) as worker,
    ):
        worker.answer()


# Speed


def test_all_systems_get_the_same_batches(script, speed_options, dataset, tmp_path):
    task = script.speed.make_task(dataset, speed_options, tmp_path)
    lines = {
        side: (tmp_path / f"train.{side}").read_text("utf-8").splitlines()
        for side in ("source", "target")
    }
    assert len(lines["source"]) == len(lines["target"]) == len(task["train_source_ids"])
    assert sorted(i for batch in task["batches"] for i in batch) == list(
        range(len(lines["source"]))
    )
    for side, tokens in (("source", "train_sources"), ("target", "train_targets")):
        assert [[*line.split(" "), "</s>"] for line in lines[side]] == task[tokens]
    for batch in task["batches"]:
        lengths = [len(task["train_source_ids"][i]) for i in batch]
        assert lengths == sorted(lengths, reverse=True)  # as packed sequences have to be
    assert len(task["decode_texts"]) == len(task["decode_sources"]) == 5
    vocabulary = (tmp_path / "vocabulary.target").read_text("utf-8").splitlines()
    assert vocabulary[:4] == ["<unk>", "<pad>", "<s>", "</s>"]
    assert len(vocabulary) == len(set(vocabulary)) == task["ptu_seq"]["decoder_vocab_size"]


def test_networks_are_of_one_shape(script, speed_options, dataset, tmp_path):
    task = script.speed.make_task(dataset, speed_options, tmp_path)
    joeynmt, eole = task["joeynmt"]["model"], task["eole"]["model"]
    assert joeynmt["encoder"]["hidden_size"] == 4  # of a direction
    assert eole["encoder"]["hidden_size"] == 8  # of both
    assert joeynmt["decoder"]["hidden_size"] == eole["decoder"]["hidden_size"] == 8
    assert (joeynmt["encoder"]["rnn_type"], eole["encoder"]["rnn_type"]) == ("gru", "GRU")
    assert joeynmt["decoder"]["input_feeding"] is False and eole["input_feed"] == 0
    assert not joeynmt["tied_embeddings"] and not joeynmt["tied_softmax"]
    assert task["ptu_seq"]["tie_embeddings"] == "none"
    length = task["decode_length"]
    for decoding, low, high in (
        (task["joeynmt"]["testing"], "min_output_length", "max_output_length"),
        (task["eole_decoding"], "min_length", "max_length"),
    ):
        assert decoding[low] == decoding[high] == length and decoding["beam_size"] == 2


def test_too_few_sentences_to_decode(script, speed_options, dataset, tmp_path):
    options = dataclasses.replace(speed_options, decode_sentences=21)
    with pytest.raises(UserError, match="--decode_sentences 21: tiny has only 20"):
        script.speed.make_task(dataset, options, tmp_path)


def test_our_worker_trains_and_decodes(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(script, "prepare_environment", lambda folder: Path("no peer is run"))
    data = write_translations(tmp_path / "data", "tl", seed=1)
    file = tmp_path / "new" / "speed.json"
    words = f"speed --dataset {data} --target_lang en --output {file} --embedding_size 6"
    words += " --hidden_size 8 --vocab_size 300 --batch_tokens 200 --train_steps 2 --rounds 2"
    words += " --warmup 1 --decode_sentences 5 --decode_length 4 --beam_size 2 --systems"
    script.main([*words.split(), "ptu-seq-int8"])
    report = json.loads(file.read_text("utf-8"))
    (measured,) = report["measurements"]
    assert measured["system"] == "ptu-seq-int8" and measured["parameters"] > 0
    for rate in (measured["training"], measured["decoding"]):
        assert len(rate["rounds"]) == 2 and rate["median"] > 0 and rate["ratio"] == 1
    assert report["settings"]["vocab_size"] == 300
    assert "ptu-seq-int8" in capsys.readouterr().out.splitlines()[-1]


def test_our_rows_are_told_apart(script, speed_options, dataset, tmp_path):
    task = script.speed.make_task(dataset, speed_options, tmp_path)
    own = {name: script.speed.own_task(name, task, tmp_path) for name in script.speed.SYSTEMS}
    assert [name for name in own if own[name]["units"]] == ["ptu-seq-units"]
    assert [name for name in own if own[name]["int8"]] == ["ptu-seq-int8"]


# Quality


@pytest.fixture
def peer(script: Any, tmp_path: Path) -> Any:
    python = tmp_path / "python"
    python.write_text(FAKE_PEER.format(python=sys.executable))
    python.chmod(0o755)
    runs = importlib.import_module("translation_peers.joeynmt_runs")
    return runs.JoeyNMT(python, tmp_path / "joeynmt", NETWORK, 20, 3.0, False, 2)


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
        "network": NETWORK,
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


# Flags and environment


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["speed", "--rounds", "0"], "argument --rounds: '0' is no whole number of at least 1"),
        (["speed", "--dropout", "1"], "argument --dropout: '1' is no number from 0 to below 1"),
        (["speed", "--batch_token", "3"], "unknown flag --batch_token (did you mean"),
        (["speed", "--systems", "eole"], "invalid choice: 'eole'"),
        (["speed", "--hidden_size", "7"], "--hidden_size is 7; it must be even"),
        (["speed", "--", "--max_steps", "3"], "only quality passes flags on: --max_steps 3"),
        (["quality", "--tuning_settings", "5"], "invalid choice: 5"),
        (["quality", "--output", "."], "--output: cannot write to .:"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_wrong_flags_end_with_a_message(script, words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        script.main(words)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_peers_never_go_into_an_environment_that_is_in_use(script, tmp_path, monkeypatch):
    prepare = script.prepare_environment
    with pytest.raises(UserError, match="is the environment of this very process"):
        prepare(Path(sys.prefix))
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(UserError, match="holds something else; give an empty folder"):
        prepare(tmp_path)


def test_the_environment_is_made_once(script, tmp_path, monkeypatch):
    environment = importlib.import_module("translation_peers.environment")
    commands: list[list[str]] = []
    monkeypatch.setattr(environment, "_run", lambda words: commands.append(words))
    folder = tmp_path / "peers"
    folder.mkdir()
    python = environment.prepare_environment(folder)
    _, needed, peers = commands
    assert f"torch=={environment.torch.__version__}" in needed  # no other build comes in
    assert peers[-3:] == ["--no-deps", "joeynmt==2.3.0", "eole==0.6.4"]
    assert peers[0] == str(python) and needed[0] == str(python)
    assert environment.prepare_environment(folder) == python
    assert len(commands) == 3


def test_processes_that_are_compared_have_one_thread(script, monkeypatch):
    environment = importlib.import_module("translation_peers.environment")
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    variables = environment.variables(search_path=["a", "b"])
    assert variables["OMP_NUM_THREADS"] == "1" and variables["PYTHONPATH"] in ("a:b", "a;b")
    assert "PYTHONPATH" not in environment.variables()
