"""A parent of made-up languages, children of it, and what is seen of their training."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.trainer_callback import TrainerCallback

from ptu_seq.data import TokenizerPair, token_mapping, train_vocabulary
from ptu_seq.methods.translation import TranslationTask, get_translation_method
from ptu_seq.methods.translation.layers import layers
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
from ptu_seq.trainer_setup import Trained
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.training import train_translator

STEPS = 10
SHAPE: dict[str, Any] = {
    "embedding_size": 6,
    "hidden_size": 8,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
}
BETWEEN = ["encoder.0", "encoder.1", "decoder.0", "decoder.1", "attention"]
ALL = ["source words", *BETWEEN, "target words"]
DROPS = {"embedding_dropout": 0.5, "hidden_dropout": 0.5, "word_dropout": 0.3}


@dataclass(frozen=True)
class Family:
    """A parent, and what a child of it reads and writes."""

    parent: RNNForConditionalGeneration
    tokenizers: TokenizerPair
    task: TranslationTask
    words: str


def sentences(words: str, count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(draw.choices(words, k=draw.randint(2, 5))) for _ in range(count)]


def make_family(vocabulary: str) -> Family:
    """Letters are words; the child's are half new to a parent with vocabularies of its own."""
    english, french, child, joint = (
        train_vocabulary(sentences(words, 100, 0), size, "bpe", byte_fallback=False, max_length=32)
        for words, size in (("abcdefgh", 21), ("ijklmnop", 21), ("mnopqrst", 21), ("abcdmnop", 21))
    )
    torch.manual_seed(0)
    if vocabulary == "joint":
        config = Seq2SeqConfig(**SHAPE, vocab_size=len(joint), tie_embeddings="all")
        task = TranslationTask(len(joint), len(joint), network={"tie_embeddings": "all"})
        tokenizers = TokenizerPair(joint, joint)
        words = "abcdmnop"
    else:
        config = Seq2SeqConfig(**SHAPE, vocab_size=len(french), decoder_vocab_size=len(english))
        known = token_mapping(child, french)
        assert 0 < int((known[4:] >= 0).sum()) < len(known) - 4
        task = TranslationTask(len(child), len(english), encoder_mapping=known)
        tokenizers = TokenizerPair(child, english)
        words = "mnopqrst"
    return Family(RNNForConditionalGeneration(config).eval(), tokenizers, task, words)


class Watch(TrainerCallback):
    """Notes at each step which layers learn, their weights, and whose dropout let things pass."""

    def __init__(self, model: RNNForConditionalGeneration) -> None:
        self.model = model
        self.awake: list[list[str]] = []
        self.weights: list[dict[str, Tensor]] = []
        self.dropped: list[set[str]] = []
        self._dropping: set[str] = set()
        self._handles = [
            module.register_forward_hook(self._note(layer.name))
            for layer in layers(model)
            for module in layer.modules
        ]

    def _note(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], Any], None]:
        def note(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            before, after = (getattr(x, "data", x) for x in (args[0], output))
            if not torch.equal(before, after):
                self._dropping.add(name)

        return note

    def on_pre_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """After the gradients are there."""
        found = layers(self.model)
        self.awake.append([x.name for x in found if any(p.grad is not None for p in x.parameters)])
        self.weights.append({k: v.cpu().clone() for k, v in self.model.state_dict().items()})
        self.dropped.append(self._dropping.copy())
        self._dropping.clear()

    def on_train_end(self, *args: Any, **kwargs: Any) -> None:
        """Leaves no hook behind."""
        for handle in self._handles:
            handle.remove()


def train(
    name: str, family: Family, setting: dict[str, Any], folder: Path, steps: int = STEPS
) -> tuple[Any, Watch, Trained, dict[str, Tensor]]:
    """Trains a method; the model, what a callback saw, how it went, and the first weights."""
    method = get_translation_method(name)
    torch.manual_seed(0)
    model: Any = method.build(family.parent, family.task, setting)
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    pairs = [
        {"input_ids": source, "labels": target}
        for source, target in zip(
            family.tokenizers.encode_source(sentences(family.words, 20, 1)),
            family.tokenizers.encode_target(sentences("abcd", 20, 2)),
            strict=True,
        )
    ]
    watch = Watch(model)
    trained = train_translator(
        model,
        method.parameter_groups(model, setting),
        family.tokenizers,
        pairs[:16],
        pairs[16:],
        TranslationTrainingOptions(
            batch_tokens=60, min_steps=steps, max_steps=steps, evaluations=1, metric="chrf"
        ),
        folder=folder,
        seed=0,
        callbacks=[*method.callbacks(model, setting), watch],
    )
    return model.cpu(), watch, trained, start  # from the GPU, where there is one


def make_parent(**fields: Any) -> RNNForConditionalGeneration:
    shape = {"vocab_size": 20, "decoder_vocab_size": 22, **SHAPE}
    return RNNForConditionalGeneration(Seq2SeqConfig(**{**shape, **fields})).eval()


def batch_of(words: int) -> dict[str, Tensor]:
    return {"input_ids": torch.randint(4, 16, (6, 8)), "labels": torch.randint(4, words, (6, 5))}
