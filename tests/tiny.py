"""Data sets of made-up words, as folders of JSON lines, small enough to learn in seconds."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

GOOD = ("lumo", "brisa", "fenna", "talo")
BAD = ("grut", "skarn", "mord", "vex")
OTHER = tuple(f"{a}{b}" for a in ("ba", "do", "ki", "ru", "se") for b in ("lan", "mi", "pol", "ta"))

Rows = list[dict[str, str]]
Translations = list[dict[str, dict[str, str]]]

#: The shape of an encoder-decoder of a few weights.
TINY_TRANSLATOR: dict[str, Any] = {
    "rnn_type": "gru",
    "embedding_size": 6,
    "hidden_size": 8,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "attention": "luong_general",
    "input_feeding": False,
}


def sentences(count: int, seed: int, topic: Sequence[str] = OTHER) -> Rows:
    """Sentences whose label is that of the only telling word in them."""
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        words = draw.choices(topic, k=draw.randint(3, 9))
        words.insert(draw.randrange(len(words)), draw.choice((GOOD, BAD)[i % 2]))
        rows.append({"text": " ".join(words), "label": ("good", "bad")[i % 2]})
    return rows


def pairs(count: int, seed: int) -> Rows:
    """Pairs that agree where both sides have a telling word of the same kind."""
    draw = random.Random(seed)
    rows = []
    for i in range(count):
        first = draw.choice((GOOD, BAD))
        second = first if i % 2 else (BAD if first is GOOD else GOOD)
        sides = [[*draw.choices(OTHER, k=3), draw.choice(kind)] for kind in (first, second)]
        for side in sides:
            draw.shuffle(side)
        premise, hypothesis = map(" ".join, sides)
        label = ("differ", "agree")[i % 2]
        rows.append({"premise": premise, "hypothesis": hypothesis, "label": label})
    return rows


def translations(count: int, seed: int, language: str = "tl") -> Translations:
    """Sentences and their translations: each word spelt backwards (in "fr"), or with an ending."""
    draw = random.Random(f"{seed} {language}")
    rows = []
    for _ in range(count):
        words = draw.choices((*GOOD, *BAD), k=draw.randint(4, 7))
        foreign = [word[::-1] if language == "fr" else f"{word}o" for word in words]
        rows.append({"translation": {"en": " ".join(words), language: " ".join(foreign)}})
    return rows


def write_translations(folder: Path, language: str, seed: int) -> Path:
    """A folder of pairs with English that `load_translation` reads."""
    splits = [translations(count, 10 * seed + i, language) for i, count in enumerate((200, 20, 15))]
    return write_dataset(folder, *splits)


def write_dataset(
    folder: Path,
    train: Sequence[Mapping[str, Any]],
    validation: Sequence[Mapping[str, Any]],
    test: Sequence[Mapping[str, Any]],
) -> Path:
    """A folder that `load_classification` or `load_translation` reads."""
    folder.mkdir(parents=True)
    for split, rows in (("train", train), ("validation", validation), ("test", test)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder
