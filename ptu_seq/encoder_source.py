"""A pretrained encoder as the source of sentence classification: copied once, used by every run."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast, set_seed

from ptu_seq.data.bundled_encoders import encoder_folder
from ptu_seq.errors import UserError
from ptu_seq.models import EncoderForSequenceClassification
from ptu_seq.records import read_json, write_json
from ptu_seq.saved_models import CANNOT_LOAD, check_folder
from ptu_seq.source import content_hash
from ptu_seq.study import Study
from ptu_seq.trainer_setup import quiet_transformers


def prepare_encoder(name: str, seed: int, study: Study) -> Path:
    """Puts a pretrained encoder and its tokenizer into a study's folder, or finds them there.

    Args:
        name: "minilm", a folder, or a hub name.
        seed: of the classifier on it, which no method keeps.
        study: in whose folder they are kept, as `source`.

    Returns:
        The folder of network and tokenizer.

    Raises:
        UserError: if they cannot be loaded, or the study has begun with other weights.
    """
    folder = study.output_dir / "source"
    note = read_json(folder / "source.json")
    quiet_transformers()
    place = encoder_folder(name)
    check_folder(place, "--source_model")
    set_seed(seed)
    try:
        model = EncoderForSequenceClassification.from_encoder(place)
        tokenizer = AutoTokenizer.from_pretrained(place)
    except CANNOT_LOAD as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise UserError(
            f"--source_model {name}: no encoder with weights in safetensors and a tokenizer could "
            f"be loaded ({reason})."
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UserError(f"--source_model {name}: its tokenizer is none of the fast ones.")
    weights = content_hash(model)
    if note.get("weights") == weights:
        return folder
    if note and study.is_begun:
        raise UserError(
            f"--source_model {name} is not the encoder that {study.output_dir} has results on: "
            "choose another --output_dir."
        )
    (folder / "source.json").unlink(missing_ok=True)  # until the new one is complete
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_json(folder / "source.json", {"encoder": name, "weights": weights})
    return folder
