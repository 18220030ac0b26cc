"""Streaming statistics of gates at every site: by neuron, by step and by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from ptu_seq.models.token_gates import Tokens
from ptu_seq.unit import PTUGates

BINS = 20

#: A gate is saturated below the first or above the second.
LOW, HIGH = 0.05, 0.95

#: Steps of sentences that are told apart: those from here on count in all but the means by step.
STEPS = 256

#: Tokens listed at each end, and how often one has to occur to be among them.
LISTED, OCCURRENCES = 30, 5

Spell = Callable[[str, list[int]], list[str]]
"""The tokens of ids that are read at a site, as text."""


class GateStatistics:
    r"""Both gates at every site: mean, spread, histogram and share that is saturated, in one pass.

    An instance is the `on_gates` of models and layers; from a model's `token_gates` it learns which
    token each row of gates belongs to, and at which step of its sentence. Sums are of float64:

    .. math::
        \bar g = \frac{1}{n} \sum_i g_i, \qquad
        \sigma = \sqrt{\frac{1}{n} \sum_i g_i^2 - \bar g^2}

    By neuron and by step they run over gates, by token over the tokens' mean gates. Of feature maps
    the channels are the neurons. What a site's output is made of is told by its "shares", the means
    of :math:`1 - u` ("target"), :math:`u (1 - f)` ("kept") and :math:`u f` ("retuned").

    Example:
        >>> statistics = GateStatistics()
        >>> statistics("embedding", PTUGates(torch.zeros(2, 3), torch.tensor([[0.0, 0.5, 1.0]])))
        >>> update = statistics.as_records()[0]["update"]
        >>> update["mean"], update["high"]
        (0.5, 0.3333333333333333)
        >>> statistics.arrays()["embedding/update/neuron_mean"].tolist()
        [0.0, 0.5, 1.0]
    """

    def __init__(self) -> None:
        self._sites: dict[str, dict[str, _Sums]] = {}
        #: By site: sums of what is the source's as it was and re-tuned, and how many gates.
        self._shares: dict[str, Tensor] = {}

    def __call__(self, site: str, gates: PTUGates, tokens: Tokens | None = None) -> None:
        """Adds the gates of one batch.

        Args:
            site: where they are.
            gates: `(..., features)`, or of maps `(batch, channels, height, width)`.
            tokens: what the rows of `(tokens, features)` are gates of; None where they are not of
                tokens.
        """
        fine_tune, update = (gate.detach().double() for gate in gates)
        retuned = update.mul(fine_tune).sum()
        shares = torch.stack([update.sum() - retuned, retuned, update.new_tensor(update.numel())])
        self._shares[site] = self._shares.get(site, torch.zeros(3)) + shares.cpu()
        for name, gate in gates._asdict().items():
            maps = gate.dim() == 4
            values = (gate.movedim(1, -1) if maps else gate).detach().double().flatten(0, -2)
            sums = self._sites.setdefault(site, {}).setdefault(name, _Sums())
            sums.add(values)
            if tokens is not None:
                sums.add_tokens(values, tokens)

    def as_records(self, spell: Spell | None = None) -> list[dict[str, Any]]:
        """One record a site, in the order in which they were first seen, for JSON.

        Args:
            spell: if given, records of sites that see tokens also hold "tokens": those whose mean
                update gate is the most and the least open.
        """
        records = []
        for site, gates in self._sites.items():
            record: dict[str, Any] = {"site": site}
            record |= {name: sums.summary() for name, sums in gates.items()}
            kept, retuned, count = self._shares[site].tolist()
            shares = {"kept": kept / count, "retuned": retuned / count}
            record["shares"] = {"target": 1 - sum(shares.values()), **shares}
            if spell is not None and gates["update"].tokens.numel():
                record["tokens"] = _listed(gates["update"].by_token(), site, spell)
            records.append(record)
        return records

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is too long for JSON, by `site/gate/name`.

        Returns:
            `neuron_mean`, `neuron_std`, `neuron_low`, `neuron_high` of every gate; of those at
            tokens `step_mean`, `step_std`, `step_count` from step 0 on, and `token_id`,
            `token_mean`, `token_std`, `token_count` of the tokens that occurred.
        """
        return {
            f"{site}/{gate}/{name}": array
            for site, gates in self._sites.items()
            for gate, sums in gates.items()
            for name, array in sums.arrays().items()
        }


class _Sums:
    """Sums of one gate at one site.

    Shape:
        - histogram: `(BINS,)`; neurons: sum, sum of squares, low and high, `(4, features)`
        - steps, tokens: count, sum and sum of squares, `(3, steps)` and `(3, largest id + 1)`
    """

    def __init__(self) -> None:
        self.rows = 0
        self.histogram, self.neurons = torch.zeros(BINS), torch.zeros(1)
        self.steps = self.tokens = torch.zeros(3, 0)

    def add(self, values: Tensor) -> None:
        """Adds gates, `(rows, features)` of float64."""
        sums = [values.sum(0), values.square().sum(0)]
        saturated = [(values < LOW).sum(0), (values > HIGH).sum(0)]
        self.rows += len(values)
        self.neurons = self.neurons + torch.stack([*sums, *saturated]).cpu()
        self.histogram = self.histogram + torch.histc(values, BINS, min=0.0, max=1.0).cpu()

    def add_tokens(self, values: Tensor, tokens: Tokens) -> None:
        """Adds the same gates by the steps and the tokens that they are of."""
        mean, square = values.mean(1), values.square().mean(1)
        near = tokens.steps < STEPS
        steps = _sum_by(tokens.steps[near], mean[near], square[near])
        self.steps = _total(self.steps, steps)
        self.tokens = _total(self.tokens, _sum_by(tokens.ids, mean, mean.square()))

    def summary(self) -> dict[str, Any]:
        """All neurons together."""
        count = self.rows * self.neurons.shape[1]
        mean, square, low, high = (self.neurons.sum(1) / count).tolist()
        return {
            "mean": mean,
            "std": max(square - mean**2, 0.0) ** 0.5,
            "histogram": [int(n) for n in self.histogram.tolist()],
            "low": low,
            "high": high,
        }

    def by_token(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Id, mean, std and count of the tokens that occurred."""
        (ids,) = self.tokens[0].nonzero(as_tuple=True)
        count, total, squares = self.tokens[:, ids]
        return ids, *_moments(total / count, squares / count), count

    def arrays(self) -> dict[str, NDArray[Any]]:
        """See :meth:`GateStatistics.arrays`."""
        mean, square, low, high = self.neurons / self.rows
        mean, std = _moments(mean, square)
        found = {"neuron_mean": mean, "neuron_std": std, "neuron_low": low, "neuron_high": high}
        if self.tokens.numel():
            count, total, squares = self.steps  # no step before the last is without tokens
            step_mean, step_std = _moments(total / count, squares / count)
            ids, token_mean, token_std, occurrences = self.by_token()
            found |= {"step_mean": step_mean, "step_std": step_std, "step_count": count}
            found |= {"token_id": ids, "token_mean": token_mean, "token_std": token_std}
            found |= {"token_count": occurrences}
        whole = ("token_id", "token_count", "step_count")
        return {
            name: array.numpy().astype(np.int64 if name in whole else np.float32)
            for name, array in found.items()
        }


def _moments(mean: Tensor, square: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation from the means of values and of their squares."""
    return mean, (square - mean.square()).clamp(min=0).sqrt()


def _sum_by(index: Tensor, *values: Tensor) -> Tensor:
    """How often each index occurs and the sums of its values, `(1 + values, largest index + 1)`."""
    return torch.stack([torch.bincount(index), *(torch.bincount(index, v) for v in values)]).cpu()


def _total(a: Tensor, b: Tensor) -> Tensor:
    """The sum, of which the narrower is filled up with 0."""
    width = max(a.shape[1], b.shape[1])
    return F.pad(a, (0, width - a.shape[1])) + F.pad(b, (0, width - b.shape[1]))


def _listed(by_token: Sequence[Tensor], site: str, spell: Spell) -> dict[str, list[dict[str, Any]]]:
    """The tokens with the most and the least open gates, of those that occurred often enough."""
    ids, mean, _, count = (x[by_token[3] >= OCCURRENCES] for x in by_token)
    order = mean.argsort(descending=True, stable=True)

    def entries(rows: Tensor) -> list[dict[str, Any]]:
        tokens = spell(site, ids[rows].tolist())
        numbers = zip(tokens, mean[rows].tolist(), count[rows].tolist(), strict=True)
        return [{"token": t, "mean": m, "count": int(n)} for t, m, n in numbers]

    return {"most_source": entries(order[:LISTED]), "least_source": entries(order.flip(0)[:LISTED])}
