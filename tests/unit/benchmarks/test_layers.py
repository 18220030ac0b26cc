"""scripts/benchmark_layers.py, on layers too small to tell anything of speed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

TINY = ["--batch", "3", "--length", "4", "--repeats", "1", "--warmup", "1"]


@pytest.fixture
def script(load_script: Any) -> Any:
    return load_script("benchmark_layers")


def test_table_and_json_hold_every_contender(script, tmp_path, capsys):
    file = tmp_path / "new" / "layers.json"
    script.main([*TINY, "--sizes", "6", "5", "--output", str(file)])
    report = json.loads(file.read_text(encoding="utf-8"))
    expected = [
        (name.format(kind), size)
        for kind in ("LSTM", "GRU")
        for size in (6, 5)
        for name in (
            *("torch.nn.{}", "PTU{} layer", "Gated{} layer"),
            *("PTU{} step", "Gated{} step", "PTU{} loop"),
        )
    ]
    rows = report["measurements"]
    assert [(row["layer"], row["size"]) for row in rows] == expected
    assert report["settings"]["sizes"] == [6, 5] and report["settings"]["repeats"] == 1
    for row in rows:
        for timing in (row["forward"], row["training_step"]):
            assert len(timing["rounds"]) == 1 and timing["milliseconds"] > 0
            assert timing["ratio"] == 1 or not row["layer"].startswith("torch")
        assert 0 < row["saved_bytes"] < row["peak_bytes"]
    table = capsys.readouterr().out.splitlines()[2:]
    assert [line.split("  ")[0] for line in table] == [name for name, _ in expected]


def test_flags_select_what_runs(script, capsys):
    script.main([*TINY, "--kinds", "gru", "--levels", "layer", "--sizes", "5"])
    table = capsys.readouterr().out.splitlines()[2:]
    assert [line.split("  ")[0] for line in table] == [
        *("torch.nn.GRU", "PTUGRU layer", "GatedGRU layer")
    ]


def test_parameters_and_memory(script):
    x = torch.randn(4, 3, 6)
    plain, layer, cached = script.contenders("lstm", ["layer"], x)
    weights, unit = 2 * 4 * 6 * 6 + 2 * 4 * 6, 5 * 6 * 6 + 3 * 6
    count = script.count_parameters
    assert (count(plain.layer, trained=True), count(plain.layer, trained=False)) == (weights, 0)
    assert count(layer.layer, trained=True) == weights + unit
    assert count(layer.layer, trained=False) == weights
    assert count(cached.layer, trained=True) == weights + unit
    assert count(cached.layer, trained=False) == 0

    def saved(module: nn.Module) -> int:
        return script.saved_bytes(script.Contender("", module, module), x)

    # A linear layer keeps its input and no more, a sigmoid its output; torch's LSTM rather more.
    assert saved(nn.Linear(6, 6)) == x.nbytes
    assert saved(nn.Sequential(nn.Linear(6, 6), nn.Sigmoid())) == 2 * x.nbytes
    assert saved(layer.layer) > saved(plain.layer) > x.nbytes


def test_a_training_step_reaches_weights_and_a_forward_pass_none(script):
    x = torch.randn(4, 3, 6)
    _, contender, *_ = script.contenders("lstm", ["step"], x)
    layer = contender.layer
    script.inference(contender, x)()
    assert all(weight.grad is None for weight in layer.parameters())
    run = script.training_step(contender, x)
    run()
    once = [weight.grad.clone() for weight in layer.parameters() if weight.requires_grad]
    run()
    again = [weight.grad for weight in layer.parameters() if weight.requires_grad]
    torch.testing.assert_close(again, once)  # Steps do not add up.


def test_peak_is_what_is_held_at_once(script):
    def run() -> None:
        for _ in range(3):
            first, second = torch.empty(1000), torch.empty(1000)
            del first, second

    assert script.peak_bytes(run) == 2 * 4 * 1000


def test_check_compares_ratios_with_a_report(script, tmp_path, capsys):
    file = tmp_path / "layers.json"
    flags = [*TINY, "--kinds", "gru", "--levels", "layer", "--sizes", "5"]
    script.main([*flags, "--output", str(file)])
    report = json.loads(file.read_text(encoding="utf-8"))
    for factor, code in ((1000.0, 0), (0.001, 1)):
        for row in report["measurements"]:
            if row["layer"] == "PTUGRU layer":
                row["training_step"]["ratio"] = row["forward"]["ratio"] = factor
            else:
                row["training_step"]["ratio"] = row["forward"]["ratio"] = 1000.0
        file.write_text(json.dumps(report), encoding="utf-8")
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            script.main([*flags, "--check", str(file)])
        assert exit_.value.code == code
        lines = capsys.readouterr().out.splitlines()[5:]
        assert [line.split(",")[0] for line in lines if line] == ["PTUGRU layer"] * 2 * code
    with pytest.raises(SystemExit) as exit_:  # nothing is expected of this size
        script.main([*flags[:-1], "6", "--check", str(file)])
    assert exit_.value.code == 1
    assert "torch.nn.GRU, size 6: the report has no forward." in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit_:
        script.main([*flags, "--length", "5", "--check", str(file)])
    assert exit_.value.code == 2
    assert "was measured with --length 4, not 5." in capsys.readouterr().err


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
        (["--check", "."], "--check: . is no report that --output wrote."),
    ],
)
def test_wrong_flags_end_with_a_message(script, words, message, capsys):
    with pytest.raises(SystemExit) as exit_:
        script.main(words)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err
