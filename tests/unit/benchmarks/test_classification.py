"""scripts/benchmark_classification.py, on networks too small to tell anything of speed."""

from __future__ import annotations

import json
import statistics
from typing import Any

import pytest
import torch

from ptu_seq.models import RNNForSequenceClassification

NAMES = ["fine_tune", "torch.nn", "ptu layer", "ptu layer, lent", "ptu step", "ptu step, lent"]
TINY = ["--batch", "3", "--repeats", "1", "--warmup", "1"]


@pytest.fixture
def script(load_script: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    module = load_script("benchmark_classification")
    for name in module.SHAPES:
        monkeypatch.setitem(module.SHAPES, name, module.Shape(20, 5, 4, 7))
    return module


@pytest.fixture
def contenders(script: Any) -> dict[str, Any]:
    found = script.contenders(script.SHAPES["quick"], 3)
    assert [contender.name for contender in found] == NAMES
    return {contender.name: contender for contender in found}


def batch_of(script: Any, contender: Any) -> dict[str, torch.Tensor]:
    return script.pad([contender.examples[i] for i in range(3)], 0)


def test_table_json_and_check_hold_every_contender(script, tmp_path, capsys):
    file = tmp_path / "classification.json"
    script.main([*TINY, "--output", str(file)])
    report = json.loads(file.read_text(encoding="utf-8"))
    rows = report["measurements"]
    shapes = ("quick", "larger")
    assert [(r["network"], r["shape"]) for r in rows] == [(n, s) for s in shapes for n in NAMES]
    for tuned, plain, *twins in (rows[:6], rows[6:]):
        assert tuned["training_step"]["ratio"] == tuned["memory_ratio"] == 1
        assert tuned["trained_parameters"] == plain["trained_parameters"]
        for twin in twins:
            assert twin["frozen_parameters"] == tuned["trained_parameters"]
            assert twin["training_step"]["milliseconds"] > 0
            weights = 12 * twin["trained_parameters"] + 4 * twin["frozen_parameters"]
            assert twin["memory_bytes"] > weights
    table = capsys.readouterr().out.splitlines()[2:]
    assert [line[:16].strip() for line in table] == NAMES * 2

    for row in rows:
        row["training_step"]["ratio"] = row["memory_ratio"] = 1000.0
    rows[2]["memory_ratio"] = 0.1
    file.write_text(json.dumps(report), encoding="utf-8")
    with pytest.raises(SystemExit) as ended:
        script.main([*TINY, "--shapes", "quick", "--check", str(file)])
    assert ended.value.code == 1
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("ptu layer, shape quick: the ratio of memory is ")


def test_the_outside_peer_is_the_same_network(script, contenders):
    tuned, plain = contenders["fine_tune"], contenders["torch.nn"]
    assert isinstance(tuned.network, RNNForSequenceClassification)
    plain.network.load_state_dict(tuned.network.state_dict())
    for contender in (tuned, plain):
        contender.network.eval()
    expected = tuned.loss(batch_of(script, tuned))
    torch.testing.assert_close(plain.loss(batch_of(script, plain)), expected)


@pytest.mark.parametrize("level", ["layer", "step"])
def test_what_is_lent_is_what_the_source_gives(script, contenders, level, monkeypatch):
    run, lent = contenders[f"ptu {level}"], contenders[f"ptu {level}, lent"]
    assert run.network.config.level == lent.network.config.level == level
    lent.network.load_state_dict(run.network.state_dict())
    for contender in (run, lent):
        contender.network.eval()
    expected = run.loss(batch_of(script, run))
    monkeypatch.setattr(RNNForSequenceClassification, "activations", None)  # not to be called
    torch.testing.assert_close(lent.loss(batch_of(script, lent)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_trains_what_is_not_frozen(script, contenders, name):
    contender = contenders[name]
    before = {n: p.detach().clone() for n, p in contender.network.named_parameters()}
    step = script.training_step(contender)
    step()
    step()  # at first both twins say the same, and so the gates have no gradient
    for n, parameter in contender.network.named_parameters():
        assert parameter.grad is None
        assert torch.equal(parameter, before[n]) != parameter.requires_grad, n


def test_texts_are_as_long_as_reviews(script):
    lengths = [len(row["input_ids"]) for row in script.texts(script.Shape(20, 5, 4, 10_000), 100)]
    assert statistics.median(lengths) == pytest.approx(254, abs=3)
    assert statistics.mean(lengths) == pytest.approx(314, rel=0.02)
    cut = [len(row["input_ids"]) for row in script.texts(script.Shape(20, 5, 4, 256), 100)]
    assert cut == [min(length, 256) for length in lengths]


def test_an_unknown_shape_is_named(script, capsys):
    with pytest.raises(SystemExit) as ended:
        script.main(["--shapes", "huge"])
    assert ended.value.code == 2
    assert "huge" in capsys.readouterr().err
