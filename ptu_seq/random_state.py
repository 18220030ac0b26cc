"""The state of all random number generators, as what a checkpoint can hold."""

from __future__ import annotations

import random

import numpy as np
import torch

from ptu_seq.checkpoints import State


def random_state() -> State:
    """The state of every generator that a training may draw from."""
    name, keys, position, has_normal, normal = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": [name, np.asarray(keys).tolist(), position, has_normal, normal],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: State) -> None:
    """Sets the generators to what :func:`random_state` gave, read from a checkpoint or not."""
    version, internal, normal = state["python"]
    random.setstate((version, tuple(internal), normal))
    name, keys, *others = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *others))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
