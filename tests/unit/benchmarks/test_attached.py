"""scripts/benchmark_attached.py, in rounds too few to tell anything of speed."""

from __future__ import annotations

import json
from typing import Any

import pytest


@pytest.fixture
def script(load_script: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = load_script("benchmark_attached")
    monkeypatch.setitem(module.BERT, "hidden_size", 12)  # small, with all its layers
    monkeypatch.setitem(module.BERT, "intermediate_size", 8)
    return module


def test_table_and_json_hold_each_network_twice(script, tmp_path, capsys):
    file = tmp_path / "attached.json"
    script.main(
        ["--networks", "lenet", "bert", "--batch", "3", "--repeats", "1", "--output", str(file)]
    )
    report = json.loads(file.read_text(encoding="utf-8"))
    rows = report["measurements"]
    assert [(row["network"], row["units"]) for row in rows] == [
        *(("lenet", False), ("lenet", True), ("bert", False), ("bert", True))
    ]
    for plain, attached in (rows[:2], rows[2:]):
        assert plain["training_step"]["ratio"] == plain["memory_ratio"] == 1
        assert plain["frozen_parameters"] == 0
        assert attached["frozen_parameters"] == plain["trained_parameters"]
        assert attached["memory_bytes"] > plain["memory_bytes"]
        assert attached["training_step"]["milliseconds"] > 0
    table = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in table] == ["lenet", "lenet", "bert", "bert"]

    for row in rows:
        row["training_step"]["ratio"] = row["memory_ratio"] = 0.1 if row["units"] else 1.0
    file.write_text(json.dumps(report), encoding="utf-8")
    words = ["--networks", "lenet", "--batch", "3", "--repeats", "1", "--check", str(file)]
    with pytest.raises(SystemExit) as ended:
        script.main(words)
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split(" is ")[0] for line in lines] == [
        *("lenet, units True: the ratio of training step", "lenet, units True: the ratio of memory")
    ]


def test_memory_is_that_of_weights_moments_and_activations(script):
    network, inputs = script.networks("lenet", 2)
    weights = sum(p.numel() for p in network.parameters())
    double = {name: tensor.repeat(2, *[1] * (tensor.dim() - 1)) for name, tensor in inputs.items()}
    one, two = (script.memory_bytes(network, batch) for batch in (inputs, double))
    assert 16 * weights < one < two
    kept = one - 16 * weights
    assert two - one == pytest.approx(kept, rel=0.05)  # activations grow with the batch


def test_an_unknown_network_is_named(script, capsys):
    with pytest.raises(SystemExit) as error:
        script.main(["--networks", "alexnet"])
    assert error.value.code == 2
    assert "alexnet" in capsys.readouterr().err
