"""Plain convolutional classifiers: the source, and the target of every method but the unit."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from transformers.modeling_outputs import ImageClassifierOutput

from ptu_seq.models.labels import classification_loss
from ptu_seq.models.safetensors_model import SafetensorsModel
from ptu_seq.models.vision_config import CNNConfig


class CNNForImageClassification(SafetensorsModel):
    """A trunk of convolutional blocks and a linear classifier.

    Args:
        config: the network's shape.

    Shape:
        - pixel_values: `(batch, num_channels, image_size, image_size)`
        - labels: `(batch,)`; logits: `(batch, num_labels)`

    Example:
        >>> import torch
        >>> model = CNNForImageClassification(CNNConfig(image_size=16, num_labels=3))
        >>> model(torch.zeros(2, 1, 16, 16)).logits.shape
        torch.Size([2, 3])
        >>> [name for name, _ in model.trunk.named_children()]
        ['conv1', 'conv2', 'dense']
    """

    config_class = CNNConfig
    config: CNNConfig
    base_model_prefix = "trunk"
    main_input_name = "pixel_values"
    accepts_loss_kwargs = True

    def __init__(self, config: CNNConfig) -> None:
        super().__init__(config)
        blocks, features = (_lenet if config.architecture == "lenet" else _vgg)(config)
        self.trunk = nn.Sequential(OrderedDict(blocks))
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(features, len(config.label_names))
        self.post_init()

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> ImageClassifierOutput:
        """Logits, and the loss if there are labels.

        Args:
            pixel_values: images.
            labels: the right classes.
            num_items_in_batch: images in all of an optimisation step, which Trainer gives when it
                accumulates gradients; the loss is the sum over images divided by it.
        """
        logits = self.classifier(self.dropout(self.trunk(pixel_values)))
        loss = classification_loss(self, logits, labels, num_items_in_batch)
        return ImageClassifierOutput(loss=loss, logits=logits)

    def _init_weights(self, module: nn.Module) -> None:
        """Draws weights before a ReLU as He et al. (2015), the others as torch does."""
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module is not self.classifier:
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.BatchNorm2d, nn.Linear)):
            module.reset_parameters()


#: Named blocks of a trunk, and the features that the last one returns.
Blocks = tuple[dict[str, nn.Module], int]


def _lenet(config: CNNConfig) -> Blocks:
    first, second, features = config.width, 2 * config.width, 8 * config.width
    pixels = config.final_size**2
    return {
        "conv1": nn.Sequential(
            nn.Conv2d(config.num_channels, first, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)
        ),
        "conv2": nn.Sequential(nn.Conv2d(first, second, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        "dense": nn.Sequential(nn.Flatten(), nn.Linear(second * pixels, features), nn.ReLU()),
    }, features


def _vgg(config: CNNConfig) -> Blocks:
    widths = [config.num_channels, config.width, 2 * config.width, 4 * config.width]
    blocks: dict[str, nn.Module] = {
        f"block{i}": nn.Sequential(
            *_convolution(widths[i - 1], widths[i]),
            *_convolution(widths[i], widths[i]),
            nn.MaxPool2d(2),
        )
        for i in (1, 2, 3)
    }
    blocks["pool"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return blocks, widths[-1]


def _convolution(before: int, after: int) -> list[nn.Module]:
    return [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
