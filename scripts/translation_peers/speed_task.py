"""What every system is given to train on and to translate, and how each is configured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from translation_peers import joeynmt_files as joeynmt

from ptu_seq.data import (
    TokenBatchSampler,
    TokenizerPair,
    TranslationDataset,
    encode_pairs,
    filter_pairs,
    pair_lengths,
    train_vocabulary,
)
from ptu_seq.errors import UserError
from ptu_seq.translation.batches import Example

LEARNING_RATE, LABEL_SMOOTHING, MAX_GRAD_NORM = 1e-3, 0.1, 1.0


@dataclass(frozen=True)
class SpeedOptions:
    """What is measured.

    Args:
        network: fields of :class:`ptu_seq.models.Seq2SeqConfig`, vocabulary sizes apart.
        vocab_size: pieces of each of the two vocabularies.
        dropout: of token vectors and hidden states.
        max_length: most tokens of a sentence.
        batch_tokens: tokens of a training batch, padding included.
        train_steps: optimisation steps of a round.
        decode_sentences: sentences translated in a round.
        decode_batch: sentences translated at a time.
        decode_length: tokens of every translation, no less and no more.
        beam_size: hypotheses of beam search.
        rounds: rounds that are timed.
        warmup: rounds before them that are not.
    """

    network: dict[str, Any]
    vocab_size: int
    dropout: float
    max_length: int
    batch_tokens: int
    train_steps: int
    decode_sentences: int
    decode_batch: int
    decode_length: int
    beam_size: int
    rounds: int
    warmup: int


def make_task(dataset: TranslationDataset, options: SpeedOptions, folder: Path) -> dict[str, Any]:
    """Exports the text and says what each system shall do with it.

    Args:
        dataset: the text.
        options: what is measured.
        folder: where files go.
    """
    source, target = (
        train_vocabulary(dataset.train[side][:], options.vocab_size, max_length=options.max_length)
        for side in ("source", "target")
    )
    tokenizers = TokenizerPair(source, target)
    tokenizers.save(folder / "tokenizers")
    examples = filter_pairs(encode_pairs(dataset.train, tokenizers), options.max_length, 3.0)
    used = (options.warmup + options.rounds) * options.train_steps
    drawn = list(TokenBatchSampler(pair_lengths(examples), options.batch_tokens))[:used]
    kept = sorted({i for batch in drawn for i in batch})
    place = {i: position for position, i in enumerate(kept)}
    examples = [examples[i] for i in kept]
    # Longest first, as packed sequences like it best.
    batches = [
        sorted((place[i] for i in batch), key=lambda i: -len(examples[i]["input_ids"]))
        for batch in drawn
    ]
    texts, decoded = sentences_to_decode(dataset, tokenizers, options)
    joeynmt.write_vocabulary(folder, tokenizers)
    joeynmt.write_text(folder, "train", examples, tokenizers)
    joeynmt.write_text(folder, "dev", examples[:2], tokenizers)
    joeynmt.write_text(folder, "test", decoded, tokenizers)
    return {
        "batches": batches,
        "steps": options.train_steps,
        "learning_rate": LEARNING_RATE,
        "beam_size": options.beam_size,
        "decode_batch": options.decode_batch,
        "decode_length": options.decode_length,
        "decode_texts": texts,
        "decode_sources": [source.convert_ids_to_tokens(e["input_ids"]) for e in decoded],
        "train_source_ids": [example["input_ids"] for example in examples],
        "train_target_ids": [example["labels"] for example in examples],
        "train_sources": [source.convert_ids_to_tokens(e["input_ids"]) for e in examples],
        "train_targets": [target.convert_ids_to_tokens(e["labels"]) for e in examples],
        "tokenizers": str(folder / "tokenizers"),
        "ptu_seq": {
            **options.network,
            "vocab_size": len(source),
            "decoder_vocab_size": len(target),
            "tie_embeddings": "none",
            "label_smoothing": LABEL_SMOOTHING,
            "embedding_dropout": options.dropout,
            "hidden_dropout": options.dropout,
        },
        "joeynmt": joeynmt_configuration(options, folder),
        "eole": eole_configuration(options, folder),
        "eole_decoding": eole_decoding(options),
    }


def sentences_to_decode(
    dataset: TranslationDataset, tokenizers: TokenizerPair, options: SpeedOptions
) -> tuple[list[str], list[Example]]:
    """Validation sentences of the allowed length, sorted by it: as text and as tokens."""
    rows = dataset.validation
    pairs = zip(rows["source"][:], encode_pairs(rows, tokenizers), strict=True)
    fitting = [pair for pair in pairs if len(pair[1]["input_ids"]) <= options.max_length]
    if len(fitting) < options.decode_sentences:
        raise UserError(
            f"--decode_sentences {options.decode_sentences}: {dataset.name} has only "
            f"{len(fitting)} validation sentences of at most {options.max_length} tokens."
        )
    chosen = sorted(fitting[: options.decode_sentences], key=lambda p: -len(p[1]["input_ids"]))
    return [text for text, _ in chosen], [example for _, example in chosen]


def joeynmt_configuration(options: SpeedOptions, folder: Path) -> dict[str, Any]:
    """JoeyNMT's configuration; `model_dir` is the worker's."""
    never = 10**6
    dropout = dict.fromkeys(("embedding_dropout", "hidden_dropout"), options.dropout)
    setting = {**dropout, "learning_rate": LEARNING_RATE, "label_smoothing": LABEL_SMOOTHING}
    length = options.decode_length
    return joeynmt.configuration(
        "speed",
        folder,
        seed=0,
        data=joeynmt.data_section(folder, ["train", "dev", "test"]),
        model={
            **joeynmt.model_section(options.network, setting, joint=False),
            "tied_softmax": False,
        },
        training=joeynmt.training_section(
            setting,
            joeynmt.Schedule(epochs=1, validation_freq=never, decrease_factor=1.0),
            batch_tokens=options.batch_tokens,
            max_grad_norm=MAX_GRAD_NORM,
        ),
        testing={
            **joeynmt.testing_section(
                beam_size=options.beam_size, max_length=length, min_length=length
            ),
            "batch_size": options.decode_batch,
        },
    )


def eole_configuration(options: SpeedOptions, folder: Path) -> dict[str, Any]:
    """Eole's configuration of training; `model_path` is the worker's."""
    network = options.network
    hidden = {"hidden_size": network["hidden_size"], "rnn_type": network["rnn_type"].upper()}
    attention = {"bahdanau": "mlp", "luong_general": "general", "luong_dot": "dot"}
    corpus = {"path_src": str(folder / "train.source"), "path_tgt": str(folder / "train.target")}
    return {
        "seed": 1,
        "data": {"corpus_1": {**corpus, "transforms": []}},
        "src_vocab": str(folder / "vocabulary.source"),
        "tgt_vocab": str(folder / "vocabulary.target"),
        "pad_token": "<pad>",
        "vocab_size_multiple": 1,
        "report_every": 10**6,
        "model": {
            "architecture": "custom",
            "input_feed": int(network["input_feeding"]),
            "embeddings": {
                "src_word_vec_size": network["embedding_size"],
                "tgt_word_vec_size": network["embedding_size"],
                "position_encoding_type": None,
            },
            "encoder": {
                "encoder_type": "brnn",
                "layers": network["num_encoder_layers"],
                "src_word_vec_size": network["embedding_size"],
                **hidden,
            },
            "decoder": {
                "decoder_type": "rnn",
                "layers": network["num_decoder_layers"],
                "tgt_word_vec_size": network["embedding_size"],
                "global_attention": attention[network["attention"]],
                **hidden,
            },
        },
        "training": {
            "world_size": 1,
            "gpu_ranks": [],
            "num_workers": 0,
            "compute_dtype": "fp32",
            "optim": "adamw",
            "learning_rate": LEARNING_RATE,
            "max_grad_norm": MAX_GRAD_NORM,
            "normalization": "tokens",
            "label_smoothing": LABEL_SMOOTHING,
            "dropout": [options.dropout],
            "attention_dropout": [0.0],
            "log_attention_entropy": False,
        },
    }


def eole_decoding(options: SpeedOptions) -> dict[str, Any]:
    """Eole's configuration of decoding; `model_path` is the worker's."""
    return {
        "src": "unused",
        "world_size": 1,
        "gpu_ranks": [],
        "compute_dtype": "fp32",
        "beam_size": options.beam_size,
        "batch_type": "sents",
        "batch_size": options.decode_batch,
        "min_length": options.decode_length,
        "max_length": options.decode_length,
        "max_length_ratio": 0,
        "transforms": [],
    }
