"""Uses a model once when it is loaded, so that what does not fit is told before a line is read.

On the CPU, as an id that a GPU's table of tokens lacks ends the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ptu_seq.errors import UserError
from ptu_seq.saved_models import CANNOT_LOAD, panics_as_errors, reason_of, tokens_read

if TYPE_CHECKING:
    from ptu_seq.inference import Classifier
    from ptu_seq.translation.inference import Translator


def try_classifier(classifier: Classifier, name: str) -> None:
    """Has a classifier read two texts and the last token of its vocabulary.

    Texts are cut to what the network reads from now on, if its tokenizer told of more.

    Args:
        classifier: just loaded.
        name: what the user calls it.

    Raises:
        UserError: if it cannot.
    """
    try:
        sides = 1 + classifier.is_pair
        _limit(classifier.model, classifier.tokenizer, sides)
        with panics_as_errors():
            classifier.probabilities([("a",) * sides, ("a a a",) * sides])
        last = _last(classifier.tokenizer).expand(1, sides)
        types = {"token_type_ids": torch.arange(sides)[None]} if classifier.is_pair else {}
        with torch.inference_mode():
            logits = classifier.model(input_ids=last, **types).logits
        for label in range(logits.shape[-1]):
            _ = classifier.model.config.id2label[label]
    except CANNOT_LOAD as error:
        raise UserError(
            f"--model {name}: its tokenizer and its network do not fit together "
            f"({reason_of(error)})."
        ) from error


@torch.inference_mode()
def try_translator(translator: Translator, name: str, flag: str) -> None:
    """Has a translator translate the last token of its vocabulary.

    Args:
        translator: just loaded.
        name: what the user calls it.
        flag: what the user gave the name with.

    Raises:
        UserError: if it cannot.
    """
    model, tokenizers = translator.model, translator.tokenizers
    try:
        for tokenizer in (tokenizers.source, tokenizers.target):
            _limit(model, tokenizer, sides=1)
        written = model.generate(
            _last(tokenizers.source), max_new_tokens=1, num_beams=1, num_return_sequences=1
        )
        with panics_as_errors():
            tokenizers.encode_source(["a"])
            tokenizers.decode_target(written)
    except CANNOT_LOAD as error:
        raise UserError(
            f"{flag} {name}: its vocabularies and its network do not fit together "
            f"({reason_of(error)})."
        ) from error


def _limit(model: Any, tokenizer: Any, sides: int) -> None:
    """Makes a tokenizer's limit no longer than what the network reads of one side."""
    if tokenizer.model_max_length < 1:
        raise ValueError(f"model_max_length is {tokenizer.model_max_length}")
    read = tokens_read(model.config)
    if read is not None and tokenizer.model_max_length > read // sides:
        tokenizer.model_max_length = read // sides


def _last(tokenizer: Any) -> torch.Tensor:
    return torch.tensor([[max(tokenizer.get_vocab().values())]])
