"""Cross-stitch units (Misra et al., CVPR 2016): features mixed by constants, not by gates."""

from __future__ import annotations

import copy
from typing import Any

import torch
from transformers import PreTrainedModel

from ptu_seq.linear_units import CrossStitch, LinearUnit
from ptu_seq.methods.base import Setting, Task, split_by_rate
from ptu_seq.methods.cross_stitch import unit_parameters
from ptu_seq.methods.vision.fine_tune import FineTune
from ptu_seq.models.ptu_vision import BLOCKS, EXAMPLE_SIZE
from ptu_seq.sites import attach


class CrossStitchTransfer(FineTune):
    """Fine-tuning stitched to the frozen source after each block.

    See :mod:`ptu_seq.methods.cross_stitch`; the units sit where those of `ptu` do.
    """

    name = "cross_stitch"
    grid = (
        {"learning_rate": 1e-3, "unit_learning_rate": 1e-2},
        {"learning_rate": 1e-3, "unit_learning_rate": 1e-1},
        {"learning_rate": 3e-3, "unit_learning_rate": 1e-2},
        {"learning_rate": 3e-4, "unit_learning_rate": 1e-2},
    )

    def build(self, source: PreTrainedModel, task: Task, setting: Setting) -> PreTrainedModel:
        """A copy of the source, stitched to another that stays frozen."""
        network = super().build(source, task, setting)
        return stitch(network, source, BLOCKS[source.config.model_type], CrossStitch)

    def parameter_groups(self, model: PreTrainedModel, setting: Setting) -> list[dict[str, Any]]:
        """Units and network, each at its own rate."""
        units = (unit_parameters(model), setting["unit_learning_rate"])
        return split_by_rate(model, [units], setting["learning_rate"])


def stitch(
    network: PreTrainedModel, source: PreTrainedModel, sites: list[str], unit: type[LinearUnit]
) -> PreTrainedModel:
    """Puts units between a classifier of images and a frozen copy of its source; in place.

    Args:
        network: the target.
        source: the trained source; it is left as it is.
        sites: patterns of the modules after which units sit.
        unit: their kind.
    """
    size = getattr(source.config, "image_size", EXAMPLE_SIZE)
    pixels = torch.zeros(1, source.config.num_channels, size, size, device=network.device)
    attach(
        network,
        copy.deepcopy(source),
        sites,
        example={"pixel_values": pixels},
        source_input=_pixels,
        linear=unit,
    )
    return network


def _pixels(pixel_values: torch.Tensor, **others: Any) -> dict[str, Any]:
    """What the source reads: the target's labels are not its own."""
    return {"pixel_values": pixel_values}
