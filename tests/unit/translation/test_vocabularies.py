"""Which vocabulary a child reads and writes, and what it shares with its parent."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from datasets import Dataset

from ptu_seq.data import TokenizerPair, TranslationDataset
from ptu_seq.errors import UserError
from ptu_seq.translation.vocabularies import (
    ChildVocabulary,
    VocabularyOptions,
    child_vocabulary,
    parent_vocabulary,
    scratch_vocabulary,
)
from tests.tiny import translations

#: The parent's languages either way round, a child's, and the side that they share.
DIRECTIONS = [
    pytest.param(("fr", "en"), ("tl", "en"), "target", id="into_english"),
    pytest.param(("en", "fr"), ("en", "tl"), "source", id="from_english"),
]
SEPARATE = VocabularyOptions(vocab_size=300, child_vocab_size=300, scratch_vocab_size=300)
JOINT = replace(SEPARATE, vocabulary="joint", vocab_size=330)
MAX_LENGTH = 40


def corpus(source: str, target: str, seed: int = 1) -> TranslationDataset:
    language = source if target == "en" else target
    splits = []
    for i, count in enumerate((150, 10, 10)):
        rows = [row["translation"] for row in translations(count, seed + i, language)]
        columns = {"source": [r[source] for r in rows], "target": [r[target] for r in rows]}
        splits.append(Dataset.from_dict(columns))
    train, validation, test = splits
    return TranslationDataset(f"{source}-{target}", train, validation, test, source, target)


def make_child(
    options: VocabularyOptions,
    parent: tuple[str, str] = ("fr", "en"),
    child: tuple[str, str] = ("tl", "en"),
    seed: int = 0,
) -> tuple[TokenizerPair, ChildVocabulary]:
    """The parent's tokenizers and the child's."""
    pairs = corpus(*child, seed=5)
    theirs = parent_vocabulary(corpus(*parent), [pairs], options, MAX_LENGTH)
    return theirs, child_vocabulary(theirs, parent, pairs, options, seed)


def own_side(theirs: TokenizerPair, ours: ChildVocabulary, shared: str):
    """The tokenizers of parent and child on the side that they do not share, and the mapping."""
    if shared == "target":
        return theirs.source, ours.tokenizers.source, ours.encoder_mapping
    return theirs.target, ours.tokenizers.target, ours.decoder_mapping


@pytest.mark.parametrize(("parent", "child", "shared"), DIRECTIONS)
@pytest.mark.parametrize("vocabulary", ["match", "random"])
def test_the_side_of_one_language_keeps_the_parents_vocabulary(parent, child, shared, vocabulary):
    theirs, ours = make_child(replace(SEPARATE, vocabulary=vocabulary), parent, child)
    assert getattr(ours.tokenizers, shared) is getattr(theirs, shared)
    mapping = {"source": ours.encoder_mapping, "target": ours.decoder_mapping}[shared]
    assert mapping is None
    _, tokenizer, mapping = own_side(theirs, ours, shared)
    assert mapping.shape == (len(tokenizer),)
    assert tokenizer.model_max_length == MAX_LENGTH


@pytest.mark.parametrize(("parent", "child", "shared"), DIRECTIONS)
def test_match_maps_a_piece_to_the_same_piece(parent, child, shared):
    theirs, ours = make_child(SEPARATE, parent, child)
    known, tokenizer, mapping = own_side(theirs, ours, shared)
    pieces = known.get_vocab()
    for piece, i in tokenizer.get_vocab().items():
        assert mapping[i] == pieces.get(piece, -1)
    unknown = set(tokenizer.get_vocab()) - set(pieces)
    assert len(unknown) > 5  # or nothing was tested


def test_random_gives_every_piece_one_of_the_parents():
    options = replace(SEPARATE, vocabulary="random")
    theirs, ours = make_child(options)
    mapping, special = ours.encoder_mapping, [0, 1, 2, 3]
    assert mapping is not None
    assert mapping[special].tolist() == special
    others = mapping[4:]
    assert others.min() >= 4 and others.max() < len(theirs.source)
    assert len(set(others.tolist())) == len(others)  # as evenly as can be
    matched, again, other = (
        make_child(changed, seed=seed)[1].encoder_mapping
        for changed, seed in ((SEPARATE, 0), (options, 0), (options, 1))
    )
    assert matched is not None and again is not None and other is not None
    assert (mapping == matched).sum() < 0.1 * len(mapping)
    assert torch.equal(again, mapping)
    assert not torch.equal(other, mapping)


def test_random_uses_the_parents_pieces_again_where_a_child_has_more():
    letters = Dataset.from_dict({"source": ["a b c"] * 9, "target": ["d e f"] * 9})
    small = TranslationDataset("small", letters, letters, letters, "fr", "en")
    theirs = parent_vocabulary(small, [], SEPARATE, MAX_LENGTH)
    options = replace(SEPARATE, vocabulary="random")
    ours = child_vocabulary(theirs, ("fr", "en"), corpus("tl", "en", seed=5), options, 0)
    assert len(ours.tokenizers.source) > len(theirs.source)
    assert ours.encoder_mapping is not None
    counts = ours.encoder_mapping[4:].bincount(minlength=len(theirs.source))[4:]
    assert counts.min() >= 1 and counts.max() <= 2


def test_joint_is_one_vocabulary_for_all():
    theirs, ours = make_child(JOINT)
    assert theirs.joint
    assert ours.tokenizers is theirs
    assert ours.encoder_mapping is None and ours.decoder_mapping is None
    # Made of the child's text as well: its words do not fall to pieces.
    child, parent = (corpus(*side).train["source"][:] for side in (("tl", "en"), ("fr", "en")))
    alone = parent_vocabulary(corpus("fr", "en"), [], JOINT, MAX_LENGTH)
    tokens = [sum(map(len, pair.encode_source(child))) for pair in (theirs, alone)]
    assert tokens[0] < 0.8 * tokens[1]
    assert all(map(len, theirs.encode_source(parent)))


def test_joint_gives_a_small_child_the_weight_of_its_parent():
    small = corpus("tl", "en", seed=5)
    small = replace(small, train=small.train.select(range(10)))
    theirs = parent_vocabulary(corpus("fr", "en"), [small], JOINT, MAX_LENGTH)
    words = {word for text in small.train["source"][:] for word in text.split()}
    pieces = {word: theirs.source.tokenize(word) for word in words}
    assert sum(map(len, pieces.values())) <= 2 * len(words), pieces


@pytest.mark.parametrize(
    ("parent", "child", "message"),
    [
        (SEPARATE, JOINT, "separate vocabularies .*; give --vocabulary match or random"),
        (JOINT, SEPARATE, "one joint vocabulary.*--vocabulary match; give --vocabulary joint"),
        (
            JOINT,
            replace(SEPARATE, vocabulary="random"),
            "one joint vocabulary.*--vocabulary random; give --vocabulary joint",
        ),
    ],
)
def test_a_mismatch_names_the_flag_that_solves_it(parent, child, message):
    theirs = parent_vocabulary(corpus("fr", "en"), [], parent, MAX_LENGTH)
    with pytest.raises(UserError, match=message):
        child_vocabulary(theirs, ("fr", "en"), corpus("tl", "en"), child, 0)


def test_scratch_has_a_small_joint_vocabulary_of_its_own_pairs():
    tokenizers = scratch_vocabulary(corpus("tl", "en"), SEPARATE, MAX_LENGTH)
    assert tokenizers.joint
    assert len(tokenizers.source) <= 300
    assert tokenizers.max_length == MAX_LENGTH


def test_no_vocabulary_reads_validation_or_test_text():
    pairs = corpus("tl", "en", seed=5)
    held_out = Dataset.from_dict({"source": ["zzyzzy ququq"] * 50, "target": ["wyxwyx"] * 50})
    other = replace(pairs, validation=held_out, test=held_out)
    for options in (SEPARATE, JOINT):
        trained = []
        for child in (pairs, other):
            theirs = parent_vocabulary(corpus("fr", "en"), [child], options, MAX_LENGTH)
            ours = child_vocabulary(theirs, ("fr", "en"), child, options, 0).tokenizers
            scratch = scratch_vocabulary(child, options, MAX_LENGTH)
            trained.append([t.source.get_vocab() for t in (theirs, ours, scratch)])
        assert trained[0] == trained[1]


@pytest.mark.parametrize("size", ["vocab_size", "child_vocab_size", "scratch_vocab_size"])
def test_a_vocabulary_too_small_for_its_characters_names_the_flag(size):
    letters = [chr(0x4E00 + i) for i in range(80)]
    rows = Dataset.from_dict({"source": [" ".join(letters)] * 3, "target": ["a b"] * 3})
    chinese = TranslationDataset("zh", rows, rows, rows, "zh", "en")
    parent = corpus("fr", "en")
    with pytest.raises(UserError, match=f"^--{size}: A vocabulary of 300 pieces is too small"):
        if size == "vocab_size":
            parent_vocabulary(chinese, [], SEPARATE, MAX_LENGTH)
        elif size == "child_vocab_size":
            theirs = parent_vocabulary(parent, [], SEPARATE, MAX_LENGTH)
            child_vocabulary(theirs, ("fr", "en"), chinese, SEPARATE, 0)
        else:
            scratch_vocabulary(chinese, SEPARATE, MAX_LENGTH)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("vocabulary", "mach", "--vocabulary is 'mach' .did you mean 'match'"),
        ("piece_model", "bpee", "--piece_model is 'bpee' .did you mean 'bpe'"),
        ("child_vocab_size", 10, "--child_vocab_size is 10; accepted is at least 300"),
    ],
)
def test_unknown_values_are_refused(field, value, message):
    with pytest.raises(UserError, match=message):
        VocabularyOptions(**{field: value})
