"""PTUEmbedding and GatedEmbedding: mapping, padding, identities and errors."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ptu_seq.nn import GatedEmbedding, PTUEmbedding

# Target tokens 0 to 5: 0 is padding, 2 and 5 are unknown to the source.
MAPPING = [3, 7, -1, 0, 9, -1]
KNOWN, UNKNOWN = [1, 3, 4], [2, 5]
PINS = [None, "target", "frozen", "adapted"]


@pytest.fixture
def source() -> nn.Embedding:
    return nn.Embedding(10, 4)


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.tensor([[1, 2, 3, 0], [4, 5, 1, 1]])


@pytest.mark.parametrize("dim", [4, 6])
@pytest.mark.parametrize("pin", PINS)
def test_unknown_tokens_and_padding_are_the_target_alone(source, ids, dim, pin, same):
    embedding = PTUEmbedding(6, dim, 0, source=source, mapping=MAPPING, candidate="tanh")
    embedding.unit.pinned = pin
    output = embedding(ids)
    target = embedding.target(ids)
    for token in UNKNOWN:
        same(output[ids == token], target[ids == token])
    same(output[ids == 0], torch.zeros(1, dim))
    if pin != "target":
        for token in KNOWN:
            assert not torch.allclose(output[ids == token], target[ids == token])


def test_pins(source, ids, same):
    embedding = PTUEmbedding(6, 4, source=source, mapping=MAPPING)
    same(embedding.pin("target")(ids), embedding.target(ids))
    known = ids[:, :1]
    same(embedding.pin("frozen")(known), source(torch.tensor(MAPPING)[known]))
    free = embedding.unpin()(known)
    expected = embedding.unit(source(torch.tensor(MAPPING)[known]), embedding.target(known))
    same(free, expected)


@pytest.mark.parametrize("dim", [4, 6])
@pytest.mark.parametrize("pin", PINS)
def test_gated_embedding_takes_the_source_as_data(source, ids, dim, pin, same):
    embedding = PTUEmbedding(6, dim, 0, source=source, mapping=MAPPING)
    gated = GatedEmbedding(6, dim, 0, source_embedding_dim=4)
    weights = embedding.state_dict()
    gated.load_state_dict({name: weights[name] for name in gated.state_dict()})
    for layer in (embedding, gated):
        layer.unit.pinned = pin
    source_ids = torch.tensor(MAPPING)[ids]
    vectors = source(source_ids.clamp(min=0))
    same(gated(ids, vectors, source_ids >= 0), embedding(ids))


def test_from_source_copies_known_vectors(source, ids, same):
    embedding = PTUEmbedding.from_source(source, mapping=MAPPING, padding_idx=0)
    assert embedding.target.weight.shape == (6, 4)
    for token in KNOWN:
        same(embedding.target.weight[token], source.weight[MAPPING[token]])
    same(embedding.target.weight[0], torch.zeros(4))
    assert embedding.target.weight[UNKNOWN].ne(0).all()
    same(embedding(torch.tensor(KNOWN)), source(torch.tensor([7, 0, 9])))
    random = PTUEmbedding.from_source(source, init="random", mapping=MAPPING, padding_idx=0)
    assert not torch.isin(random.target.weight[KNOWN], source.weight).any()


def test_one_vocabulary_needs_no_mapping(same):
    source = nn.Embedding(10, 4, padding_idx=1)
    embedding = PTUEmbedding.from_source(source)
    ids = torch.arange(10)
    same(embedding(ids), source(ids))
    assert embedding.target.padding_idx == 1


def test_gradients_reach_the_target_and_the_unit_only(source, ids):
    embedding = PTUEmbedding(6, 6, 0, source=source, mapping=MAPPING)
    embedding(ids).square().sum().backward()
    assert source.weight.grad is None and embedding.source.weight.grad is None
    grad = embedding.target.weight.grad
    assert grad is not None
    assert not grad[0].any() and grad[1:].abs().sum(-1).gt(0).all()
    assert all(parameter.grad is not None for parameter in embedding.unit.parameters())


def test_gradcheck(ids):
    gated = GatedEmbedding(6, 3, 0, source_embedding_dim=2, candidate="tanh", dtype=torch.float64)
    vectors = torch.randn(2, 4, 2, dtype=torch.float64)

    def run(weight):
        return torch.func.functional_call(gated, {"target.weight": weight}, (ids, vectors))

    # Row 0 is padding, whose gradient torch.nn.Embedding leaves out: it is constant here too.
    rows = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros(1, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda rows: run(torch.cat([zero, rows])), rows)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 0)])
def test_any_shape_of_ids(source, shape):
    embedding = PTUEmbedding(6, 5, source=source, mapping=torch.tensor(MAPPING))
    assert embedding(torch.zeros(shape, dtype=torch.long)).shape == (*shape, 5)


def test_types_and_autocast(source, ids):
    embedding = PTUEmbedding(6, 5, source=source, mapping=MAPPING)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = embedding(ids)
    torch.testing.assert_close(output, embedding(ids), atol=0.05, rtol=0.05)
    low = PTUEmbedding(6, 5, source=source, mapping=MAPPING, dtype=torch.bfloat16)
    assert low(ids).dtype == low.source.weight.dtype == torch.bfloat16
    assert source.weight.dtype == torch.float32


def test_compiles_without_graph_breaks(source, ids):
    embedding = PTUEmbedding(6, 5, 0, source=source, mapping=MAPPING)
    torch.compiler.reset()
    compiled = torch.compile(embedding, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(ids), embedding(ids))


def test_the_mapping_is_saved_with_the_weights(source, ids, same):
    embedding = PTUEmbedding(6, 5, 0, source=source, mapping=MAPPING)
    other = PTUEmbedding(6, 5, 0, source=nn.Embedding(10, 4), mapping=[-1] * 6)
    other.load_state_dict(embedding.state_dict())
    same(other(ids), embedding(ids))
    same(copy.deepcopy(embedding)(ids), embedding(ids))


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ([0, 1], r"the mapping has shape \(2,\); one source id for each of the 6"),
        ([0, 1, 2, 3, 4, 10], "the mapping holds 10; the source has 10 tokens, so -1 to 9"),
        ([0, 1, 2, 3, 4, -2], "the mapping holds -2"),
        (torch.zeros(6), "the mapping is of type torch.float32; integers"),
        (None, "num_embeddings is 10 in the source and 6 in the target"),
    ],
)
def test_mappings_that_do_not_fit(source, mapping, message):
    with pytest.raises(ValueError, match=message):
        PTUEmbedding(6, 4, source=source, mapping=mapping)


def test_errors(source, ids):
    with pytest.raises(ValueError, match="embedding_dim is 4 in the source and 5 in the target"):
        PTUEmbedding.from_source(source, embedding_dim=5)
    with pytest.raises(ValueError, match="the source is Tensor; a trained torch.nn.Embedding"):
        PTUEmbedding(6, 4, source=source.weight.data)
    gated = GatedEmbedding(6, 5, source_embedding_dim=4)
    with pytest.raises(ValueError, match="last axis of the source activation has size 3"):
        gated(ids, torch.randn(2, 4, 3))
    with pytest.raises(ValueError, match=r"axes of known are \(2, 3\) and those of ids \(2, 4\)"):
        gated(ids, torch.randn(2, 4, 4), torch.ones(2, 3, dtype=torch.bool))
