"""PTULSTMCell and PTUGRUCell: identities, states and errors."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ptu_seq.nn import GRUCellState, LSTMCellState, PTUGRUCell, PTULSTMCell


def run(cell, xs, state=None, **inputs):
    """The hidden states of a loop over time, and the last state."""
    hidden = []
    for x in xs:
        state = cell(x, state, **inputs)
        hidden.append(state if isinstance(state, torch.Tensor) else state[0])
    return torch.stack(hidden), state


@pytest.mark.parametrize("shape", [(7, 3, 8), (7, 8)], ids=["batched", "unbatched"])
@pytest.mark.parametrize("bias", [True, False])
def test_pins_are_the_plain_cells(kind, shape, bias, same):
    source = kind.plain_cell(8, 5, bias)
    cell = kind.twin_cell.from_source(source, init="random")
    plain = kind.plain_cell(8, 5, bias)
    plain.load_state_dict(cell.target.state_dict())
    xs = torch.randn(*shape)
    hidden, state = run(cell.pin("target"), xs)
    expected, expected_state = run(plain, xs)
    same(hidden, expected)
    same(tuple(state)[: len(kind.parts(expected_state))], kind.parts(expected_state))
    same(run(cell.pin("frozen"), xs)[0], run(source, xs)[0])
    cell.unpin()
    assert not torch.allclose(run(cell, xs)[0], expected)


def test_identity_candidate_and_copied_target_are_the_source(kind, same):
    source = kind.plain_cell(8, 5)
    xs = torch.randn(7, 3, 8)
    same(run(kind.twin_cell.from_source(source), xs)[0], run(source, xs)[0])


def test_the_step_is_the_unit_of_both_cells(kind, same):
    """One step from a given state, spelt out; sizes unequal, the source with an input its own."""
    source = kind.plain_cell(6, 4)
    cell = kind.twin_cell(8, 5, source=source, candidate="tanh", candidate_init="random")
    x, source_x = torch.randn(3, 8), torch.randn(3, 6)
    if kind.plain is nn.LSTM:
        (h, c), source_first = torch.randn(2, 3, 5), tuple(torch.randn(2, 3, 4))
        state = cell(x, LSTMCellState(h, c, source_first), source_x)
        s, source_c = source(source_x, source_first)
        t, c = cell.target(x, (h, c))
        same(tuple(state), (cell.unit(s, t), c))
        same(state.source, (s, source_c))
    else:
        h, source_h = torch.randn(3, 5), torch.randn(3, 4)
        state = cell(x, GRUCellState(h, source_h), source_x)
        s = source(source_x, source_h)
        same(state.h, cell.unit(s, cell.target(x, h)))
        same(state.source_h, s)


def test_reorder_cache_follows_the_beams(kind, same):
    cell = kind.twin_cell(8, 5, source=kind.plain_cell(8, 4))
    xs, beams = torch.randn(7, 3, 8), torch.tensor([2, 2, 0])
    _, state = run(cell, xs)
    reordered = state.reorder_cache(beams)
    assert type(reordered) is type(state)
    x = torch.randn(3, 8)
    expected = run(cell, torch.cat([xs[:, beams], x.unsqueeze(0)]))[0][-1]
    torch.testing.assert_close(cell(x, reordered)[0], expected)


def test_states_can_be_copied(kind, same):
    cell = kind.twin_cell.from_source(kind.plain_cell(8, 5))
    with torch.no_grad():
        state = cell(torch.randn(3, 8))
    for copied in (copy.copy(state), copy.deepcopy(state)):
        assert type(copied) is type(state)
        same(tuple(copied), tuple(state))
        same(cell(torch.ones(3, 8), copied)[0], cell(torch.ones(3, 8), state)[0])


def test_gradients(kind):
    cell = kind.twin_cell(3, 3, source=kind.plain_cell(3, 2).double(), candidate="tanh")
    xs = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    constant = torch.randn(2, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda xs: run(cell, xs, source_input=constant)[0], xs, fast_mode=True
    )


def test_no_gradient_reaches_the_source(kind):
    source = kind.plain_cell(8, 4)
    cell = kind.twin_cell(8, 5, source=source).train()
    run(cell, torch.randn(7, 3, 8))[0].sum().backward()
    for module in (source, cell.source):
        assert all(parameter.grad is None for parameter in module.parameters())
    for module in (cell.target, cell.unit):
        assert all(parameter.grad is not None for parameter in module.parameters())
    assert not cell.source.training and source.training


def test_types_and_autocast(kind):
    cell = kind.twin_cell(8, 5, source=kind.plain_cell(8, 4), dtype=torch.bfloat16)
    assert run(cell, torch.randn(7, 3, 8, dtype=torch.bfloat16))[0].dtype == torch.bfloat16
    cell = kind.twin_cell(8, 5, source=kind.plain_cell(8, 4))
    xs = torch.randn(7, 3, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden, _ = run(cell, xs)
    torch.testing.assert_close(hidden.float(), run(cell, xs)[0], atol=0.05, rtol=0.05)


def test_compiles_without_graph_breaks(kind):
    cell = kind.twin_cell(8, 5, source=kind.plain_cell(8, 4))
    torch.compiler.reset()
    compiled = torch.compile(cell, fullgraph=True, backend="eager")
    xs = torch.randn(2, 3, 8)
    torch.testing.assert_close(run(compiled, xs)[0], run(cell, xs)[0])


def test_state_dict_and_deepcopy(kind, same):
    cell = kind.twin_cell(8, 5, source=kind.plain_cell(8, 4))
    other = kind.twin_cell(8, 5, source=kind.plain_cell(8, 4))
    other.load_state_dict(cell.state_dict())
    xs = torch.randn(7, 3, 8)
    same(run(other, xs)[0], run(cell, xs)[0])
    same(run(copy.deepcopy(cell), xs)[0], run(cell, xs)[0])


def test_a_plain_state_is_refused():
    x, h = torch.randn(3, 8), torch.zeros(3, 5)
    with pytest.raises(ValueError, match=r"plain \(h, c\), which lacks the source's"):
        PTULSTMCell.from_source(nn.LSTMCell(8, 5))(x, (h, h))
    with pytest.raises(ValueError, match="plain h, which lacks the source's"):
        PTUGRUCell.from_source(nn.GRUCell(8, 5))(x, h)


def test_errors_name_the_axis_and_both_sizes(kind):
    cell = kind.twin_cell(8, 5, source=kind.plain_cell(6, 4))
    x, source_x = torch.randn(3, 8), torch.randn(3, 6)
    state = cell(x, source_input=source_x)
    with pytest.raises(ValueError, match="8 features and the source reads 6.*source_input"):
        cell(x)
    with pytest.raises(ValueError, match="last axis of the input has size 6; 8 expected"):
        cell(source_x, source_input=source_x)
    with pytest.raises(ValueError, match="last axis of the source_input has size 8; 6 expected"):
        cell(x, source_input=x)
    with pytest.raises(ValueError, match="batch axis of the state's h has size 3.*input 2"):
        cell(x[:2], state, source_x[:2])
    with pytest.raises(ValueError, match="the input has 3 axes"):
        cell(x.unsqueeze(0), source_input=source_x)
    with pytest.raises(ValueError, match="hidden_size is 4 in the source and 5 in the target"):
        kind.twin_cell.from_source(kind.plain_cell(6, 4), hidden_size=5)
    with pytest.raises(ValueError, match="the source is Linear; a trained torch.nn"):
        kind.twin_cell(8, 5, source=nn.Linear(2, 2))
