"""A pretrained encoder as the source of sentence classification: copied once, used by every run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerFast, set_seed

from ptu_seq.data.bundled_encoders import encoder_folder
from ptu_seq.errors import UserError
from ptu_seq.kept_source import check_weights, weights_note
from ptu_seq.model_files import check_files, check_network
from ptu_seq.models import EncoderForSequenceClassification, PTUEncoderForSequenceClassification
from ptu_seq.records import content_digest, read_json, write_json
from ptu_seq.saved_models import (
    CANNOT_LOAD,
    check_folder,
    panics_as_errors,
    reason_of,
    tokens_read,
)
from ptu_seq.source import content_hash
from ptu_seq.study import Study
from ptu_seq.trainer_setup import quiet_transformers


def prepare_encoder(name: str, seed: int, max_length: int, study: Study) -> Path:
    """Puts a pretrained encoder and its tokenizer into a study's folder, or finds them there.

    Args:
        name: "minilm", a folder, or a hub name.
        seed: of the classifier on it, which no method keeps.
        max_length: tokens that will be read of each text.
        study: in whose folder they are kept, as `source`.

    Returns:
        The folder of network and tokenizer.

    Raises:
        UserError: if they cannot be loaded or used, or the study has begun with others.
    """
    folder = study.output_dir / "source"
    note = read_json(folder / "source.json")
    quiet_transformers()
    place = encoder_folder(name)
    check_folder(place, "--source_model")
    check_files(place, "--source_model")
    set_seed(seed)
    try:
        config = AutoConfig.from_pretrained(place, trust_remote_code=False)
        check_network(place, config, AutoModel, "--source_model")
        model = EncoderForSequenceClassification.from_encoder(place)
        with panics_as_errors():
            tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except UserError:
        raise
    except CANNOT_LOAD as error:
        raise UserError(
            f"--source_model {name}: no encoder with weights in safetensors and a tokenizer could "
            f"be loaded ({reason_of(error)})."
        ) from error
    _check(name, model, tokenizer, max_length)
    digest = content_digest([content_hash(model.encoder), tokenizer.backend_tokenizer.to_str()])
    if note.get("digest") == digest:
        check_weights(folder, note)
        return folder
    if note and study.is_begun:
        raise UserError(
            f"--source_model {name} is not the encoder that {study.output_dir} has results on: "
            "choose another --output_dir."
        )
    (folder / "source.json").unlink(missing_ok=True)  # until the new one is complete
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "source.json", {"encoder": name, "digest": digest, **weights_note(folder)})
    return folder


def _check(
    name: str, model: EncoderForSequenceClassification, tokenizer: Any, max_length: int
) -> None:
    """Raises UserError for what would fail in the middle of a study.

    The tokenizer then knows how much the encoder reads, for those who use the model later.
    """
    kind = model.encoder.config.model_type
    known = PTUEncoderForSequenceClassification.blocks
    if kind not in known:
        raise UserError(
            f"--source_model {name}: its kind is {kind!r}; accepted are {', '.join(known)}."
        )
    if not isinstance(tokenizer, PreTrainedTokenizerFast) or tokenizer.pad_token_id is None:
        raise UserError(
            f"--source_model {name}: its tokenizer must be a fast one with a padding token."
        )
    longest = tokens_read(model.encoder.config)
    assert longest is not None  # all known kinds have a table of positions
    if max_length > longest:
        raise UserError(
            f"--max_length {max_length}: the encoder {name} reads {longest} tokens at most."
        )
    tokenizer.model_max_length = min(tokenizer.model_max_length, longest)
