"""Images as examples for training, and the classes that a network gives them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from ptu_seq.data.images import ImageSplit, prepare

Row = dict[str, Tensor]

EVALUATION_BATCH = 256


class ImageExamples(Dataset[Row]):
    """Images in the size and the colours that a network reads, made once for all epochs.

    Args:
        split: the images.
        size: height and width that the network reads.
        channels: 1 for grey, 3 for colour.
    """

    def __init__(self, split: ImageSplit, size: int, channels: int) -> None:
        self.pixels = prepare(split, size, channels)
        self.labels = torch.as_tensor(split.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Row:
        return {"pixel_values": self.pixels[index], "labels": self.labels[index]}


def stack(rows: Sequence[Row]) -> Row:
    """A batch."""
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


@torch.inference_mode()
def predict(model: nn.Module, examples: ImageExamples) -> list[int]:
    """The most probable class of every image, in their order."""
    model.eval()
    device = next(model.parameters()).device
    predictions = [
        model(pixel_values=pixels.to(device)).logits.argmax(-1).cpu()
        for pixels in examples.pixels.split(EVALUATION_BATCH)
    ]
    return torch.cat(predictions).tolist()
