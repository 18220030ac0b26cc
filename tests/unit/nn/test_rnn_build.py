"""Making, copying and saving PTULSTM and PTUGRU, and the errors they raise."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from ptu_seq.nn import PTULSTM

# Building and saving.


def test_from_source_takes_over_what_it_is_not_told(kind):
    source = kind.plain(8, 5, 2, False, True, 0.3, True)
    layer = kind.twin.from_source(source, level="step", candidate="tanh")
    assert repr(layer.target) == repr(source)
    assert layer.level == "step" and layer.units[1][1].candidate == "tanh"
    random = kind.twin.from_source(source, init="random", hidden_size=7, dropout=0.1)
    assert (random.target.hidden_size, random.target.dropout) == (7, 0.1)


def test_deepcopy_and_state_dict(kind, level, same):
    layer = kind.twin(8, 5, 2, source=kind.plain(8, 3, 2), level=level)
    kind.perturb(layer.units)
    x = torch.randn(6, 4, 8)
    same(copy.deepcopy(layer)(x), layer(x))
    other = kind.twin(8, 5, 2, source=kind.plain(8, 3, 2), level=level)
    other.load_state_dict(layer.state_dict())
    same(other(x), layer(x))
    names = {name for name in layer.state_dict() if name.startswith("target.")}
    assert names == {f"target.{name}" for name in kind.plain(8, 5, 2).state_dict()}


# Errors.


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (nn.LSTM(8, 5, 3), "num_layers is 3 in the source and 2 in the target"),
        (nn.LSTM(8, 5, 2, bidirectional=True), "bidirectional is True in the source and False"),
        (nn.LSTM(8, 5, 2, proj_size=3), "proj_size is 3 in the source"),
        (nn.GRU(8, 5, 2), "the source is GRU; a trained torch.nn.LSTM"),
        (nn.LSTM, "the source is LSTM itself; a trained torch.nn.LSTM"),
        (None, "the source is NoneType"),
    ],
)
def test_sources_that_do_not_fit(source, message):
    with pytest.raises(ValueError, match=message):
        PTULSTM(8, 5, 2, source=source)


def test_a_source_that_diverged_is_refused():
    source = nn.LSTM(8, 5)
    source.load_state_dict({k: v / 0 for k, v in source.state_dict().items()})
    with pytest.raises(ValueError, match="weight_ih_l0 has values that are not finite"):
        PTULSTM(8, 5, source=source)


def test_from_source_names_what_cannot_be_copied(kind):
    source = kind.plain(8, 5)
    with pytest.raises(ValueError, match="hidden_size is 5 in the source and 6 in the target"):
        kind.twin.from_source(source, hidden_size=6)
    with pytest.raises(ValueError, match="init is 'copy'; accepted are source, random"):
        kind.twin.from_source(source, init="copy")
    with pytest.raises(ValueError, match="level is 'time'; accepted are layer, step"):
        kind.twin.from_source(source, level="time")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((6, 4, 7), "last axis of the input has size 7; 8 expected"),
        ((8,), "the input has 1 axes"),
        ((0, 4, 8), "the input has no time step"),
    ],
)
def test_inputs_that_do_not_fit(kind, shape, message):
    layer = kind.twin.from_source(kind.plain(8, 5))
    with pytest.raises(ValueError, match=message):
        layer(torch.randn(*shape))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 5), "layer axis of the state's h has size 1; 2 expected"),
        ((2, 3, 5), "batch axis of the state's h has size 3; 4 expected"),
        ((2, 4, 6), "hidden axis of the state's h has size 6; 5 expected"),
        ((2, 5), "state's h has 2 axes; 3 expected"),
    ],
)
def test_states_that_do_not_fit(kind, shape, message):
    layer = kind.twin.from_source(kind.plain(8, 5, 2))
    with pytest.raises(ValueError, match=message):
        layer(torch.randn(6, 4, 8), kind.hx(*shape))


def test_a_state_of_the_other_kind_is_refused():
    layer = PTULSTM.from_source(nn.LSTM(8, 5))
    with pytest.raises(ValueError, match=r"the state has 1 parts; 2 expected \(h, c\)"):
        layer(torch.randn(6, 4, 8), torch.zeros(1, 4, 5))


def test_source_inputs_of_other_positions_are_refused(kind, sequences):
    layer = kind.twin.from_source(kind.plain(8, 5))
    x = torch.randn(6, 4, 8)
    for other, message in (
        (torch.randn(5, 4, 8), "time axis of the source_input has size 5, that of the input 6"),
        (torch.randn(6, 3, 8), "batch axis of the source_input has size 3, that of the input 4"),
        (torch.randn(6, 8), "the source_input has 2 axes and the input 3"),
        (sequences("packed", 8), "the source_input is packed but the input is not"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(x, source_input=other)
    packed, unsorted = sequences("packed", 8), sequences("packed_unsorted", 8)
    with pytest.raises(ValueError, match="different lengths or in different orders"):
        layer(packed, source_input=unsorted)
    with pytest.raises(ValueError, match="the input is packed but the source_input is not"):
        layer(packed, source_input=x)
