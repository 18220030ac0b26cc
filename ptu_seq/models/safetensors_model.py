"""The loading that all models share."""

from __future__ import annotations

import os
from typing import Any, Self

import torch
from transformers import PreTrainedModel


class SafetensorsModel(PreTrainedModel):
    """A transformers model that is read from safetensors alone, never from pickles."""

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> Self:
        """Loads a saved model; its logits are those of the model that was saved, to the bit.

        Args:
            pretrained_model_name_or_path: folder or hub name.
            *args: those of transformers' `from_pretrained`.
            **kwargs: likewise.

        Returns:
            The model; with `output_loading_info=True` a pair of the model and the information.
        """
        kwargs.setdefault("use_safetensors", True)
        loaded = super().from_pretrained(pretrained_model_name_or_path, *args, **kwargs)
        _align(loaded[0] if isinstance(loaded, tuple) else loaded)
        return loaded


@torch.no_grad()
def _align(model: PreTrainedModel) -> None:
    """Moves weights that were mapped from a file, at any address, to where torch would put them.

    Matrix products round by how their operands lie in memory.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
