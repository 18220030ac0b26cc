"""Attention against its equation written out, one pair of positions at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ptu_seq.models.attention import (
    Attention,
    BahdanauAttention,
    LuongGeneralAttention,
    make_attention,
)

KINDS = ("bahdanau", "luong_general", "luong_dot")
QUERY_SIZE, LENGTHS = 6, (5, 3)


@pytest.fixture(params=KINDS)
def attention(request: pytest.FixtureRequest) -> Attention:
    value_size = QUERY_SIZE if request.param == "luong_dot" else 4
    return make_attention(request.param, QUERY_SIZE, value_size).double()


@pytest.fixture
def sentences(attention: Attention) -> tuple[Tensor, Tensor]:
    """Values of two sentences, of which the second is padded with values that would win."""
    values = torch.randn(2, max(LENGTHS), attention.value_size, dtype=torch.double)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS).unsqueeze(1)
    values[~mask] = 1e3
    return values, mask


def score(attention: Attention, query: Tensor, value: Tensor) -> float:
    """The equation in the paper's words, for one query and one value."""
    if isinstance(attention, BahdanauAttention):
        projected = attention.key.weight @ value + attention.key.bias
        hidden = torch.tanh(attention.query.weight @ query + projected)
        return float(attention.energy.weight[0] @ hidden)
    if isinstance(attention, LuongGeneralAttention):
        return float(query @ (attention.key.weight @ value))
    return float(query @ value)


def expected(attention: Attention, query: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    powers = [math.exp(score(attention, query, value)) for value in values]
    weights = torch.tensor(powers, dtype=torch.double) / sum(powers)
    return torch.stack([w * v for w, v in zip(weights, values, strict=True)]).sum(0), weights


@pytest.mark.parametrize("beams", [1, 3])
def test_equals_its_equation(beams, attention, sentences):
    values, mask = sentences
    query = torch.randn(2 * beams, 4, QUERY_SIZE, dtype=torch.double)
    with torch.no_grad():
        context, weights = attention(query, attention.remember(values, mask))
        for row in range(len(query)):
            length = LENGTHS[row // beams]
            for step in range(4):
                wanted = expected(attention, query[row, step], values[row // beams, :length])
                torch.testing.assert_close(context[row, step], wanted[0])
                torch.testing.assert_close(weights[row, step, :length], wanted[1])
                assert (weights[row, step, length:] == 0).all()


def test_steps_one_by_one_are_those_at_once(attention, sentences):
    query = torch.randn(2, 4, QUERY_SIZE, dtype=torch.double)
    memory = attention.remember(*sentences)
    steps = [attention(query[:, i : i + 1], memory)[0] for i in range(4)]
    torch.testing.assert_close(torch.cat(steps, dim=1), attention(query, memory)[0])


def test_keys_are_computed_once(attention, sentences, monkeypatch):
    memory = attention.remember(*sentences)
    monkeypatch.setattr(type(attention), "keys", None)  # calling it now would fail
    attention(torch.randn(2, 1, QUERY_SIZE, dtype=torch.double), memory)


def test_rows_must_be_shared_out_evenly(attention, sentences):
    memory = attention.remember(*sentences)
    with pytest.raises(ValueError, match="3 rows of queries .* 2 sentences"):
        attention(torch.randn(3, 1, QUERY_SIZE, dtype=torch.double), memory)


def test_dot_needs_equal_sizes():
    with pytest.raises(ValueError, match="queries have 3 features and values 4"):
        make_attention("luong_dot", 3, 4)
