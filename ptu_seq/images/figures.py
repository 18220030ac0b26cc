"""Figures of an image study: what source and targets look like, and where the gates are open.

matplotlib is imported where a figure is made, and its global state (pyplot) is never touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ptu_seq.data.images import ImageDataset, ImageSplit
from ptu_seq.images.batches import ImageExamples
from ptu_seq.images.networks import NetworkShape
from ptu_seq.images.transfer_data import ImageData
from ptu_seq.models import PTUForImageClassification
from ptu_seq.records import read_json
from ptu_seq.report.fonts import write_png
from ptu_seq.report.style import INK, MUTED
from ptu_seq.unit import PTUGates

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Classes shown of each data set, and test images whose gates are shown, at most.
SHOWN_CLASSES, SHOWN_IMAGES = 10, 6


def write_image_figures(output_dir: Path, data: ImageData, shape: NetworkShape) -> list[Path]:
    """Draws `figures/examples.png`, and `figures/gate_maps.png` of the best model if there is one.

    Args:
        output_dir: the study's folder, with `model/`.
        data: its images.
        shape: of the networks, which says how they see them.

    Returns:
        The files written.
    """
    folder = output_dir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    sets = {"source": data.source, **data.targets}
    written = [plot_examples(sets, shape, folder / "examples.png")]
    kept = read_json(output_dir / "model" / "run.json")
    if kept:
        target = data.targets.get(kept["cell"]["target"])
        if target is not None:
            model = PTUForImageClassification.from_pretrained(output_dir / "model")
            written.append(plot_gate_maps(model, target, shape, folder / "gate_maps.png"))
    return written


def plot_examples(sets: dict[str, ImageDataset], shape: NetworkShape, path: Path) -> Path:
    """Draws one training image of each class as the networks see it, a row a data set.

    Args:
        sets: the data sets by what their rows are called.
        shape: of the networks.
        path: the PNG file to write.

    Returns:
        `path`.
    """
    columns = min(SHOWN_CLASSES, max(len(one.label_names) for one in sets.values()))
    figure, axes = _grid(len(sets), columns)
    for row, (name, dataset) in zip(axes, sets.items(), strict=True):
        images = _seen(_one_of_each(dataset.train), shape)
        for ax, image in zip(row, images, strict=False):
            _show(ax, image)
        title = dataset.name if name == "source" else name
        role = "source" if name == "source" else "target"
        _title(row[0], f"{role}: {Path(title).name}")
    return write_png(figure, path)


def plot_gate_maps(
    model: PTUForImageClassification, dataset: ImageDataset, shape: NetworkShape, path: Path
) -> Path:
    """Draws test images and, beside each, the update gate at every site.

    Of feature maps the mean gate over channels is shown at each position; where a site has no
    positions, or its gates hold for whole channels, a column of its features, ordered by their mean
    gate over the images. Dark is 0, the target's own activation; bright is 1, the source's.

    Args:
        model: with units.
        dataset: whose test images are shown.
        shape: of the network.
        path: the PNG file to write.

    Returns:
        `path`.
    """
    images = _seen(_one_of_each(dataset.test), shape)[:SHOWN_IMAGES]
    gates: dict[str, Tensor] = {}

    def note(site: str, both: PTUGates) -> None:
        gates[site] = both.update

    model.gates(images.to(model.device), on_gates=note)
    figure, axes = _grid(len(images), 1 + len(gates))
    shown: Any = None
    for i, row in enumerate(axes):
        _show(row[0], images[i])
        for ax, gate in zip(row[1:], gates.values(), strict=True):
            shown = ax.imshow(_gate_image(gate, i), cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for ax, name in zip(axes[0], ["image", *gates], strict=True):
        _title(ax, name)
    bar = figure.colorbar(shown, ax=[ax for row in axes for ax in row], shrink=0.6)
    bar.set_label("update gate", color=MUTED, fontsize=9.5)
    return write_png(figure, path)


def _gate_image(gate: Tensor, index: int) -> np.ndarray:
    """One image's gates, as a picture."""
    has_positions = gate.dim() == 4 and gate.shape[2] * gate.shape[3] > 1
    if has_positions:
        return gate[index].mean(dim=0).cpu().numpy()
    features = gate.flatten(1)
    order = features.mean(dim=0).argsort(descending=True)
    return features[index, order].unsqueeze(1).cpu().numpy()


def _one_of_each(split: ImageSplit) -> ImageSplit:
    """The first image of every class."""
    _, first = np.unique(split.labels, return_index=True)
    return split.select(first[:SHOWN_CLASSES])


def _seen(split: ImageSplit, shape: NetworkShape) -> Tensor:
    return ImageExamples(split, shape.image_size, shape.num_channels).pixels


def _show(ax: Axes, image: Tensor) -> None:
    pixels = ((image + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy()
    ax.imshow(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=1)


def _title(ax: Axes, text: str) -> None:
    ax.set_title(text, fontsize=9.5, color=INK, loc="left")


def _grid(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.1 * columns + 0.6, 1.25 * rows + 0.3), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    return figure, [list(row) for row in axes]
