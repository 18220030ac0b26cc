"""What JoeyNMT reads: configurations, vocabularies, and text already cut into our tokens."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from ptu_seq.data import TokenizerPair
from ptu_seq.errors import UserError
from ptu_seq.translation.batches import Example

#: In the order in which JoeyNMT puts them first into every vocabulary.
SPECIAL = ("<unk>", "<pad>", "<s>", "</s>")

#: The languages, as far as file names and JoeyNMT are concerned.
SOURCE, TARGET = "source", "target"

#: What JoeyNMT calls our attentions.
ATTENTION = {"bahdanau": "bahdanau", "luong_general": "luong"}

#: JoeyNMT's first weights, as its own configuration for Luong's networks has them. They are near
#: ours, where its defaults (token vectors four times smaller) keep a small network from learning to
#: attend before its learning rate has fallen.
INITIAL_WEIGHTS = {
    "initializer": "uniform",
    "init_weight": 0.1,
    "embed_initializer": "uniform",
    "embed_init_weight": 0.1,
    "bias_initializer": "uniform",
    "bias_init_weight": 0.1,
    "init_rnn_orthogonal": False,
    "lstm_forget_gate": 0.0,
}

#: A translation of an evaluation has at most so many tokens for each of the source, and some more.
LENGTH_RATIO, LENGTH_SLACK = 1.5, 10


@dataclass(frozen=True)
class Schedule:
    """How long JoeyNMT trains and how often it looks at the validation set.

    Args:
        epochs: passes over the training pairs.
        validation_freq: optimisation steps between validations.
        decrease_factor: by which the learning rate is multiplied after each epoch.
    """

    epochs: int
    validation_freq: int
    decrease_factor: float


def model_section(
    network: Mapping[str, Any], setting: Mapping[str, Any], *, joint: bool
) -> dict[str, Any]:
    """JoeyNMT's network of the shape of ours.

    Args:
        network: fields of :class:`ptu_seq.models.Seq2SeqConfig`.
        setting: a method's, of which dropout is taken.
        joint: whether both languages share one vocabulary and its vectors.

    Raises:
        UserError: if JoeyNMT does not have the network's attention.

    Example:
        >>> shape = {"rnn_type": "lstm", "embedding_size": 8, "hidden_size": 16,
        ...          "num_encoder_layers": 1, "num_decoder_layers": 1,
        ...          "attention": "luong_general", "input_feeding": False}
        >>> section = model_section(shape, {}, joint=False)
        >>> section["encoder"]["hidden_size"], section["decoder"]["hidden_size"]
        (8, 16)
    """
    if network["attention"] not in ATTENTION:
        raise UserError(
            f"JoeyNMT has no attention {network['attention']!r}; for a comparison accepted are "
            f"{', '.join(ATTENTION)}."
        )
    embeddings = {
        "embedding_dim": network["embedding_size"],
        "scale": False,
        "dropout": setting.get("embedding_dropout", 0.0),
    }
    dropout = setting.get("hidden_dropout", 0.0)
    return {
        **INITIAL_WEIGHTS,
        "tied_embeddings": joint,
        # JoeyNMT has no layer between the two, so it can tie them where their sizes agree only.
        "tied_softmax": network["embedding_size"] == network["hidden_size"],
        "encoder": {
            "type": "recurrent",
            "rnn_type": network["rnn_type"],
            "embeddings": embeddings,
            "hidden_size": network["hidden_size"] // 2,  # of a direction
            "bidirectional": True,
            "num_layers": network["num_encoder_layers"],
            "dropout": dropout,
        },
        "decoder": {
            "type": "recurrent",
            "rnn_type": network["rnn_type"],
            "embeddings": embeddings,
            "hidden_size": network["hidden_size"],
            "num_layers": network["num_decoder_layers"],
            "dropout": dropout,
            "hidden_dropout": dropout,
            "attention": ATTENTION[network["attention"]],
            "input_feeding": network["input_feeding"],
            "init_hidden": "bridge",
        },
    }


def data_section(text: Path, splits: Sequence[str]) -> dict[str, Any]:
    """Where the text is.

    Args:
        text: the folder that :func:`write_text` and :func:`write_vocabulary` wrote to.
        splits: of "train", "dev" and "test".
    """
    sides = {
        key: {"lang": side, "level": "word", "voc_file": str(text / f"vocabulary.{side}")}
        for key, side in (("src", SOURCE), ("trg", TARGET))
    }
    files = {split: str(text / split) for split in splits}
    return {"dataset_type": "plain", **files, **sides}


def training_section(
    setting: Mapping[str, Any],
    schedule: Schedule,
    *,
    batch_tokens: int,
    max_grad_norm: float,
) -> dict[str, Any]:
    """How JoeyNMT trains.

    Args:
        setting: a method's: its learning rate and label smoothing are taken.
        schedule: how long.
        batch_tokens: tokens of a batch, padding included.
        max_grad_norm: norm that gradients are clipped to; 0 leaves them.
    """
    # Where there is a "load_model", its weights are taken and nothing else.
    resets = dict.fromkeys(
        ("reset_best_ckpt", "reset_scheduler", "reset_optimizer", "reset_iter_state"), True
    )
    return {
        **resets,
        "optimizer": "adam",
        "learning_rate": setting["learning_rate"],
        "learning_rate_min": 1e-9,
        # Others do not run any more: without one it fails, and "plateau" gives torch an argument
        # that it no longer takes.
        "scheduling": "exponential",
        "decrease_factor": schedule.decrease_factor,
        "normalization": "tokens",
        "loss": "crossentropy",
        "label_smoothing": setting.get("label_smoothing", 0.1),
        "clip_grad_norm": max_grad_norm or None,
        "batch_size": batch_tokens,
        "batch_type": "token",
        "epochs": schedule.epochs,
        "validation_freq": schedule.validation_freq,
        "logging_freq": schedule.validation_freq,
        "early_stopping_metric": "bleu",
        "keep_best_ckpts": 1,
        "print_valid_sents": [],
        "overwrite": True,
    }


def testing_section(*, beam_size: int, max_length: int, min_length: int = 1) -> dict[str, Any]:
    """How JoeyNMT translates; BLEU is here that of tokens, which only chooses a checkpoint."""
    return {
        "batch_size": 32,
        "batch_type": "sentence",
        "beam_size": beam_size,
        "beam_alpha": 1.0,
        "min_output_length": min_length,
        "max_output_length": max_length,
        "eval_metrics": ["bleu"],
        "sacrebleu_cfg": {"tokenize": "none"},
    }


def configuration(name: str, model_dir: Path, seed: int, **sections: Any) -> dict[str, Any]:
    """All of a configuration: "data", "model", "training" and "testing" are the sections."""
    return {
        "name": name,
        "joeynmt_version": "2.3.0",
        "model_dir": str(model_dir),
        "use_cuda": False,
        "fp16": False,
        "random_seed": seed,
        **sections,
    }


def write_vocabulary(folder: Path, tokenizers: TokenizerPair) -> None:
    """Writes both vocabularies, a token a line, special ones first."""
    folder.mkdir(parents=True, exist_ok=True)
    for side, tokenizer in ((SOURCE, tokenizers.source), (TARGET, tokenizers.target)):
        ids = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        tokens = [token for token, _ in ids if token not in SPECIAL]
        _write_lines(folder / f"vocabulary.{side}", [*SPECIAL, *tokens])


def write_text(
    folder: Path, split: str, examples: Sequence[Example], tokenizers: TokenizerPair
) -> None:
    """Writes pairs, a sentence a line, its tokens apart by spaces and without `</s>`.

    JoeyNMT appends `</s>` itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sides = (
        (SOURCE, "input_ids", tokenizers.source),
        (TARGET, "labels", tokenizers.target),
    )
    for side, key, tokenizer in sides:
        lines = (" ".join(tokens(tokenizer, example[key])) for example in examples)
        _write_lines(folder / f"{split}.{side}", lines)


def tokens(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> list[str]:
    """The tokens of a sentence but its end."""
    return list(tokenizer.convert_ids_to_tokens(list(ids)[:-1]))


def read_translations(path: Path, tokenizers: TokenizerPair) -> list[str]:
    """What JoeyNMT wrote, as text."""
    ids = tokenizers.target.get_vocab()
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    return tokenizers.decode_target([[ids[token] for token in line.split()] for line in lines])


def read_validations(path: Path) -> list[float]:
    """The score of each validation that a training wrote to `validations.txt`."""
    return [
        float(field.removeprefix("bleu: "))
        for line in path.read_text(encoding="utf-8").splitlines()
        for field in line.split("\t")
        if field.startswith("bleu: ")
    ]


def batches_an_epoch(lengths: Sequence[int], batch_tokens: int) -> int:
    """About how many batches JoeyNMT makes of an epoch: in random order, not sorted by length.

    Args:
        lengths: the longer side of each pair, `</s>` included.
        batch_tokens: a batch is complete when it has so many tokens, padding included.

    Example:
        >>> batches_an_epoch([5] * 9, 15)
        3
    """
    order = random.Random(0).sample(list(lengths), len(lengths))
    batches, size, longest = 0, 0, 0
    for length in order:
        size, longest = size + 1, max(longest, length)
        if size * longest >= batch_tokens:
            batches, size, longest = batches + 1, 0, 0
    return batches + (size > 0)


def _write_lines(path: Path, lines: Iterator[str] | Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
