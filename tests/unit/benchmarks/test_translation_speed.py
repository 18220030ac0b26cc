"""The command `speed` of scripts/benchmark_translation.py, without its peers."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ptu_seq.errors import UserError
from tests.tiny import TINY_TRANSLATOR, write_translations

SCRIPTS = Path(__file__).parents[3] / "scripts"


@pytest.fixture(scope="module")
def script(load_script: Any) -> Any:
    return load_script("benchmark_translation")


@pytest.fixture(scope="module")
def speed_options(script: Any) -> Any:
    return script.speed.SpeedOptions(
        network=TINY_TRANSLATOR,
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


@pytest.mark.slow
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

    again = script.parse([*words.split(), "ptu-seq-int8", "--check", str(file)])
    expected = {("ptu-seq-int8", what): 1.0 for what in ("training", "decoding")}
    assert again.check == expected
    with pytest.raises(SystemExit):
        script.parse([*words.split(), "ptu-seq", "--check", str(file)])
    assert "was measured with --systems ['ptu-seq-int8']" in capsys.readouterr().err


def test_rates_that_fall_are_worse(script):
    expected = {("ptu-seq-int8", "decoding"): 2.0}
    assert script.SPEED_CHECK.worse({("ptu-seq-int8", "decoding"): 9.0}, expected) == []
    assert len(script.SPEED_CHECK.worse({("ptu-seq-int8", "decoding"): 1.7}, expected)) == 1


def test_our_rows_are_told_apart(script, speed_options, dataset, tmp_path):
    task = script.speed.make_task(dataset, speed_options, tmp_path)
    own = {name: script.speed.own_task(name, task, tmp_path) for name in script.speed.SYSTEMS}
    assert [name for name in own if own[name]["units"]] == ["ptu-seq-units"]
    assert [name for name in own if own[name]["int8"]] == ["ptu-seq-int8"]
