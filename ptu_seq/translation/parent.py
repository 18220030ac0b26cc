"""The parent of a translation study: trained once, kept, and used by every run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import set_seed

from ptu_seq.checkpoints import Checkpoints
from ptu_seq.data import (
    TokenizerPair,
    TranslationDataset,
    encode_pairs,
    truncate_pairs,
)
from ptu_seq.data.streams import TrainingRows
from ptu_seq.data.translation_rows import Pair
from ptu_seq.distributed import together
from ptu_seq.errors import UserError
from ptu_seq.kept_source import check_weights, weights_note
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
from ptu_seq.models.copy_parent import SHARED
from ptu_seq.records import content_digest, read_json, write_json
from ptu_seq.study import Study
from ptu_seq.trainer_setup import decisive
from ptu_seq.translation.corpora import Corpora
from ptu_seq.translation.evaluation import MetricName, corpus_score, signature_of
from ptu_seq.translation.inference import Translator, translate
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.parent_examples import examples_in_memory, streamed_examples
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
        shuffle_buffer: pairs that are shuffled together; None where all are in memory.
    """

    network: Mapping[str, Any]
    vocabulary: VocabularyOptions
    max_length: int
    max_length_ratio: float
    truncate: bool
    learning_rate: float
    training: TranslationTrainingOptions
    seed: int
    shuffle_buffer: int | None = None


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
        UserError: if the study has begun with a parent that learned sentences of a validation or
            test set given now, or whose joint vocabulary knows nothing of a child given now.
    """
    folder = study.output_dir / "parent"
    note = read_json(folder / "parent.json")
    wanted = _digest(corpora.digests[corpora.parent_name], recipe)
    if note.get("digest") == wanted:
        flaw = _flaw(note, corpora, recipe)
        if flaw is None:
            check_weights(folder, note)
            print(f"Parent: {folder} is already trained.")
            return folder
        if study.is_begun:
            raise UserError(f"the parent in {folder} {flaw}: choose another --output_dir.")
    (folder / "parent.json").unlink(missing_ok=True)  # until the new one is complete
    quiet_transformers()
    dataset = corpora.parent
    print(f"Parent: training on {corpora.parent_name} ({corpora.parent_pairs} pairs).")
    tokenizers = parent_vocabulary(
        dataset, list(corpora.children.values()), recipe.vocabulary, recipe.max_length
    )
    model = new_parent(tokenizers, recipe)
    checkpoints = study.checkpoints.of("parent", wanted)
    scores = together(
        train_parent, dataset, model, tokenizers, recipe, logs, checkpoints, corpora.stream
    )
    model.save_pretrained(folder)
    tokenizers.save(folder)
    languages = [dataset.source_lang, dataset.target_lang]
    write_json(
        folder / "parent.json",
        {
            "digest": wanted,
            "data": corpora.digests[corpora.parent_name],
            "dataset": corpora.parent_name,
            "languages": languages,
            "left_out": list(corpora.left_out),
            "vocabulary_of": _vocabulary_of(corpora, recipe),
            **weights_note(folder),
            **scores,
        },
    )
    study.checkpoints.remove("parent")
    print(f"Parent: test BLEU {scores['test_scores']['bleu']:.1f} on {corpora.parent_name}.")
    return folder


def given_parent(name: str, recipe: ParentRecipe, corpora: Corpora) -> Path:
    """The folder of a parent that was trained before, checked against what the study wants.

    Args:
        name: as the user gave it.
        recipe: what would make the study's own parent.
        corpora: parent and children.

    Returns:
        The folder.

    Raises:
        UserError: if there is none, its architecture is not the one that is asked for, it
            translates other languages, or its training is not known to have kept the children's
            validation and test sentences out.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise UserError(f"--parent_model {name}: there is no such folder.")
    translator = Translator.from_pretrained(str(folder), "--parent_model")
    network = translator.model
    if not isinstance(network, RNNForConditionalGeneration):
        raise UserError(
            f"--parent_model {name} is a {type(network).__name__}; a parent must be an "
            "RNNForConditionalGeneration, such as the parent/ of this recipe's output."
        )
    theirs = {**network.config.shape, "max_length": translator.limit}
    wanted = {**recipe.network, "max_length": recipe.max_length}
    differing = [
        f"{field} {theirs[field]} (asked for: {value})"
        for field, value in wanted.items()
        if field in _ARCHITECTURE and theirs[field] != value
    ]
    if differing:
        raise UserError(
            f"--parent_model {name} is of another architecture: {', '.join(differing)}; give the "
            "same flags as it was trained with."
        )
    note = read_json(folder / "parent.json")
    known = note.get("languages")
    ours = [corpora.parent.source_lang, corpora.parent.target_lang]
    if known and known != ours:
        raise UserError(
            f"--parent_model {name} translates from {known[0]} into {known[1]}, but "
            f"--source_dataset is from {ours[0]} into {ours[1]}; give the data that it learned."
        )
    if note.get("data") != corpora.digests[corpora.parent_name]:
        raise UserError(
            f"--parent_model {name} did not learn {corpora.parent_name}, so nobody can tell if it "
            "has seen the children's test sentences; give its own data as --source_dataset."
        )
    # Separate vocabularies where a joint one is asked for are explained with the child's.
    flaw = _flaw(note, corpora, recipe) if translator.tokenizers.joint else _leak(note, corpora)
    if flaw is not None:
        raise UserError(f"--parent_model {name} {flaw}; leave it out, and one will be trained.")
    return folder


#: What a child copies from its parent has to agree in these.
_ARCHITECTURE = (*SHARED, "max_length")


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
    checkpoints: Checkpoints | None = None,
    stream: TrainingRows[Pair] | None = None,
) -> dict[str, Any]:
    """Trains the parent in place.

    Args:
        dataset: its pairs; those for training are learned from where there is no stream of them.
        model: the parent.
        tokenizers: its tokenizers.
        recipe: how it is trained.
        logs: a folder for what trackers write.
        checkpoints: where to write them, and to go on from.
        stream: the training pairs, of which the data set then has a sample.

    Returns:
        What came of it: "validation_score", "test_scores" and "signatures", "steps", "seconds".
    """
    training = (
        examples_in_memory(dataset, tokenizers, recipe)
        if stream is None
        else streamed_examples(stream, dataset, tokenizers, recipe)
    )
    trained = train_translator(
        model,
        [{"params": list(model.parameters()), "lr": recipe.learning_rate}],
        tokenizers,
        training,
        truncate_pairs(
            encode_pairs(dataset.validation, tokenizers),
            recipe.max_length,
            where=f"{dataset.name}:validation",
        ),
        recipe.training,
        folder=logs / "parent",
        seed=recipe.seed,
        progress=True,
        checkpoints=checkpoints,
        references=dataset.validation["target"][:],
    )
    translated = translate(model, tokenizers, dataset.test["source"][:], beam_size=1)
    translations = [translation.text for translation in translated]
    references = dataset.test["target"][:]
    metrics: tuple[MetricName, ...] = ("bleu", "chrf")  # not TER, which takes a minute
    return {
        "validation_score": trained.validation_score,
        "test_scores": {name: corpus_score(name, translations, references) for name in metrics},
        "signatures": {name: signature_of(name) for name in metrics},
        "steps": trained.steps,
        "seconds": round(trained.seconds, 2),
    }


def _flaw(note: Mapping[str, Any], corpora: Corpora, recipe: ParentRecipe) -> str | None:
    """Why a parent that was trained beside other children cannot be used with these."""
    leak = _leak(note, corpora)
    if leak is not None:
        return leak
    if set(_vocabulary_of(corpora, recipe)) - set(note["vocabulary_of"]):
        return "has a joint vocabulary that was made without the children given now"
    return None


def _leak(note: Mapping[str, Any], corpora: Corpora) -> str | None:
    """Says it where a parent has learned what the children are scored on."""
    learned = set(corpora.left_out) - set(note["left_out"])
    if not learned:
        return None
    return f"has learned {len(learned)} sentences of the validation and test sets given now"


def _vocabulary_of(corpora: Corpora, recipe: ParentRecipe) -> list[str]:
    """The children whose text the parent's vocabulary depends on: all, or none."""
    joint = recipe.vocabulary.vocabulary == "joint"
    return [corpora.digests[name] for name in corpora.children] if joint else []


def _digest(data_digest: str, recipe: ParentRecipe) -> str:
    settings = {**dataclasses.asdict(recipe), "training": decisive(recipe.training)}
    if recipe.shuffle_buffer is None:
        del settings["shuffle_buffer"]
    return content_digest([data_digest, settings])
