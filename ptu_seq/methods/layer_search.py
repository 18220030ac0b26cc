"""Layer search (Yosinski et al., 2014; Mou et al., 2016): every cut of frozen, tuned and random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from ptu_seq.methods.base import MOST_SETTINGS, Setting, Task, copy_source, plain_network
from ptu_seq.methods.fine_tune import FineTune
from ptu_seq.methods.layers import Layer, layers
from ptu_seq.methods.unfreezing import put_to_sleep
from ptu_seq.models import RNNForSequenceClassification


class LayerSearch(FineTune):
    """The search by trial that the Parameter Transfer Unit is to make unnecessary.

    From the input upwards the first layers are frozen, the next ones start from the source and are
    tuned, the rest start at random: all cuts are tried on validation data, at each learning rate.
    Of `n` layers that is `(n + 1) (n + 2) / 2` networks a rate, so 6 or 10 where other methods have
    one; `scratch`, `fine_tune` and `frozen` are among them.
    """

    name = "layer_search"
    joins = False
    grid: tuple[Setting, ...] = (
        {"learning_rate": 3e-3, "classifier_learning_rate": 3e-2},
        {"learning_rate": 1e-3, "classifier_learning_rate": 3e-3},
    )

    def settings(self, depth: int, count: int = MOST_SETTINGS) -> tuple[Setting, ...]:
        """Every cut at the first learning rates."""
        return all_cuts(self.grid[:count], depth)

    def build(
        self, source: RNNForSequenceClassification, task: Task, setting: Setting
    ) -> RNNForSequenceClassification:
        """Layers frozen, tuned and new, as the setting says."""
        network, new = plain_network(source, task), plain_network(source, task)
        copy_source(source, network)
        cut(layers(network), layers(new), setting)
        return network


def all_cuts(grid: tuple[Setting, ...], depth: int) -> tuple[Setting, ...]:
    """The settings of a search: how many layers are frozen, and how many after them tuned.

    Args:
        grid: learning rates.
        depth: layers but for the one that always learns.

    Example:
        >>> [(s["frozen"], s["tuned"]) for s in all_cuts(({"learning_rate": 1.0},), 2)]
        [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)]
    """
    return tuple(
        {**rates, "frozen": frozen, "tuned": tuned}
        for rates in grid
        for frozen in range(depth + 1)
        for tuned in range(depth + 1 - frozen)
    )


def cut(ordered: Sequence[Layer], new: Sequence[Layer], setting: Setting) -> None:
    """Freezes the first layers of a network and gives the last ones new weights; in place.

    Args:
        ordered: all layers of a network that starts from the source, the most general first; the
            last one, the classifier, always learns.
        new: those of a network of its shape, from which the new weights come.
        setting: "frozen" and "tuned" are numbers of layers, from the first; one without "frozen"
            has all layers tuned.
    """
    *body, head = ordered
    *fresh, fresh_head = new
    frozen = setting.get("frozen", 0)
    kept = frozen + setting.get("tuned", len(body))
    for layer in body[:frozen]:
        put_to_sleep(layer)
    for ours, theirs in zip(body[kept:], fresh[kept:], strict=True):
        _copy(theirs, ours)
    if kept < len(body):  # the source's classifier knows nothing of new features
        _copy(fresh_head, head)


@torch.no_grad()
def _copy(theirs: Layer, ours: Layer) -> None:
    for weight, new in zip(ours.parameters, theirs.parameters, strict=True):
        weight.copy_(new)
    for buffer, new in zip(_buffers(ours.modules), _buffers(theirs.modules), strict=True):
        buffer.copy_(new)


def _buffers(modules: list[nn.Module]) -> Iterator[Any]:
    for module in modules:
        yield from module.buffers(recurse=False)
