"""Checks a saved model's folder, which may come from anybody, before a network is built of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedConfig

from ptu_seq.errors import UserError
from ptu_seq.records import read_json

#: Fields of a configuration that say how many layers are built.
_LAYERS = re.compile(r"(^|_)(layers?|depths?|blocks)$")

#: A network may be as many times as large as its weights' file (which may be of 8-bit numbers),
#: and as many bytes larger: buffers are not in it.
TIMES, SLACK = 4, 2**28


def check_files(name: str, flag: str) -> None:
    """Checks that a model's configuration asks for no more layers than there are weights.

    Args:
        name: the folder; another name is one on the hub, and is not checked.
        flag: what the user gave it with, for messages.

    Raises:
        UserError: if it does, or if the folder holds adapters, which may be pickled.
    """
    folder = Path(name)
    if (folder / "adapter_config.json").exists():
        raise UserError(
            f"{flag} {name}: it holds adapters (adapter_config.json); accepted is a model with its "
            "adapters merged into it."
        )
    tensors, size = _count_tensors(folder), _weight_bytes(folder)
    if tensors is None:
        return
    for field, number in _numbers(read_json(folder / "config.json")):
        if _LAYERS.search(field) and number > tensors:
            raise UserError(
                f"{flag} {name}: config.json has {field} {number:.0f}, but the weights are "
                f"{tensors} tensors, so they do not belong together."
            )
        if field == "num_labels" and number > size:
            raise UserError(
                f"{flag} {name}: config.json has {field} {number:.0f}, but the weights are only "
                f"{size} bytes, so they do not belong together."
            )


def check_network(name: str, config: PreTrainedConfig, auto_class: Any, flag: str) -> None:
    """Checks that a network takes no more memory than its weights' file makes likely.

    Args:
        name: the folder; another name is one on the hub, and is not checked.
        config: the network's configuration.
        auto_class: transformers' Auto class that makes the network.
        flag: what the user gave the name with, for messages.

    Raises:
        UserError: if it takes more, as weights that the file lacks would be made anew.
    """
    folder = Path(name)
    if _count_tensors(folder) is None:
        return
    try:
        with torch.device("meta"):
            network = auto_class.from_config(config, trust_remote_code=False)
    except Exception:  # which loading tells better
        return
    tensors = (*network.parameters(), *network.buffers())
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    size = _weight_bytes(folder)
    if needed > TIMES * size + SLACK:
        raise UserError(
            f"{flag} {name}: config.json describes a network of {needed:,} bytes, but the weights "
            f"are {size:,} bytes, so they do not belong together."
        )


def _weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _count_tensors(folder: Path) -> int | None:
    """How many tensors the weights are; None where they cannot be read, which loading tells."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    try:
        if whole.is_file():
            with safe_open(whole, "pt") as file:
                return len(file.keys())
        if index.is_file():
            return len(json.loads(index.read_bytes())["weight_map"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every whole number of a configuration with its field's name, those of inner ones too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield name, value
