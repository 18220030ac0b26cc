"""Gate statistics beside numpy's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ptu_seq.gate_statistics import BINS, GateStatistics
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


def test_pinned_gates_lie_in_the_outer_bins() -> None:
    unit, statistics = PTU(3).pin("frozen"), GateStatistics()
    statistics("rnn", unit(torch.randn(2, 3), torch.randn(2, 3), return_gates=True)[1])
    (record,) = statistics.as_records()
    assert record["fine_tune"] == {"mean": 0, "std": 0, "histogram": [6] + [0] * (BINS - 1)}
    assert record["update"] == {"mean": 1, "std": 0, "histogram": [0] * (BINS - 1) + [6]}


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
    total = next(iter(statistics._sums["rnn"].values()))
    assert not total.requires_grad
