"""A parent and its children, checked against each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ptu_seq.data import load_translation
from ptu_seq.errors import UserError
from ptu_seq.translation.corpora import Corpora, digest, label, load_corpora
from tests.tiny import translations, write_dataset, write_translations


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, str]:
    """A parent, two children, and a child of the same name elsewhere."""
    made = {
        "parent": write_translations(tmp_path / "parent", "fr", 1),
        "child": write_translations(tmp_path / "child", "tl", 2),
        "other": write_translations(tmp_path / "other", "ha", 3),
        "namesake": write_translations(tmp_path / "x" / "child", "tl", 4),
    }
    return {name: str(path) for name, path in made.items()}


def load(parent: str, *children: str, **arguments: Any) -> Corpora:
    wanted = {"source_langs": None, "target_lang": "en", "sizes": ["all"], **arguments}
    return load_corpora(parent, children, **wanted)


def append(folder: str, *rows: dict[str, dict[str, str]], split: str = "train") -> None:
    with (Path(folder) / f"{split}.jsonl").open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def test_data_sets_are_named_by_their_languages(folders):
    corpora = load(folders["parent"], folders["child"], folders["other"])
    assert corpora.parent_name == "parent:fr-en"
    assert list(corpora.children) == ["child:tl-en", "other:ha-en"]
    assert list(corpora.digests) == ["parent:fr-en", "child:tl-en", "other:ha-en"]
    assert corpora.digests["child:tl-en"] == digest(corpora.children["child:tl-en"])
    assert corpora.left_out == []


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ({"source_langs": ["fr", "tl"]}, ("parent:fr-en", "child:tl-en")),
        ({"source_langs": ["fr", "tl"], "target_lang": None}, ("parent:fr-en", "child:tl-en")),
        ({"source_langs": ["en", "en"], "target_lang": None}, ("parent:en-fr", "child:en-tl")),
    ],
)
def test_either_direction_can_be_asked_for(folders, arguments, names):
    corpora = load(folders["parent"], folders["child"], **arguments)
    assert (corpora.parent_name, *corpora.children) == names


def test_a_hub_name_and_a_bundled_one_stay_as_they_are():
    class Named:
        source_lang, target_lang = "tr", "en"

        def __init__(self, name: str) -> None:
            self.name = name

    assert label(Named("wmt16/tr-en")) == "wmt16/tr-en:tr-en"  # type: ignore[arg-type]
    assert label(Named("bible:tr-en")) == "bible:tr-en"  # type: ignore[arg-type]


@pytest.mark.slow
def test_verses_in_the_other_direction_are_called_so():
    assert label(load_translation("bible:tl-en", "en", "tl")) == "bible:en-tl"
    assert label(load_translation("bible:fr.o-en.k", target_lang="fr")) == "bible:en.k-fr.o"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bible:en.3-en.4", "bible:en-en.3"])
def test_two_versions_of_a_language_keep_their_direction(name):
    loaded = load_translation(name)
    assert label(loaded) == name
    turned = load_translation(name, loaded.target_lang, loaded.source_lang)
    first, _, second = name.removeprefix("bible:").partition("-")
    assert label(turned) == f"bible:{second}-{first}"


def test_the_parent_is_kept_from_every_childs_held_out_sentences(folders):
    rows = []
    for name, split in (("child", "test"), ("other", "validation")):
        (line, *_) = (Path(folders[name]) / f"{split}.jsonl").read_text().splitlines()
        rows.append({"translation": {"en": json.loads(line)["translation"]["en"], "fr": split}})
    append(folders["parent"], *rows)
    corpora = load(folders["parent"], folders["child"], folders["other"])
    assert corpora.left_out == [200, 201]
    assert len(corpora.parent.train) == 200
    alone = load(folders["parent"], folders["child"])
    assert alone.left_out == [200]
    # What was loaded is what counts as the data set, whichever the children are.
    assert alone.digests["parent:fr-en"] == corpora.digests["parent:fr-en"]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_digest_changes_with_any_split(folders, split):
    before = load(folders["parent"], folders["child"]).digests
    append(folders["child"], {"translation": {"en": "one more", "tl": "moreo"}}, split=split)
    after = load(folders["parent"], folders["child"]).digests
    assert before["parent:fr-en"] == after["parent:fr-en"]
    assert before["child:tl-en"] != after["child:tl-en"]


def test_a_digest_knows_the_direction_but_not_the_name(folders):
    forth = load(folders["parent"], folders["child"])
    back = load(folders["parent"], folders["child"], source_langs=["en", "en"], target_lang=None)
    assert not set(forth.digests.values()) & set(back.digests.values())
    Path(folders["child"]).rename(Path(folders["child"]).with_name("renamed"))
    renamed = load(folders["parent"], folders["child"].replace("child", "renamed"))
    assert renamed.digests["renamed:tl-en"] == forth.digests["child:tl-en"]


def test_the_same_data_are_given_once(tmp_path, folders):
    copy = write_translations(tmp_path / "copy", "tl", 2)
    for children in (
        [folders["child"], folders["child"]],
        [folders["child"], str(copy)],
        [folders["parent"]],
    ):
        with pytest.raises(UserError, match="has the same pairs as another child or the parent"):
            load(folders["parent"], *children)


def test_two_data_sets_of_one_name_are_refused(folders):
    with pytest.raises(UserError, match="two data sets named 'child:tl-en'"):
        load(folders["parent"], folders["child"], folders["namesake"])


def test_languages_that_are_not_said_are_asked_for(tmp_path, folders):
    rows = [{"source": f"s{i} so", "target": f"t{i} to"} for i in range(40)]
    plain = str(write_dataset(tmp_path / "plain", rows[:20], rows[20:30], rows[30:]))
    with pytest.raises(UserError, match="calls its languages source and target: .*--source_langs"):
        load(folders["parent"], plain)
    said = load(folders["parent"], plain, source_langs=["fr", "tl"])
    assert list(said.children) == ["plain:tl-en"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"source_langs": ["fr"]}, "--source_langs has 1 of the 2 languages"),
        ({"source_langs": ["fr", "xx"]}, "child.* has no language 'xx' .source_lang.*found en, tl"),
        ({"target_lang": "de"}, "parent.* has no language 'de' .target_lang"),
        ({"target_lang": None}, "--source_langs and --target_lang"),
        ({"sizes": [10, 201]}, "--sizes 201: .*child' has 200 training pairs"),
    ],
)
def test_what_cannot_be_used_is_explained(folders, arguments, message):
    with pytest.raises(UserError, match=message):
        load(folders["parent"], folders["child"], **arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "train.jsonl is empty"),
        (b'{"translation": {"en": "", "tl": " "}}\n', "has no pair of tl and en"),
        (b'{"translation": {"en": "a", "tl": "\xff"}}\n', r"line 1: byte 36 .* is not UTF-8"),
        (b'{"translation": {"en": "a", "tl": "b"\n', "line 1: not valid JSON"),
    ],
)
def test_a_broken_child_is_named(folders, content, message):
    (Path(folders["child"]) / "train.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load(folders["parent"], folders["child"])


def test_sides_of_unequal_length_are_refused(tmp_path, folders):
    child = tmp_path / "lines"
    child.mkdir()
    sides = {"en": 3, "tl": 2}
    for language, count in sides.items():
        (child / f"train.{language}").write_text(f"{language}\n" * count)
    with pytest.raises(UserError, match="train.en has 3 lines but .*train.tl has 2"):
        load(folders["parent"], str(child))


def test_the_parents_training_pairs_are_those_that_are_not_left_out(folders):
    row = translations(1, 99, "fr")[0]
    append(folders["parent"], row, row)
    child = json.loads((Path(folders["child"]) / "test.jsonl").read_text().splitlines()[0])
    shared = {"translation": {"en": child["translation"]["en"], "fr": "same"}}
    append(folders["parent"], shared, shared)
    corpora = load(folders["parent"], folders["child"])
    assert corpora.left_out == [202, 203]
    assert len(corpora.parent.train) == 202
