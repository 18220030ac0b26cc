"""Saves a model of every kind and a results folder of every recipe, as this version writes them.

    .venv/bin/python scripts/make_fixtures.py

writes tests/fixtures/vX.Y, for ptu-seq X.Y: run it once for a release and commit the folder. Later
versions have to load all that lies in tests/fixtures (tests/integration/test_fixtures.py), so a
folder of a release is never made again.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ptu_seq import __version__
from ptu_seq.data import TokenizerPair, train_vocabulary
from ptu_seq.models import (
    CNNConfig,
    CNNForImageClassification,
    EncoderConfig,
    EncoderForSequenceClassification,
    PTUEncoderForSequenceClassification,
    PTUForConditionalGeneration,
    PTUForImageClassification,
    PTUForSequenceClassification,
    RNNConfig,
    RNNForConditionalGeneration,
    RNNForSequenceClassification,
    Seq2SeqConfig,
)
from ptu_seq.models.collapse import collapse, units_by_place
from ptu_seq.models.collapse_seq2seq import collapse_translator
from ptu_seq.models.collapsed_seq2seq import units_by_place as translator_units
from ptu_seq.recipe_files import load_recipe
from ptu_seq.translation.inference import translate

FIXTURES = Path(__file__).parents[1] / "tests" / "fixtures"

#: What the files of a fixture are called that say what came of it.
EXPECTED, WORDS = "expected.json", "words.json"

LABELS = {0: "good", 1: "bad"}
TELLING = {"good": ["lumo", "brisa"], "bad": ["grut", "skarn"]}
OTHER = ["balan", "domi", "kipol", "ruta", "selan", "bami"]

#: Arguments of all recipes that make a run as short as it can be.
SHORT = {"seeds": 1, "workers": 1, "min_steps": 4, "max_steps": 4, "evaluations": 2}

RECIPES: dict[str, dict[str, Any]] = {
    "sentence_classification": {
        "source_dataset": "data/books",
        "target_datasets": ["data/films"],
        "sizes": [16],
        "methods": ["fine_tune", "ptu"],
        "embedding_size": 4,
        "hidden_size": 4,
        "vocab_size": 40,
        "max_length": 8,
        "batch_size": 8,
        "source_max_steps": 8,
    },
    "image_pair": {
        "source_dataset": "data/large.npz",
        "target_datasets": ["data/little.npz"],
        "sizes": [2],
        "methods": ["fine_tune", "ptu"],
        "width": 2,
        "image_size": 8,
        "batch_size": 8,
        "source_max_steps": 8,
    },
    "low_resource_mt": {
        "source_dataset": "data/parent",
        "target_datasets": ["data/child"],
        "source_langs": ["fr", "tl"],
        "target_lang": "en",
        "sizes": [16],
        "methods": ["fine_tune", "ptu"],
        "tuning_settings": 1,
        "sites": ["decoder", "output"],
        "embedding_size": 4,
        "hidden_size": 4,
        "vocab_size": 300,
        "child_vocab_size": 300,
        "scratch_vocab_size": 300,
        "max_length": 16,
        "batch_tokens": 200,
        "parent_max_steps": 8,
        "beam_size": 2,
    },
}


def main() -> None:
    """Writes the folder of this version."""
    folder = FIXTURES / f"v{'.'.join(__version__.split('.')[:2])}"
    if folder.exists():
        sys.exit(f"{folder} is there already: what a release has written is not made again.")
    torch.set_num_threads(1)
    for name, make in MODELS.items():
        torch.manual_seed(0)
        make(folder / "models" / name)
    write_data(folder / "data")
    os.chdir(folder)  # so that the data sets' paths hold wherever the repository lies
    for recipe, given in RECIPES.items():
        run(recipe, {**SHORT, **given}, Path("results") / recipe)
    for card in Path().rglob("README.md"):
        card.unlink()
    files = [path for path in Path().rglob("*") if path.is_file()]
    print(f"{folder}: {sum(path.stat().st_size for path in files) / 1000:.0f} kB")


def run(recipe: str, given: dict[str, Any], output_dir: Path) -> None:
    """Runs a recipe, and drops of its output what is large and can be made again."""
    values = {name: value if isinstance(value, list) else [value] for name, value in given.items()}
    words = [word for name, value in values.items() for word in (f"--{name}", *map(str, value))]
    load_recipe(recipe).main([*words, f"--output_dir={output_dir}"])
    shutil.rmtree(output_dir / "figures")
    if recipe != "sentence_classification":  # one folder's gates tell how all are written
        shutil.rmtree(output_dir / "gates")
    (output_dir / "report.html").unlink()
    for path in output_dir.rglob("tokenizer.json"):
        without_normalizer(path)
    summary = output_dir / "summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text("utf-8"))), "utf-8")
    (output_dir / WORDS).write_text(json.dumps(words), "utf-8")


def without_normalizer(path: Path) -> None:
    """Takes 330 kB of rules for other scripts than this text's out of a tokenizer."""
    content = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**content, "normalizer": None}, ensure_ascii=False), "utf-8")


def token_inputs() -> dict[str, Any]:
    """Three texts of up to six tokens."""
    return {
        "input_ids": [[5, 6, 7, 8, 9, 4], [9, 5, 4, 0, 0, 0], [7, 7, 8, 4, 0, 0]],
        "attention_mask": [[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0]],
    }


def save(model: Any, folder: Path, inputs: dict[str, Any]) -> None:
    """Saves a model with random weights, of some size, and its logits for some inputs."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.eval().save_pretrained(folder)
    with torch.inference_mode():
        logits = model(**{name: torch.tensor(value) for name, value in inputs.items()}).logits
    expected = {"class": type(model).__name__, "inputs": inputs, "logits": logits.tolist()}
    (folder / EXPECTED).write_text(json.dumps(expected), "utf-8")


def rnn(**options: Any) -> RNNForSequenceClassification:
    """A recurrent classifier."""
    sizes: dict[str, Any] = {"vocab_size": 10, "embedding_size": 4, "hidden_size": 4}
    return RNNForSequenceClassification(RNNConfig(**sizes, id2label=LABELS, **options))


def ptu(**options: Any) -> PTUForSequenceClassification:
    """A recurrent classifier with units."""
    return PTUForSequenceClassification.from_source(
        rnn(bidirectional=True), id2label={**LABELS, 2: "fair"}, **options
    )


def save_collapsed(folder: Path) -> None:
    """A classifier of which some units are pinned for good."""
    model = ptu(init="random")
    for place, state in {"embedding": "adapted", "layer0.forward": "target"}.items():
        units_by_place(model)[place].pin(state)  # type: ignore[arg-type]
    save(collapse(model), folder, token_inputs())


def save_collapsed_translator(folder: Path) -> None:
    """A translator of which some parts are one network's alone."""
    sizes: dict[str, Any] = {"vocab_size": 10, "embedding_size": 4, "hidden_size": 4}
    source = RNNForConditionalGeneration(Seq2SeqConfig(**sizes))
    model = PTUForConditionalGeneration.from_source(source, init="random", source_input="target")
    units = translator_units(model)
    for place, state in {"decoder.layer0": "target", "attention": "frozen"}.items():
        units[place].pin(state)  # type: ignore[arg-type]
    units["output"].pin("adapted")
    inputs = {**token_inputs(), "decoder_input_ids": [[2, 5, 6], [2, 7, 8], [2, 9, 4]]}
    save(collapse_translator(model), folder, inputs)


def save_encoder(folder: Path) -> None:
    """Units between two Transformer encoders."""
    sizes = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 10}
    encoder = {"model_type": "bert", **sizes, "intermediate_size": 4, "max_position_embeddings": 8}
    source = EncoderForSequenceClassification(EncoderConfig(encoder=encoder, id2label=LABELS))
    model = PTUEncoderForSequenceClassification.from_source(source, id2label=LABELS)
    save(model, folder, token_inputs())


def save_vision(folder: Path) -> None:
    """Units between two convolutional networks."""
    source = CNNForImageClassification(CNNConfig(image_size=8, width=2, id2label=LABELS))
    model = PTUForImageClassification.from_source(source, id2label=LABELS, gates_per="position")
    save(model, folder, {"pixel_values": torch.rand(2, 1, 8, 8).tolist()})


def save_translator(folder: Path) -> None:
    """A translator with units, its tokenizers, and some translations."""
    letters = "a b c d e f"
    tokenizer = train_vocabulary(
        [letters, letters[::-1], letters[6:], letters[4:-2]] * 9,
        17,
        model_type="bpe",
        byte_fallback=False,
        max_length=24,
    )
    sizes: dict[str, Any] = {"vocab_size": len(tokenizer), "embedding_size": 4, "hidden_size": 4}
    source = RNNForConditionalGeneration(Seq2SeqConfig(**sizes, embedding_std=2.0))
    model = PTUForConditionalGeneration.from_source(source)
    inputs = {**token_inputs(), "decoder_input_ids": [[2, 5, 6], [2, 7, 8], [2, 9, 4]]}
    save(model, folder, inputs)
    pair = TokenizerPair(tokenizer, tokenizer)
    pair.save(folder)
    for path in folder.rglob("tokenizer.json"):
        without_normalizer(path)
    lines = ["a b c", "f e d c", "b b"]
    translated = translate(model, TokenizerPair.load(folder), lines, beam_size=1, max_length=8)
    expected = json.loads((folder / EXPECTED).read_text("utf-8"))
    expected["translations"] = {a: b.text for a, b in zip(lines, translated, strict=True)}
    (folder / EXPECTED).write_text(json.dumps(expected), "utf-8")


#: By the name of the folder.
MODELS: dict[str, Callable[[Path], None]] = {
    "rnn": lambda folder: save(rnn(pooling="attention"), folder, token_inputs()),
    "ptu": lambda folder: save(ptu(level="step", candidate="tanh"), folder, token_inputs()),
    "collapsed": save_collapsed,
    "collapsed_translator": save_collapsed_translator,
    "ptu_encoder": save_encoder,
    "ptu_vision": save_vision,
    "ptu_translator": save_translator,
}


def write_data(folder: Path) -> None:
    """Small data sets for all recipes."""
    draw = random.Random(0)

    def sentence(label: str) -> dict[str, str]:
        words = [*draw.choices(OTHER, k=3), draw.choice(TELLING[label])]
        draw.shuffle(words)
        return {"text": " ".join(words), "label": label}

    def translation(language: str) -> dict[str, dict[str, str]]:
        words = draw.choices(OTHER, k=draw.randint(3, 5))
        foreign = [word[::-1] if language == "fr" else f"{word}o" for word in words]
        return {"translation": {"en": " ".join(words), language: " ".join(foreign)}}

    for name, make in {
        "books": lambda i: sentence(LABELS[i % 2]),
        "films": lambda i: sentence(LABELS[i % 2]),
        "parent": lambda i: translation("fr"),
        "child": lambda i: translation("tl"),
    }.items():
        (folder / name).mkdir(parents=True)
        for split, count in {"train": 30, "validation": 10, "test": 10}.items():
            rows = "".join(json.dumps(make(i)) + "\n" for i in range(count))
            (folder / name / f"{split}.jsonl").write_text(rows, "utf-8")
    pixels = np.random.default_rng(0)
    for name, count in {"large": 120, "little": 100}.items():
        y = np.arange(count) % 2
        x = pixels.integers(0, 100, (count, 8, 8)) + 120 * (y[:, None, None] * np.eye(8, dtype=int))
        np.savez_compressed(folder / f"{name}.npz", x=x.astype(np.uint8), y=y)


if __name__ == "__main__":
    main()
