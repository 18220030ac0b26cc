"""Which source tokens a translator looked at for each token it wrote, and how far its gates opened.

matplotlib is imported where a figure is made, and its global state (pyplot) is never touched.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ptu_seq.errors import UserError
from ptu_seq.models import PTUForConditionalGeneration
from ptu_seq.report.fonts import write_png
from ptu_seq.report.style import INK, MUTED
from ptu_seq.unit import PTUGates

CELL, MARGIN = 0.28, 1.6  # inches


@dataclass(frozen=True)
class Alignment:
    """The attention of one translation.

    Args:
        source_tokens: what the encoder read, `S` tokens.
        target_tokens: what the decoder wrote, `T` tokens.
        weights: the attention's, averaged over layers and heads where there are several, `(T, S)`.
        update_gates: of each of the decoder's units the mean over neurons, `(T,)`, by its site;
            empty where the model has none.
    """

    source_tokens: tuple[str, ...]
    target_tokens: tuple[str, ...]
    weights: NDArray[np.float64]
    update_gates: dict[str, NDArray[np.float64]] = field(default_factory=dict)


@torch.inference_mode()
def align(
    model: Any,
    source_ids: Sequence[int],
    target_ids: Sequence[int],
    source_tokens: Sequence[str],
    target_tokens: Sequence[str],
) -> Alignment:
    """The alignment of a sentence and its translation, whoever made it.

    Args:
        model: any of transformers' encoder-decoders, in eval mode.
        source_ids: the sentence, its end token included.
        target_ids: the translation, its end token included.
        source_tokens: the sentence's tokens as text.
        target_tokens: the translation's.
    """
    source = torch.tensor([list(source_ids)], device=model.device)
    target = torch.tensor([list(target_ids)], device=model.device)
    layers = model(input_ids=source, labels=target, output_attentions=True).cross_attentions
    weights = torch.stack([heads[0].float().mean(0) for heads in layers]).mean(0)
    gates: dict[str, NDArray[np.float64]] = {}
    if isinstance(model, PTUForConditionalGeneration):

        def keep(site: str, at_tokens: PTUGates) -> None:
            if not site.startswith("encoder"):
                gates[site] = at_tokens.update.float().mean(-1).cpu().numpy()

        model.gates(source, keep, labels=target)
    return Alignment(tuple(source_tokens), tuple(target_tokens), weights.cpu().numpy(), gates)


def check_plot(path: str | Path) -> None:
    """Checks, before any work is done, that a figure can be drawn and written.

    Raises:
        UserError: if not.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise UserError(f"--attention_plot {path}: accepted is a file that ends in .png.")
    if not path.parent.is_dir():
        raise UserError(f"--attention_plot {path}: there is no folder {path.parent}.")
    if path.is_dir():
        raise UserError(f"--attention_plot {path} is a folder; accepted is a file.")
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError(
            "--attention_plot needs matplotlib; install it, or ptu-seq[recipes], with pip."
        )


def plot_alignment(alignment: Alignment, path: str | Path) -> Path:
    """Draws an alignment: source tokens down, target tokens across, update gates beneath.

    Darker is more, from 0 to 1: the share of the attention that a source token gets (columns sum to
    1), and how much of the frozen parent's activation replaces the child's.

    Args:
        alignment: what to draw.
        path: the PNG file to write.

    Returns:
        `path`.

    Raises:
        UserError: if it cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style: dict[str, Any] = {"fontsize": 8, "color": INK, "parse_math": False}
    rows, columns = len(alignment.source_tokens), len(alignment.target_tokens)
    gates = alignment.update_gates
    heights = [rows, *([len(gates)] if gates else [])]
    width = max(4.5, CELL * columns + 2 * MARGIN)
    height = max(2.5, CELL * sum(heights) + MARGIN + (0.6 if gates else 0))
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(
        len(heights), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    panels = [("attention", alignment.weights.T, alignment.source_tokens, "Blues")]
    if gates:
        panels.append(("update gate", np.stack(list(gates.values())), tuple(gates), "Oranges"))
    for ax, (title, values, names, colours) in zip(axes, panels, strict=True):
        image = ax.imshow(values, aspect="auto", cmap=colours, vmin=0, vmax=1)
        ax.set_yticks(range(len(names)), names, **style)
        ax.set_title(title, loc="left", fontsize=9, color=MUTED)
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
        figure.colorbar(image, ax=ax, ticks=[0, 1], pad=0.01, aspect=8)
    axes[0].tick_params(labelbottom=not gates)
    axes[-1].set_xticks(range(columns), alignment.target_tokens, rotation=90, **style)
    try:
        return write_png(figure, path)
    except OSError as error:
        raise UserError(
            f"--attention_plot {path}: the figure cannot be written: {error.strerror}."
        ) from error
