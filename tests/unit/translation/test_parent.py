"""The parent: trained once, found again, and refused where it does not fit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ptu_seq.data import TokenizerPair
from ptu_seq.errors import UserError
from ptu_seq.kept_source import weights_digest
from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
from ptu_seq.records import append_line, read_json, write_json
from ptu_seq.study import Study
from ptu_seq.translation.corpora import Corpora, load_corpora
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.parent import (
    ParentRecipe,
    given_parent,
    prepare_parent,
)
from ptu_seq.translation.vocabularies import VocabularyOptions
from tests.tiny import write_translations

RECIPE = ParentRecipe(
    network={"embedding_size": 8, "hidden_size": 8, "rnn_type": "gru"},
    vocabulary=VocabularyOptions(vocab_size=300),
    max_length=20,
    max_length_ratio=3.0,
    truncate=False,
    learning_rate=0.01,
    training=TranslationTrainingOptions(batch_tokens=500, max_steps=3, evaluations=1),
    seed=0,
)
JOINT = replace(RECIPE, vocabulary=VocabularyOptions("joint", vocab_size=300))


class Workshop:
    """Parent and children in a folder, and a study beside them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_translations(root / "parent", "fr", 1)
        write_translations(root / "child", "tl", 2)
        write_translations(root / "other", "ha", 3)

    def corpora(self, *children: str) -> Corpora:
        folders = [str(self.root / name) for name in children or ("child",)]
        return load_corpora(str(self.root / "parent"), folders, None, "en", ["all"])

    def prepare(self, *children: str, recipe: ParentRecipe = RECIPE) -> int:
        """Trains or finds the parent, and tells when its weights were written."""
        corpora = self.corpora(*children)
        folder = prepare_parent(corpora, recipe, self.study(corpora), self.root / "logs")
        assert folder == self.root / "out" / "parent"
        return (folder / "model.safetensors").stat().st_mtime_ns

    def study(self, corpora: Corpora) -> Study:
        study = Study(self.root / "out", "low_resource_mt", corpora.parent_name, {})
        study.check_data(corpora.digests)
        return study

    def begin(self) -> None:
        """Leaves the line of a finished run."""
        study = self.study(self.corpora())
        line = {"run_id": "r", "method": "ptu", "source": study.source, "target": "child:tl-en"}
        rest = {
            "size": 9,
            "seed": 0,
            "metric": "bleu",
            "score": 1,
            "config_hash": study.config_hash,
        }
        append_line(self.root / "out" / "results.jsonl", {**line, **rest})

    def share(self, child: str) -> None:
        """Puts a sentence of a child's test set into the parent's training pairs."""
        line = (self.root / child / "test.jsonl").read_text().splitlines()[0]
        row = {"translation": {"en": json.loads(line)["translation"]["en"], "fr": "autre"}}
        with (self.root / "parent" / "train.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_a_parent_is_kept_with_its_vocabularies_and_scores(workshop, capsys):
    workshop.prepare()
    assert "Parent: training on parent:fr-en (200 pairs)." in capsys.readouterr().out
    folder = workshop.root / "out" / "parent"
    model = RNNForConditionalGeneration.from_pretrained(folder)
    tokenizers = TokenizerPair.load(folder)
    assert not tokenizers.joint
    sizes = len(tokenizers.source), len(tokenizers.target)
    assert (model.config.vocab_size, model.config.decoder_vocab_size) == sizes
    assert model.config.tie_embeddings == "decoder"
    note = read_json(folder / "parent.json")
    assert note["languages"] == ["fr", "en"]
    assert set(note["test_scores"]) == {"bleu", "chrf"}


def test_a_joint_parent_ties_all_embeddings(workshop):
    workshop.prepare(recipe=JOINT)
    folder = workshop.root / "out" / "parent"
    assert RNNForConditionalGeneration.from_pretrained(folder).config.tie_embeddings == "all"
    assert TokenizerPair.load(folder).joint


def test_a_parent_is_trained_once(workshop, capsys):
    first = workshop.prepare()
    workshop.begin()
    capsys.readouterr()
    assert workshop.prepare() == first
    assert "is already trained" in capsys.readouterr().out
    watched = replace(RECIPE, training=replace(RECIPE.training, report_to="all"))
    assert workshop.prepare(recipe=watched) == first


@pytest.mark.parametrize(
    "changes",
    [{"seed": 1}, {"learning_rate": 0.1}, {"network": {**RECIPE.network, "hidden_size": 10}}],
)
def test_another_recipe_makes_another_parent(workshop, changes):
    first = workshop.prepare()
    assert workshop.prepare(recipe=replace(RECIPE, **changes)) != first


def test_what_a_kill_has_left_is_trained_again(workshop):
    first = workshop.prepare()
    (workshop.root / "out" / "parent" / "parent.json").unlink()
    assert workshop.prepare() != first


def test_a_parent_serves_other_children_that_share_nothing_with_it(workshop):
    first = workshop.prepare()
    workshop.begin()
    assert workshop.prepare("child", "other") == first
    assert workshop.prepare("other") == first


def test_a_parent_that_learned_a_new_childs_test_sentence_is_refused(workshop):
    workshop.share("other")
    first = workshop.prepare()
    assert workshop.prepare("child") == first
    workshop.begin()
    with pytest.raises(
        UserError, match="has learned 1 sentences of the .* choose another --output"
    ):
        workshop.prepare("child", "other")


def test_before_any_result_such_a_parent_is_trained_again(workshop):
    workshop.share("other")
    first = workshop.prepare()
    second = workshop.prepare("child", "other")
    assert second != first
    workshop.begin()
    assert workshop.prepare("child") == second  # which has left out more than it had to


def test_a_joint_vocabulary_is_that_of_all_children(workshop):
    first = workshop.prepare("child", "other", recipe=JOINT)
    workshop.begin()
    assert workshop.prepare("other", recipe=JOINT) == first


def test_a_joint_vocabulary_without_a_new_child_is_refused(workshop):
    workshop.prepare("child", recipe=JOINT)
    workshop.begin()
    with pytest.raises(UserError, match="joint vocabulary that was made without"):
        workshop.prepare("child", "other", recipe=JOINT)


def test_data_that_changed_while_there_are_results_are_refused(workshop):
    workshop.prepare()
    workshop.begin()
    workshop.share("child")
    with pytest.raises(UserError, match="data set parent:fr-en is not the one"):
        workshop.prepare()


def test_a_corpus_of_long_sentences_alone_is_explained(workshop):
    with pytest.raises(UserError, match="no training pair of .* --max_length 2 tokens"):
        workshop.prepare(recipe=replace(RECIPE, max_length=2))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """One with a parent, that nobody changes."""
    workshop = Workshop(tmp_path_factory.mktemp("trained"))
    workshop.prepare()
    return workshop


def test_a_note_that_is_not_ours_counts_for_nothing(workshop):
    write_json(workshop.root / "out" / "parent" / "parent.json", {"digest": "of another time"})
    assert workshop.prepare()


class TestGiven:
    """A parent that was trained before."""

    def give(
        self,
        trained: Workshop,
        folder: object = None,
        corpora: Corpora | None = None,
        **changes: Any,
    ) -> Path:
        folder = folder or trained.root / "out" / "parent"
        return given_parent(str(folder), replace(RECIPE, **changes), corpora or trained.corpora())

    def test_one_that_fits_is_used_as_it_is(self, trained):
        assert self.give(trained) == trained.root / "out" / "parent"
        # Its vocabularies and its training were another recipe's affair.
        vocabulary = VocabularyOptions(vocab_size=999)
        other: dict[str, Any] = {"seed": 3, "learning_rate": 0.1, "vocabulary": vocabulary}
        assert self.give(trained, **other) == trained.root / "out" / "parent"

    @pytest.mark.parametrize(
        ("network", "changes", "message"),
        [
            (
                {"hidden_size": 16, "rnn_type": "lstm"},
                {},
                r"hidden_size 8 \(asked for: 16\), rnn_type gru \(asked for: lstm\); give the same",
            ),
            ({"attention": "bahdanau"}, {}, r"attention luong_general \(asked for: bahdanau\)"),
            ({"input_feeding": True}, {}, r"input_feeding False \(asked for: True\)"),
            ({}, {"max_length": 30}, r"max_length 20 \(asked for: 30\)"),
        ],
    )
    def test_another_architecture_is_named_field_by_field(
        self, trained, network: Mapping[str, Any], changes: dict[str, Any], message: str
    ):
        with pytest.raises(
            UserError, match=f"^--parent_model .* another architecture: .*{message}"
        ):
            self.give(trained, network={**RECIPE.network, **network}, **changes)

    def test_other_languages_are_named(self, trained):
        child = str(trained.root / "child")
        turned = load_corpora(str(trained.root / "parent"), [child], ["en", "en"], None, ["all"])
        with pytest.raises(
            UserError, match="from fr into en, but --source_dataset is from en into"
        ):
            self.give(trained, corpora=turned)

    def test_one_that_learned_a_childs_test_sentence_is_refused(self, workshop):
        workshop.share("other")
        workshop.prepare("child")
        assert self.give(workshop)
        with pytest.raises(UserError, match="^--parent_model .* has learned 1 sentences of the"):
            self.give(workshop, corpora=workshop.corpora("other"))

    def test_one_of_other_or_unknown_data_is_refused(self, workshop):
        workshop.prepare()
        folder = workshop.root / "out" / "parent"
        workshop.share("child")  # the parent's data are no longer those that it learned
        with pytest.raises(UserError, match="^--parent_model .* did not learn parent:fr-en"):
            self.give(workshop)
        (folder / "parent.json").unlink()
        with pytest.raises(UserError, match="^--parent_model .* did not learn parent:fr-en"):
            self.give(workshop)

    def test_what_is_no_parent_is_named(self, trained, tmp_path, tiny_classifier):
        (tmp_path / "empty").mkdir()
        for folder, message in (
            (tmp_path / "nowhere", "there is no such folder"),
            ("owner/name", "there is no such folder"),  # a hub's name is none either
            (tmp_path / "empty", "holds no config.json"),
            (tiny_classifier, "not a translation model"),
        ):
            with pytest.raises(UserError, match=f"^--parent_model .*{message}"):
                self.give(trained, folder)

    def test_a_parent_without_vocabularies_is_named(self, trained, tmp_path):
        RNNForConditionalGeneration(Seq2SeqConfig(hidden_size=8)).save_pretrained(tmp_path)
        with pytest.raises(UserError, match="has no tokenizer"):
            self.give(trained, tmp_path)

    def test_its_weights_tell_it_from_others(self, trained, tmp_path):
        folder = trained.root / "out" / "parent"
        model = RNNForConditionalGeneration.from_pretrained(folder)
        model.save_pretrained(tmp_path)
        assert weights_digest(tmp_path) == weights_digest(folder)
        next(model.parameters()).data[0] += 1
        model.save_pretrained(tmp_path)
        assert weights_digest(tmp_path) != weights_digest(folder)
