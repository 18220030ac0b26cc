"""An image classifier with units: a frozen source beside a target of the same architecture."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageClassification, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from ptu_seq.models.attached_classifier import AttachedClassifier
from ptu_seq.models.labels import classification_loss
from ptu_seq.models.vision_config import PTUVisionConfig
from ptu_seq.nn.gated import OnGates

#: The blocks after which units sit, by the kind of network.
BLOCKS = {
    "ptu_seq_cnn": ["trunk.*"],
    "resnet": ["resnet.embedder", "resnet.encoder.stages.*"],
    # The last convolution before the maps are halved, and the very last one.
    "mobilenet_v1": [f"mobilenet_v1.layer.{i}" for i in (1, 5, 9, 21, 25)],
}

#: Height and width of the image that shows attach() the shapes, where no configuration says.
EXAMPLE_SIZE = 64


class PTUForImageClassification(AttachedClassifier):
    r"""A target classifier of images that draws on a frozen source through units.

    The networks may be :class:`~ptu_seq.models.CNNForImageClassification` or any of transformers'
    image classifiers. Units sit after the blocks and, where source and target have the same labels,
    on the logits. With all units pinned to "target" the model is the target network; pinned to
    "frozen" it is the source network, under the target's classifier where that has no unit.

    Make one with :meth:`from_source`, load one with `from_pretrained`.

    Args:
        config: shapes of both networks and options of the units.

    Shape:
        - pixel_values: `(batch, channels, height, width)`
        - labels: `(batch,)`; logits: `(batch, num_labels)`

    Raises:
        ValueError: where the networks cannot meet, see :func:`ptu_seq.sites.attach`.

    Example:
        >>> from ptu_seq.models import CNNConfig, CNNForImageClassification
        >>> source = CNNForImageClassification(CNNConfig(image_size=16, num_labels=2))
        >>> model = PTUForImageClassification.from_source(source, id2label={0: "a", 1: "b", 2: "c"})
        >>> model(torch.zeros(2, 1, 16, 16)).logits.shape
        torch.Size([2, 3])
        >>> [site for site, _ in model.units()]
        ['trunk.conv1', 'trunk.conv2', 'trunk.dense']
    """

    config_class = PTUVisionConfig
    source_class = AutoModelForImageClassification
    config: PTUVisionConfig
    blocks = BLOCKS
    main_input_name = "pixel_values"

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> ImageClassifierOutput:
        """Logits, and the loss if there are labels: see :class:`CNNForImageClassification`."""
        logits = self.target(pixel_values=pixel_values).logits
        loss = classification_loss(self, logits, labels, num_items_in_batch)
        return ImageClassifierOutput(loss=loss, logits=logits)

    def gates(self, pixel_values: Tensor, on_gates: OnGates) -> None:
        """Reads images in eval mode, and calls `on_gates(site, gates)` for every unit.

        Args:
            pixel_values: images.
            on_gates: is given the name of a site and the gates there: `(batch, features)`,
                `(batch, channels, height, width)` or, with gates per channel,
                `(batch, channels, 1, 1)`.
        """
        self._report_gates(on_gates, pixel_values=pixel_values)

    @staticmethod
    def _example(network: PreTrainedModel) -> dict[str, Tensor]:
        config: Any = network.config
        size = getattr(config, "image_size", EXAMPLE_SIZE)
        height, width = (size, size) if isinstance(size, int) else size
        shape = (1, config.num_channels, height, width)
        return {"pixel_values": torch.zeros(shape, device=network.device, dtype=network.dtype)}
