"""The loading and saving that all models share."""

from __future__ import annotations

import os
from typing import Any, Self

import torch
from transformers import PreTrainedModel

from ptu_seq.model_card import write_model_card


class SafetensorsModel(PreTrainedModel):
    """A transformers model that is read from safetensors alone, never from pickles."""

    def save_pretrained(  # type: ignore[override]
        self, save_directory: str | os.PathLike[str], *, is_main_process: bool = True, **kwargs: Any
    ) -> None:
        """Saves the model, and a model card for the hub where its user has not written one.

        Args:
            save_directory: the folder.
            is_main_process: whether this process writes, of several that train together.
            **kwargs: those of transformers' `save_pretrained`.
        """
        super().save_pretrained(save_directory, is_main_process=is_main_process, **kwargs)
        if is_main_process:
            write_model_card(save_directory)

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
        kwargs.setdefault("trust_remote_code", False)
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
