"""What is left of gated layers where units are pinned for good: modules of collapsed models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn, Unpack, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ptu_seq.nn.embedding import GatedEmbedding
from ptu_seq.nn.gated import GatedRNN, Level, OnGates, report_at
from ptu_seq.nn.layer import Report, gate_output, gate_steps, layer_weights, run_layer
from ptu_seq.nn.layout import Layout, Sequences
from ptu_seq.nn.options import UnitOptions
from ptu_seq.nn.stack import first_state, state_of_layer
from ptu_seq.unit import PTU, Candidate, Pin, PTUGates


class PinnedPTU(PTU):
    """A unit that is pinned for good and holds only what its state needs.

    That is nothing for "target"; the projection, where sizes differ, for "frozen"; and the
    candidate's weights as well for "adapted". What it gives is what a :class:`~ptu_seq.PTU` of the
    same weights gives that is pinned to the same state, to the bit.

    Args:
        source_size: features of the source activation.
        target_size: features of the target activation and of the result.
        state: what it is pinned to.
        candidate: the nonlinearity of the re-tuned source.

    Example:
        >>> unit = PinnedPTU(5, 4, "adapted")
        >>> {name: tuple(p.shape) for name, p in unit.named_parameters()}
        {'weight_candidate': (4, 4), 'bias_candidate': (4,), 'projection.weight': (4, 5),
         'projection.bias': (4,)}
    """

    def __init__(
        self, source_size: int, target_size: int, state: Pin, candidate: Candidate = "linear"
    ) -> None:
        nn.Module.__init__(self)  # a unit's own would make all weights
        self.source_size, self.target_size = source_size, target_size
        self.candidate, self.gate_dropout, self.pinned = candidate, 0.0, state
        self.projection = (
            nn.Identity()
            if state == "target" or source_size == target_size
            else nn.Linear(source_size, target_size)
        )
        if state == "adapted":
            self.weight_candidate = nn.Parameter(torch.eye(target_size))
            self.bias_candidate = nn.Parameter(torch.zeros(target_size))

    @torch.no_grad()
    def take(self, unit: PTU) -> None:
        """Copies what it needs from a whole unit of the same sizes."""
        if isinstance(self.projection, nn.Linear):
            self.projection.load_state_dict(unit.projection.state_dict())
        if self.pinned == "adapted":
            first = 2 * unit.target_size
            self.weight_candidate.copy_(unit.weight_source[first:])
            self.bias_candidate.copy_(unit.bias[first:])

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draws the projection anew and makes the candidate the identity."""
        if isinstance(self.projection, nn.Linear):
            self.projection.reset_parameters()
        if self.pinned == "adapted":
            nn.init.eye_(self.weight_candidate)
            nn.init.zeros_(self.bias_candidate)

    def candidate_product(self, s: Tensor) -> Tensor:
        """See :meth:`ptu_seq.PTU.candidate_product`."""
        return self._product(s, self.weight_candidate, self.bias_candidate)

    def pin(self, state: Pin) -> PTU:
        """Accepts the state that it is pinned to.

        Raises:
            ValueError: for any other: the weights for it are gone.
        """
        if state != self.pinned:
            self._refuse()
        return self

    def unpin(self) -> PTU:
        """Raises ValueError: the gates' weights are gone."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ValueError(
            f"PTU: this unit was collapsed while pinned to {self.pinned!r}, and holds the weights "
            "for nothing else; pin the model that was collapsed."
        )


def make_unit(
    source_size: int, target_size: int, state: Pin | None, **options: Unpack[UnitOptions]
) -> PTU:
    """A unit that is pinned for good, or one with gates where `state` is None."""
    if state is None:
        return PTU(source_size, target_size, **options)
    return PinnedPTU(source_size, target_size, state, options["candidate"])


class PaddingEmbedding(nn.Module):
    """What is left of an embedding whose tokens nothing reads: the padding token's vector.

    Args:
        embedding_dim: features of the vector.
        padding_idx: the padding token.

    Shape:
        - ids: `(...)`; output: `(..., embedding_dim)`, that vector for every token
    """

    vector: Tensor

    def __init__(self, embedding_dim: int, padding_idx: int) -> None:
        super().__init__()
        self.padding_idx = padding_idx
        self.register_buffer("vector", torch.zeros(embedding_dim))

    def forward(self, ids: Tensor) -> Tensor:
        """The vector, for each of the tokens."""
        return self.vector.expand(*ids.shape, -1)


class CollapsedEmbedding(GatedEmbedding):
    """A gated embedding made of given parts.

    Args:
        target: the target's vectors, or only that of padding where nothing else is read.
        unit: mixes, or is pinned for good.
    """

    def __init__(self, target: nn.Embedding | PaddingEmbedding, unit: PTU) -> None:
        nn.Module.__init__(self)
        self.target = cast(nn.Embedding, target)
        self.unit = unit


class CollapsedRNN(GatedRNN):
    """The layers of a gated LSTM or GRU that something reads, with what is left of their units.

    Where all of the lowest layer's units are pinned to the source's side, no target layer lies
    there and no input is read.

    Args:
        rnn_class: torch.nn.LSTM or GRU.
        states: what the units of each layer that is left are pinned to, by direction; None where
            gates act.
        first: the number of the first of these layers in the network that was collapsed.
        input_size: features of the input, or of the layer below, which is gone.
        hidden_size: features of the hidden state, per direction.
        source_hidden_size: those of the source's.
        dropout: probability of dropout after every layer but the last, in training.
        level: "layer" or "step".
        **unit_options: options of the units that still have gates, and the candidate of all.

    Shape:
        As torch.nn.LSTM with `batch_first`.
    """

    def __init__(
        self,
        rnn_class: type[nn.LSTM] | type[nn.GRU],
        states: Sequence[Sequence[Pin | None]],
        first: int,
        *,
        input_size: int,
        hidden_size: int,
        source_hidden_size: int,
        dropout: float,
        level: Level,
        **unit_options: Unpack[UnitOptions],
    ) -> None:
        nn.Module.__init__(self)
        self.first, self.dropout, self.source_hidden_size = first, dropout, source_hidden_size
        self.lends_first = is_lent(states[0])
        layers = len(states) - self.lends_first
        if layers:
            self.target = rnn_class(
                input_size,
                hidden_size,
                layers,
                batch_first=True,
                dropout=dropout if layers > 1 else 0.0,
                bidirectional=len(states[0]) == 2,
            )
        self.units = nn.ModuleList(
            nn.ModuleList(
                make_unit(source_hidden_size, hidden_size, state, **unit_options) for state in layer
            )
            for layer in states
        )
        # Where every layer is one network's alone, no unit stands inside a recurrence.
        mixed = any(set(layer) != {"target"} for layer in states[self.lends_first :])
        self.level = level if mixed else "layer"

    def forward(
        self,
        x: Sequences | None,
        source_hidden: Sequence[Sequences | None],
        on_gates: OnGates | None = None,
    ) -> Sequences:
        """The output of the last layer.

        Args:
            x: the input; None where the lowest layer is lent.
            source_hidden: the source's output at each layer that is left; None where no unit reads
                it.
            on_gates: is called with each unit's place and gates: see :meth:`GatedLSTM.unroll`.
        """
        entering = source_hidden[0] if x is None else x
        assert entering is not None
        layout = Layout.of(entering, True, type(self).__name__)
        features = self.source_hidden_size * len(cast(nn.ModuleList, self.units[0]))
        lent = [
            None if hidden is None else layout.enter(hidden, features, "source's output")
            for hidden in source_hidden
        ]
        data = None if x is None else layout.enter(x, self.target.input_size, "input")
        for i, (units, s) in enumerate(zip(self.units, lent, strict=True)):
            report = report_at(on_gates, self.first + i, layout)
            if data is None:
                assert s is not None
                data = _lend(cast(Sequence[PTU], units), s, report)
            else:
                layer = i - self.lends_first
                data = self._run(cast(Sequence[PTU], units), s, layer, layout, data, report)
            if i + 1 < len(lent):
                data = F.dropout(data, self.dropout, self.training)
        assert data is not None
        return layout.leave(data)

    def _run(
        self,
        units: Sequence[PTU],
        s: Tensor | None,
        layer: int,
        layout: Layout,
        data: Tensor,
        report: Report | None,
    ) -> Tensor:
        """A layer that the target network has."""
        target, sizes = self.target, layout.batch_sizes
        state = state_of_layer(target, layer, first_state(target, layout, data, None))
        if s is not None:
            gate_layer = gate_output if self.level == "layer" else gate_steps
            return gate_layer(units, s, target, layer, data, sizes, state, report)[0]
        t, _ = run_layer(target, layer_weights(target, layer), data, sizes, state)
        if report is not None:
            for direction, t_d in enumerate(t.chunk(len(units), dim=-1)):
                report(direction, PTUGates(torch.zeros_like(t_d), torch.zeros_like(t_d)))
        return t


def is_lent(states: Sequence[Pin | None]) -> bool:
    """Whether a layer's output is the source's, of which the target computes nothing."""
    return set(states) <= {"frozen", "adapted"}


def _lend(units: Sequence[PTU], s: Tensor, report: Report | None) -> Tensor:
    by_direction = []
    for direction, (unit, s_d) in enumerate(zip(units, s.chunk(len(units), dim=-1), strict=True)):
        assert unit.pinned is not None
        h = unit.lend(unit.pinned, s_d)
        by_direction.append(h)
        if report is not None:
            fine_tune = torch.full_like(h, float(unit.pinned == "adapted"))
            report(direction, PTUGates(fine_tune, torch.ones_like(h)))
    return by_direction[0] if len(by_direction) == 1 else torch.cat(by_direction, dim=-1)
