"""The parent of a translation study: trained once, kept, and used by every run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import set_seed

from ptu_seq.data import TokenizerPair, TranslationDataset, encode_pairs, filter_pairs
from ptu_seq.errors import UserError
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
from ptu_seq.records import content_digest, read_json, write_json
from ptu_seq.study import Study
from ptu_seq.translation.corpora import Corpora, digest
from ptu_seq.translation.evaluation import score_translations
from ptu_seq.translation.inference import Translator, translate
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.training import quiet_transformers, train_translator
from ptu_seq.translation.vocabularies import VocabularyOptions, parent_vocabulary


@dataclasses.dataclass(frozen=True)
class ParentRecipe:
    """What makes a parent.

    Args:
        network: fields of :class:`ptu_seq.models.Seq2SeqConfig`, without vocabulary sizes.
        vocabulary: kind and sizes of its vocabularies.
        max_length: most tokens of a sentence, `</s>` included.
        max_length_ratio: most times that one side of a pair may be as long as the other.
        truncate: whether longer sentences are cut, not left out.
        learning_rate: Adam's, at its peak.
        training: how it is trained.
        seed: of its weights and batches.
    """

    network: Mapping[str, Any]
    vocabulary: VocabularyOptions
    max_length: int
    max_length_ratio: float
    truncate: bool
    learning_rate: float
    training: TranslationTrainingOptions
    seed: int


def prepare_parent(corpora: Corpora, recipe: ParentRecipe, study: Study, logs: Path) -> Path:
    """Trains the parent and its vocabularies, or finds them already trained.

    Args:
        corpora: parent and children.
        recipe: what makes the parent.
        study: in whose folder it is kept, as `parent`.
        logs: a folder for what trackers write.

    Returns:
        The folder of network and tokenizers.

    Raises:
        UserError: if the study has begun with a parent that learned from other pairs.
    """
    folder = study.output_dir / "parent"
    note = read_json(folder / "parent.json")
    wanted = _digest(corpora, recipe)
    if note.get("digest") == wanted:
        print(f"Parent: {folder} is already trained.")
        return folder
    if note and study.is_begun:
        raise UserError(
            f"the parent in {folder} was trained on other pairs than these children allow (their "
            "validation and test sentences are kept out of it, and a joint vocabulary knows their "
            "languages): choose another --output_dir."
        )
    (folder / "parent.json").unlink(missing_ok=True)  # until the new one is complete
    quiet_transformers()
    dataset = corpora.parent
    print(f"Parent: training on {corpora.parent_name} ({len(dataset.train)} pairs).")
    tokenizers = parent_vocabulary(
        dataset, list(corpora.children.values()), recipe.vocabulary, recipe.max_length
    )
    model = new_parent(tokenizers, recipe)
    scores = train_parent(dataset, model, tokenizers, recipe, logs)
    model.save_pretrained(folder)
    tokenizers.save(folder)
    languages = [dataset.source_lang, dataset.target_lang]
    write_json(
        folder / "parent.json",
        {"digest": wanted, "dataset": corpora.parent_name, "languages": languages, **scores},
    )
    print(f"Parent: test BLEU {scores['test_scores']['bleu']:.1f} on {corpora.parent_name}.")
    return folder


def given_parent(name: str, recipe: ParentRecipe, corpora: Corpora) -> Path:
    """The folder of a parent that was trained before, checked against what the study wants.

    Raises:
        UserError: if there is none, or its architecture is not the one that is asked for.
    """
    translator = Translator.from_pretrained(name)
    network = translator.model
    if not isinstance(network, RNNForConditionalGeneration):
        raise UserError(
            f"--parent_model {name} is a {type(network).__name__}; a parent must be an "
            "RNNForConditionalGeneration, as this recipe trains it."
        )
    theirs = network.config.shape
    differing = [
        f"{field} {theirs[field]} (asked for: {value})"
        for field, value in recipe.network.items()
        if field in _ARCHITECTURE and theirs[field] != value
    ]
    if differing:
        raise UserError(
            f"--parent_model {name} is of another architecture: {', '.join(differing)}; give the "
            "same flags as it was trained with."
        )
    known = read_json(Path(name) / "parent.json").get("languages")
    ours = [corpora.parent.source_lang, corpora.parent.target_lang]
    if known and known != ours:
        raise UserError(
            f"--parent_model {name} translates from {known[0]} into {known[1]}, but the parent's "
            f"data are from {ours[0]} into {ours[1]}."
        )
    return Path(name)


#: What a child copies from its parent has to agree in these.
_ARCHITECTURE = (
    "rnn_type",
    "embedding_size",
    "hidden_size",
    "num_encoder_layers",
    "num_decoder_layers",
    "attention",
    "input_feeding",
    "bridge",
)


def new_parent(tokenizers: TokenizerPair, recipe: ParentRecipe) -> RNNForConditionalGeneration:
    """The network before training."""
    set_seed(recipe.seed)
    config = Seq2SeqConfig(
        **{
            **recipe.network,
            "vocab_size": len(tokenizers.source),
            "decoder_vocab_size": len(tokenizers.target),
            "tie_embeddings": "all" if tokenizers.joint else "decoder",
        }
    )
    return RNNForConditionalGeneration(config)


def train_parent(
    dataset: TranslationDataset,
    model: RNNForConditionalGeneration,
    tokenizers: TokenizerPair,
    recipe: ParentRecipe,
    logs: Path,
) -> dict[str, Any]:
    """Trains the parent in place.

    Returns:
        What came of it: "validation_score", "test_scores" and "signatures", "steps", "seconds".
    """
    training = filter_pairs(
        encode_pairs(dataset.train, tokenizers),
        recipe.max_length,
        recipe.max_length_ratio,
        truncate=recipe.truncate,
        where=f"{dataset.name}:train",
    )
    if not training:
        raise UserError(f"no pair of {dataset.name} has at most --max_length tokens; give more.")
    trained = train_translator(
        model,
        [{"params": list(model.parameters()), "lr": recipe.learning_rate}],
        tokenizers,
        training,
        encode_pairs(dataset.validation, tokenizers),
        recipe.training,
        folder=logs / "parent",
        seed=recipe.seed,
        progress=True,
        references=dataset.validation["target"][:],
    )
    translations = translate(model, tokenizers, dataset.test["source"][:], beam_size=1)
    scores = score_translations([t.text for t in translations], dataset.test["target"][:])
    return {
        "validation_score": trained.validation_score,
        "test_scores": {"bleu": scores.bleu, "chrf": scores.chrf, "ter": scores.ter},
        "signatures": scores.signatures,
        "steps": trained.steps,
        "seconds": round(trained.seconds, 2),
    }


def _digest(corpora: Corpora, recipe: ParentRecipe) -> str:
    settings = dataclasses.asdict(recipe)
    del settings["training"]["report_to"]  # who watches changes nothing
    # Only a joint vocabulary depends on the children's text.
    joint = recipe.vocabulary.vocabulary == "joint"
    children = sorted(digest(child) for child in corpora.children.values()) if joint else []
    return content_digest([digest(corpora.parent), children, settings])
