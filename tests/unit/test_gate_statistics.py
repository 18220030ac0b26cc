"""Gate statistics beside numpy's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ptu_seq.gate_statistics import BINS, HIGH, LOW, OCCURRENCES, STEPS, GateStatistics
from ptu_seq.models.token_gates import Tokens
from ptu_seq.unit import PTU, PTUGates


def gates(*shape: int) -> PTUGates:
    fine_tune, update = torch.rand(2, *shape, dtype=torch.float64)
    return PTUGates(fine_tune, update**3)


def test_they_are_numpys() -> None:
    given = gates(7, 5, 11)
    statistics = GateStatistics()
    statistics("embedding", given)
    (record,) = statistics.as_records()
    assert record["site"] == "embedding"
    for name, gate in given._asdict().items():
        values = gate.numpy().ravel()
        assert record[name]["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert record[name]["std"] == pytest.approx(values.std(), rel=1e-9)
        counts = np.histogram(values, bins=BINS, range=(0, 1))[0]
        assert record[name]["histogram"] == counts.tolist()
        assert record[name]["low"] == pytest.approx((values < LOW).mean())
        assert record[name]["high"] == pytest.approx((values > HIGH).mean())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_streaming_equals_one_batch(dtype: torch.dtype) -> None:
    whole = PTUGates(*(gate.to(dtype) for gate in gates(12, 6)))
    at_once, streamed = GateStatistics(), GateStatistics()
    at_once("layer0.forward", whole)
    for rows in (slice(0, 1), slice(1, 4), slice(4, 12)):
        streamed("layer0.forward", PTUGates(*(gate[rows] for gate in whole)))
    (a,), (b,) = at_once.as_records(), streamed.as_records()
    for name in ("fine_tune", "update"):
        assert a[name]["histogram"] == b[name]["histogram"]
        for moment in ("mean", "std"):
            assert a[name][moment] == pytest.approx(b[name][moment], rel=1e-12)


def test_shares_say_what_the_output_is_made_of() -> None:
    first, second = gates(4, 5), gates(3, 5)
    statistics = GateStatistics()
    statistics("rnn", first)
    statistics("rnn", second)
    (record,) = statistics.as_records()
    f, u = (torch.cat(both) for both in zip(first, second, strict=True))
    for share, values in (("target", 1 - u), ("kept", u * (1 - f)), ("retuned", u * f)):
        assert record["shares"][share] == pytest.approx(values.mean().item(), rel=1e-12)


def test_pinned_gates_lie_in_the_outer_bins() -> None:
    unit, statistics = PTU(3).pin("frozen"), GateStatistics()
    statistics("rnn", unit(torch.randn(2, 3), torch.randn(2, 3), return_gates=True)[1])
    (record,) = statistics.as_records()
    at_0, at_1 = [6] + [0] * (BINS - 1), [0] * (BINS - 1) + [6]
    assert record["fine_tune"] == {"mean": 0, "std": 0, "histogram": at_0, "low": 1, "high": 0}
    assert record["update"] == {"mean": 1, "std": 0, "histogram": at_1, "low": 0, "high": 1}


def test_sites_come_in_the_order_of_their_first_gates() -> None:
    statistics = GateStatistics()
    for site in ("embedding", "layer0.forward", "classifier", "embedding"):
        statistics(site, gates(2, 3))
    records = statistics.as_records()
    assert [record["site"] for record in records] == ["embedding", "layer0.forward", "classifier"]
    assert [sum(record["update"]["histogram"]) for record in records] == [12, 6, 6]
    assert json.loads(json.dumps(records)) == records


def test_gates_that_carry_a_graph_leave_none() -> None:
    unit, statistics = PTU(3), GateStatistics()
    statistics("rnn", unit(torch.randn(2, 3), torch.randn(2, 3), return_gates=True)[1])
    assert not statistics._sites["rnn"]["update"].neurons.requires_grad


def sentences(*rows: list[int]) -> Tokens:
    """The tokens of sentences, one example each."""
    return Tokens(
        torch.tensor([i for row in rows for i in row]),
        torch.tensor([step for row in rows for step in range(len(row))]),
        torch.tensor([example for example, row in enumerate(rows) for _ in row]),
    )


def test_neurons_steps_and_tokens_are_told_apart() -> None:
    """Over two batches, of which the second reads longer sentences and larger ids."""
    batches = [sentences([7, 2, 7], [2]), sentences([9, 9, 7, 2, 4])]
    given = [gates(len(tokens.ids), 3) for tokens in batches]
    statistics = GateStatistics()
    for tokens, both in zip(batches, given, strict=True):
        statistics("embedding", both, tokens)
    arrays = statistics.arrays()
    ids, steps = (torch.cat([t[field] for t in batches]).numpy() for field in (0, 1))
    for name, parts in (("fine_tune", [g[0] for g in given]), ("update", [g[1] for g in given])):
        values = torch.cat(parts).numpy()
        found = {key.split("/")[2]: a for key, a in arrays.items() if key.split("/")[1] == name}
        np.testing.assert_allclose(found["neuron_mean"], values.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found["neuron_std"], values.std(0), rtol=1e-6)
        np.testing.assert_allclose(found["neuron_low"], (values < LOW).mean(0), rtol=1e-6)
        np.testing.assert_allclose(found["neuron_high"], (values > HIGH).mean(0), rtol=1e-6)
        assert found["step_count"].tolist() == [3, 2, 2, 1, 1]
        for step in range(5):
            here = values[steps == step]
            assert found["step_mean"][step] == pytest.approx(here.mean(), rel=1e-6)
            assert found["step_std"][step] == pytest.approx(here.std(), rel=1e-5)
        assert found["token_id"].tolist() == [2, 4, 7, 9]
        assert found["token_count"].tolist() == [3, 1, 3, 2]
        for row, token in enumerate([2, 4, 7, 9]):
            means = values[ids == token].mean(1)
            assert found["token_mean"][row] == pytest.approx(means.mean(), rel=1e-6)
            assert found["token_std"][row] == pytest.approx(means.std(), rel=1e-5, abs=1e-7)


def test_steps_beyond_the_limit_count_as_tokens_alone() -> None:
    statistics = GateStatistics()
    statistics("rnn", gates(STEPS + 3, 2), sentences([5] * (STEPS + 3)))
    arrays = statistics.arrays()
    assert arrays["rnn/update/step_count"].tolist() == [1] * STEPS
    assert arrays["rnn/update/token_count"].tolist() == [STEPS + 3]


def test_sites_of_whole_sentences_have_neurons_alone() -> None:
    statistics = GateStatistics()
    statistics("classifier", gates(3, 2))
    assert {name.split("/")[2] for name in statistics.arrays()} == {
        f"neuron_{what}" for what in ("mean", "std", "low", "high")
    }
    assert "tokens" not in statistics.as_records(lambda site, ids: [])[0]


def test_channels_are_the_neurons_of_maps() -> None:
    given, statistics = gates(2, 3, 4, 5), GateStatistics()
    statistics("conv1", given)
    expected = given.update.mean(dim=(0, 2, 3)).numpy()
    np.testing.assert_allclose(statistics.arrays()["conv1/update/neuron_mean"], expected, rtol=1e-6)


def test_the_most_and_least_open_tokens_are_named() -> None:
    """Those alone that occur often enough."""
    rows = [1] * OCCURRENCES + [2] * (OCCURRENCES + 1) + [3] * (OCCURRENCES - 1)
    update = torch.tensor([{1: 0.2, 2: 0.6, 3: 0.9}[i] for i in rows]).unsqueeze(1)
    statistics = GateStatistics()
    statistics("encoder.embedding", PTUGates(1 - update, update), sentences(rows))
    (record,) = statistics.as_records(lambda site, ids: [f"{site[:3]}{i}" for i in ids])
    listed = {end: [(e["token"], e["count"]) for e in of] for end, of in record["tokens"].items()}
    often = [("enc2", OCCURRENCES + 1), ("enc1", OCCURRENCES)]
    assert listed == {"most_source": often, "least_source": often[::-1]}
    assert record["tokens"]["most_source"][0]["mean"] == pytest.approx(0.6)
