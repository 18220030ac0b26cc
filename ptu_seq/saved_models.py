"""Loading what a user names on the command line, or saying in one sentence why not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from ptu_seq import formats
from ptu_seq.errors import UserError
from ptu_seq.records import read_json

Tokenizer = TypeVar("Tokenizer")

#: What transformers and safetensors raise for damaged files.
CANNOT_LOAD = (
    *(OSError, ValueError, TypeError, AttributeError, RuntimeError, KeyError, ImportError),
    SafetensorError,
)


def load_model(
    name: str,
    auto_class: Any,
    load_tokenizer: Callable[[str], Tokenizer],
    kind: str,
    flag: str = "--model",
) -> tuple[Any, Tokenizer]:
    """Loads a model and its tokenizer, on the accelerator where there is one.

    Args:
        name: a folder written by `save_pretrained` (safetensors only), or a name on the hub.
        auto_class: transformers' Auto class for the kind of model.
        load_tokenizer: loads the tokenizer that lies beside it.
        kind: what the model should be, for messages: "sequence classifier".
        flag: what the user gave the name with, for messages.

    Returns:
        The model in eval mode, and its tokenizer.

    Raises:
        UserError: if there is no such folder, or it holds no trained model of this kind.
    """
    check_folder(name, flag)
    try:
        model, loading = auto_class.from_pretrained(
            name, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        tokenizer = load_tokenizer(name)
    except CANNOT_LOAD as error:
        what = "not a" if Path(name).is_dir() else "neither a folder nor a hub's"
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise UserError(f"{flag} {name}: {what} {kind} that can be loaded ({reason}).") from error
    if loading["missing_keys"]:
        raise UserError(
            f"{flag} {name}: its weights lack {sorted(loading['missing_keys'])[0]}, so it was not "
            f"trained as a {kind}."
        )
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return model.to(accelerator or "cpu").eval(), tokenizer


def check_folder(name: str, flag: str) -> None:
    """Checks that a name is a folder with a model that we can read, or may be one on the hub.

    Raises:
        UserError: if it is not.
    """
    path = Path(name)
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"{flag} {name}: the folder holds no config.json; accepted is a folder written "
                "by save_pretrained, such as the model/ of a recipe's output."
            )
        refusal = formats.MODEL.refusal(read_json(path / "config.json"))
        if refusal is not None:
            raise UserError(f"{flag} {name}: it {refusal}.")
    elif path.exists():
        raise UserError(f"{flag} {name}: a file; accepted is the folder that holds the model.")
    elif not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", name):
        raise UserError(f"{flag} {name}: there is no such folder.")
