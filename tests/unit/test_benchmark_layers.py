"""scripts/benchmark_layers.py, on layers too small to tell anything of speed."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmark_layers.py"
TINY = ["--batch", "3", "--length", "4", "--repeats", "1", "--warmup", "1"]


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("benchmark_layers", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses look their module up.
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_table_and_json_hold_every_contender(script, tmp_path, capsys):
    file = tmp_path / "new" / "layers.json"
    script.main([*TINY, "--sizes", "6", "5", "--output", str(file)])
    report = json.loads(file.read_text(encoding="utf-8"))
    names = ["torch.nn.LSTM", "PTULSTM layer", "PTULSTM step"]
    names += ["torch.nn.GRU", "PTUGRU layer", "PTUGRU step"]
    expected = [(name, size) for kind in (names[:3], names[3:]) for size in (6, 5) for name in kind]
    rows = report["measurements"]
    assert [(row["layer"], row["size"]) for row in rows] == expected
    assert report["settings"]["sizes"] == [6, 5] and report["settings"]["repeats"] == 1
    for row in rows:
        for timing in (row["forward"], row["training_step"]):
            assert len(timing["rounds"]) == 1 and timing["milliseconds"] > 0
            assert timing["ratio"] == 1 or not row["layer"].startswith("torch")
        assert row["saved_bytes"] > 0
    table = capsys.readouterr().out.splitlines()[2:]
    assert [line.split("  ")[0] for line in table] == [name for name, _ in expected]


def test_flags_select_what_runs(script, capsys):
    script.main([*TINY, "--kinds", "gru", "--levels", "layer", "--sizes", "5"])
    table = capsys.readouterr().out.splitlines()[2:]
    assert [line.split("  ")[0] for line in table] == ["torch.nn.GRU", "PTUGRU layer"]


def test_parameters_and_memory(script):
    plain, layer = script.contenders("lstm", 6, ["layer"])
    weights, unit = 2 * 4 * 6 * 6 + 2 * 4 * 6, 5 * 6 * 6 + 3 * 6
    count = script.count_parameters
    assert (count(plain.layer, trained=True), count(plain.layer, trained=False)) == (weights, 0)
    assert count(layer.layer, trained=True) == weights + unit
    assert count(layer.layer, trained=False) == weights
    x = torch.randn(4, 3, 6)
    # A linear layer keeps its input and no more, a sigmoid its output; torch's LSTM rather more.
    assert script.saved_bytes(nn.Linear(6, 6), x) == x.nbytes
    assert script.saved_bytes(nn.Sequential(nn.Linear(6, 6), nn.Sigmoid()), x) == 2 * x.nbytes
    assert script.saved_bytes(layer.layer, x) > script.saved_bytes(plain.layer, x) > x.nbytes


def test_a_training_step_reaches_weights_and_a_forward_pass_none(script):
    _, (_, layer) = script.contenders("lstm", 6, ["step"])
    x = torch.randn(4, 3, 6)
    script.inference(layer, x)()
    assert all(weight.grad is None for weight in layer.parameters())
    run = script.training_step(layer, x)
    run()
    once = [weight.grad.clone() for weight in layer.parameters() if weight.requires_grad]
    run()
    again = [weight.grad for weight in layer.parameters() if weight.requires_grad]
    torch.testing.assert_close(again, once)  # Steps do not add up.


def test_calls_are_interleaved_and_warm_up_does_not_count(script):
    log: list[str] = []
    calls = [lambda name=name: log.append(name) for name in "abc"]
    a, b, c = script.timings(calls, repeats=2, warmup=1)
    assert log == list("abcabcabc")
    assert len(a.rounds) == len(b.rounds) == len(c.rounds) == 2
    assert a.ratio == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--sizes", "0"], "argument --sizes: '0' is no whole number of at least 1"),
        (["--repeat", "3"], "unknown flag --repeat (did you mean '--repeats'?)"),
        (["--kinds", "rnn"], "invalid choice: 'rnn'"),
        (["--output", "."], "--output: cannot write to .:"),
    ],
)
def test_wrong_flags_end_with_a_message(script, words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        script.main(words)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
