"""Model folders from anybody: no code and no pickle in them is executed, no memory filled."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ptu_seq.errors import UserError
from ptu_seq.inference import Classifier, classify_lines
from ptu_seq.models import EncoderForSequenceClassification
from ptu_seq.translation.inference import Translator, translate
from tests.unit.fuzz.models import saved


class Trap:
    """Whoever unpickles it touches a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def plant_pickle(path: Path, marker: Path, kind: str = "pickle") -> None:
    with path.open("wb") as file:
        (pickle.dump if kind == "pickle" else torch.save)(Trap(marker), file)


def plant_code(path: Path, marker: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"from pathlib import Path; Path({str(marker)!r}).touch()")


def copy_of(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(saved(name), folder, dirs_exist_ok=True))


def change(path: Path, **fields: Any) -> None:
    """Changes fields of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_bytes()), **fields}))


def test_the_trap_springs_where_pickles_are_loaded(place, marker):
    plant_pickle(place / "a.bin", marker)
    pickle.loads((place / "a.bin").read_bytes())
    assert marker.exists()
    marker.unlink()


@pytest.mark.parametrize("kind", ["pickle", "torch"])
@pytest.mark.parametrize("command", ["classify", "explain"])
def test_pickled_weights_are_never_read(command, kind, place, marker, refuse):
    copy_of("ptu", place)
    (place / "model.safetensors").unlink()
    plant_pickle(place / "pytorch_model.bin", marker, kind)
    assert "model.safetensors" in refuse(command, "--model", str(place))


def test_a_pretrained_encoder_is_not_unpickled_either(place, marker):
    copy_of("bert", place)
    (place / "model.safetensors").unlink()
    plant_pickle(place / "pytorch_model.bin", marker, "torch")
    with pytest.raises(OSError, match="model.safetensors"):
        EncoderForSequenceClassification.from_encoder(place)


@pytest.mark.parametrize("command", ["classify", "explain", "export", "collapse"])
def test_adapters_which_may_be_pickled_are_refused(command, place, marker, refuse):
    copy_of("ptu", place)
    (place / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2}')
    plant_pickle(place / "adapter_model.bin", marker, "torch")
    further = {"export": [str(place / "a.pt2")], "collapse": ["--dataset", "tweets", "--dry_run"]}
    said = refuse(command, "--model", str(place), *further.get(command, []))
    assert "adapters merged into it" in said


@pytest.mark.parametrize(("command", "base"), [("classify", "bert"), ("translate", "ptu_mt")])
def test_the_code_of_an_unknown_kind_of_model_is_never_executed(
    command, base, place, marker, refuse
):
    copy_of(base, place)
    plant_code(place / "own.py", marker)
    references = dict.fromkeys(
        ("AutoModel", "AutoModelForSequenceClassification", "AutoModelForSeq2SeqLM"), "own.Model"
    )
    change(place / "config.json", model_type="own", auto_map={**references, "AutoConfig": "own.C"})
    change(place / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.T", "own.T"]})
    assert "can be loaded" in refuse(command, "--model", str(place))


@pytest.mark.parametrize("base", ["bert", "rnn_mt"])
def test_the_code_beside_a_known_kind_of_model_is_not_executed(base, place, marker):
    copy_of(base, place)
    for name in ("own.py", "custom_generate/generate.py"):
        plant_code(place / name, marker)
    references = ("AutoModelForSequenceClassification", "AutoModelForSeq2SeqLM")
    change(place / "config.json", auto_map=dict.fromkeys(references, "own.Model"))
    change(place / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.T", "own.T"]})
    if base == "bert":
        list(classify_lines(Classifier.from_pretrained(str(place)), ["a film"]))
    else:
        translator = Translator.from_pretrained(str(place))
        list(translate(translator.model, translator.tokenizers, ["a b"]))


def test_a_tokenizer_reads_no_file_of_elsewhere(place, mine, refuse):
    copy_of("bert", place)
    shutil.copy(place / "tokenizer.json", mine / "kept.txt")
    secret = (mine / "kept.txt").read_text().replace("good", "secret")
    (mine / "kept.txt").write_text(secret)
    paths = dict.fromkeys(("vocab_file", "tokenizer_file"), str(mine / "kept.txt"))
    change(place / "tokenizer_config.json", **paths)
    classifier = Classifier.from_pretrained(str(place))
    assert "good" in classifier.tokenizer.get_vocab()
    (mine / "kept.txt").write_bytes(b"mine")


def test_weights_lie_in_the_folder(place, mine, refuse):
    copy_of("bert", place)
    (place / "model.safetensors").rename(mine / "model.safetensors")
    change(place / "config.json", transformers_weights="../mine/model.safetensors")
    assert "inside the model directory" in refuse("classify", "--model", str(place))
    (mine / "model.safetensors").unlink()


@pytest.mark.parametrize("length", [2**30, 2**63, 10])
def test_a_header_of_weights_that_lies_is_refused(length, place, refuse):
    copy_of("ptu", place)
    (place / "model.safetensors").write_bytes(struct.pack("<Q", length) + b"{" * 64)
    assert "can be loaded" in refuse("classify", "--model", str(place))


@pytest.mark.parametrize(
    ("base", "fields"),
    [
        ("bert", {"num_hidden_layers": 10**6}),
        ("bert", {"num_labels": 10**10, "id2label": None}),
        ("bert", {"max_position_embeddings": 10**11}),
        ("ptu", {"target_network": {"num_hidden_layers": 10**6}}),
        ("rnn_mt", {"num_encoder_layers": 10**6}),
        ("rnn_mt", {"hidden_size": 10**9}),
    ],
)
def test_a_network_that_the_weights_cannot_fill_is_refused(base, fields, place, refuse):
    copy_of(base, place)
    for name, value in fields.items():
        if isinstance(value, dict):
            fields = {name: {**json.loads((place / "config.json").read_bytes())[name], **value}}
    change(place / "config.json", **fields)
    command = "translate" if base == "rnn_mt" else "classify"
    said = refuse(command, "--model", str(place))
    assert "do not belong together" in said or "can be loaded" in said


def test_weights_that_are_missing_are_not_made_first(place, refuse):
    """A table of tokens that no file holds would be drawn at random, of any size."""
    copy_of("bert", place)
    weights = load_file(place / "model.safetensors")
    kept = {name: x for name, x in weights.items() if "word_embeddings" not in name}
    save_file(kept, place / "model.safetensors", {"format": "pt"})
    change(place / "config.json", vocab_size=10**10)
    assert "do not belong together" in refuse("classify", "--model", str(place))


def test_a_vocabulary_that_is_larger_than_the_network_is_refused(place, refuse):
    copy_of("bert", place)
    path = place / "tokenizer.json"
    content = json.loads(path.read_bytes())
    content["model"]["vocab"]["film"] = 4000
    path.write_text(json.dumps(content))
    assert "do not fit together" in refuse("classify", "--model", str(place))


@pytest.mark.parametrize(("command", "base"), [("classify", "ptu"), ("translate", "rnn_mt")])
def test_a_tokenizer_whose_reading_panics_is_refused(command, base, place, refuse):
    """What Rust's panics raise is not an Exception."""
    copy_of(base, place)
    content = json.loads((place / "tokenizer.json").read_bytes())
    content["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    (place / "tokenizer.json").write_text(json.dumps(content))
    assert "can be loaded" in refuse(command, "--model", str(place))


def test_a_tokenizer_that_does_not_fill_up_batches_is_refused(place, refuse):
    copy_of("ptu", place)
    change(place / "tokenizer_config.json", model_input_names=["attention_mask"])
    assert "do not fit together" in refuse("classify", "--model", str(place))


def test_a_text_longer_than_the_network_reads_is_cut(place):
    """Many tokenizers on the hub tell no limit."""
    copy_of("bert", place)
    change(place / "tokenizer_config.json", model_max_length=10**30)
    classifier = Classifier.from_pretrained(str(place))
    (prediction,) = classify_lines(classifier, ["film " * 100])
    assert prediction.label in ("negative", "positive")


def test_a_deep_configuration_is_refused(place, refuse):
    copy_of("ptu", place)
    (place / "config.json").write_text('{"a":' * 100_000)
    for command in ("classify", "explain"):
        assert "can be loaded" in refuse(command, "--model", str(place))


def test_a_message_is_one_line_whatever_a_model_is_called(place, refuse):
    copy_of("ptu", place)
    change(place / "config.json", sites=["\x1b[31m\n" * 5000])
    said = refuse("classify", "--model", str(place))
    assert "\x1b" not in said and len(said) < 2000


def test_the_error_is_one_that_commands_catch(place):
    with pytest.raises(UserError):
        Classifier.from_pretrained(str(place))
