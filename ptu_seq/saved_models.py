"""Loading what a user names on the command line, or saying in one sentence why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from transformers import AutoConfig

from ptu_seq import formats
from ptu_seq.errors import UserError
from ptu_seq.model_files import check_files, check_network
from ptu_seq.records import read_json

Tokenizer = TypeVar("Tokenizer")

#: Damaged files have transformers, tokenizers and safetensors raise whatever their parsers raise.
CANNOT_LOAD = Exception

#: Characters of what they say that are passed on.
LONGEST_REASON = 300

#: Kinds of encoder whose positions are counted from the one after the padding token's id.
_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "mpnet")


def load_model(
    name: str,
    auto_class: Any,
    load_tokenizer: Callable[[str], Tokenizer],
    kind: str,
    flag: str = "--model",
) -> tuple[Any, Tokenizer]:
    """Loads a model, on the CPU, and its tokenizer.

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
    check_files(name, flag)
    try:
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        check_network(name, config, auto_class, flag)
        model, loading = auto_class.from_pretrained(
            name, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
        with panics_as_errors():
            tokenizer = load_tokenizer(name)
    except UserError:
        raise
    except CANNOT_LOAD as error:
        what = "not a" if Path(name).is_dir() else "neither a folder nor a hub's"
        raise UserError(
            f"{flag} {name}: {what} {kind} that can be loaded ({reason_of(error)})."
        ) from error
    if loading["missing_keys"]:
        raise UserError(
            f"{flag} {name}: its weights lack {sorted(loading['missing_keys'])[0]}, so it was not "
            f"trained as a {kind}."
        )
    return model.eval(), tokenizer


@contextmanager
def panics_as_errors() -> Iterator[None]:
    """Raises RuntimeError where the Rust code of tokenizers panics, which is no Exception."""
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RuntimeError(str(error)) from error


def to_accelerator(model: nn.Module) -> None:
    """Moves a model to the accelerator, where there is one."""
    model.to(torch.accelerator.current_accelerator(check_available=True) or "cpu")


def reason_of(error: BaseException) -> str:
    """What an error says, in one line of reasonable length and without its last point."""
    said = " ".join(str(error).split()) or type(error).__name__
    return (said if len(said) <= LONGEST_REASON else f"{said[:LONGEST_REASON]} ...").rstrip(".")


def tokens_read(config: Any) -> int | None:
    """How many tokens a network with a table of positions reads; None of one that has none."""
    config = getattr(config, "target_config", config)  # of a network with units
    config = getattr(config, "encoder_config", config)
    positions = getattr(config, "max_position_embeddings", None)
    if positions is None:
        return None
    after_padding = config.model_type in _POSITIONS_AFTER_PADDING
    return int(positions - (config.pad_token_id + 1 if after_padding else 0))


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
