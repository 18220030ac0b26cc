"""Layer search (Yosinski et al., 2014; Mou et al., 2016): every cut of frozen, tuned and random."""

from __future__ import annotations

from transformers import PreTrainedModel

from ptu_seq.methods.base import MOST_SETTINGS, Setting, Task
from ptu_seq.methods.layer_search import all_cuts, cut
from ptu_seq.methods.layers import layers
from ptu_seq.methods.vision.base import copy_source, plain_network
from ptu_seq.methods.vision.fine_tune import FineTune


class LayerSearch(FineTune):
    """All cuts, each at each learning rate: :mod:`ptu_seq.methods.layer_search`."""

    name = "layer_search"
    joins = False
    grid: tuple[Setting, ...] = ({"learning_rate": 1e-3}, {"learning_rate": 3e-3})

    def settings(self, depth: int, count: int = MOST_SETTINGS) -> tuple[Setting, ...]:
        """Every cut at the first learning rates."""
        return all_cuts(self.grid[:count], depth)

    def build(self, source: PreTrainedModel, task: Task, setting: Setting) -> PreTrainedModel:
        """Layers frozen, tuned and new, as the setting says."""
        network, new = plain_network(source, task), plain_network(source, task)
        copy_source(source, network)
        cut(layers(network), layers(new), setting)
        return network
