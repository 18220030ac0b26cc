import random
from pathlib import Path
from typing import get_args

import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from ptu_seq.data import TokenizerPair, encode_pairs, token_mapping, train_vocabulary, vocabulary
from ptu_seq.data.sentencepiece_conversion import ModelType
from ptu_seq.data.vocabulary import train_translation_model
from ptu_seq.errors import UserError

MODEL_TYPES: tuple[ModelType, ...] = get_args(ModelType)
ENGLISH = """the a man woman child runs walks sings in on under Street House tree sky don't 12
dances children womanly walking housing singers underneath treehouse skyline every never""".split()
FRENCH = """le la un homme femme enfant court marche chante dans sur rue Maison l'arbre été où
danse enfants féminin marchant maisons chanteurs dessous arbres ciel toujours jamais""".split()


def sentences(words: list[str], count: int, seed: int = 0) -> list[str]:
    """Made-up sentences."""
    draw = random.Random(seed)
    return [
        " ".join(draw.choices(words, k=draw.randint(2, 12))).capitalize() + draw.choice(".!?")
        for _ in range(count)
    ]


TRAINING = sentences(ENGLISH, 300) + sentences(FRENCH, 300)
HELD_OUT = [
    *sentences(ENGLISH, 40, seed=1),
    *sentences(FRENCH, 40, seed=1),
    "",
    "   ",
    " many    spaces\tand\ntabs ",
    "ＦＵＬＬ　ｗｉｄｔｈ and ﬁ ligature",
    "e\u0301 combining and é composed",
    "☃☃ unknown 日本語 ☃ Щука 😀",
    "İstanbul STRASSE straße",
]
#: Read as special tokens or bytes if nothing is done about it.
LITERAL = "a </s> b <s><unk><pad> <0x41> c"


@pytest.fixture(scope="module", params=MODEL_TYPES)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """A joint vocabulary of 400 pieces with bytes."""
    return train_vocabulary(TRAINING, 400, model_type=request.param)


def pair_of(*sides: list[str]) -> TokenizerPair:
    tokenizers = [train_vocabulary(texts, 60, byte_fallback=False) for texts in sides]
    return TokenizerPair(tokenizers[0], tokenizers[-1])


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("byte_fallback", [True, False])
def test_ids_agree_with_sentencepiece(model_type: ModelType, byte_fallback: bool) -> None:
    size = 400 if byte_fallback else 144
    reference = train_translation_model(TRAINING, size, model_type, byte_fallback)
    tokenizer = train_vocabulary(TRAINING, size, model_type, byte_fallback)
    assert len(tokenizer) == reference.get_piece_size() == size
    for text in [*HELD_OUT, *([LITERAL] if byte_fallback else [])]:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert ids == reference.encode(text), text
        pieces = [reference.id_to_piece(i) for i in reference.encode(text)]
        assert tokenizer.convert_ids_to_tokens(ids) == pieces


def test_decoding_gives_the_normalised_text_back(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in [*HELD_OUT, LITERAL]:
        reference = train_normaliser().normalize(text).replace("\u2581", " ").strip()
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == reference
    snow = tokenizer("☃").input_ids
    assert tokenizer.unk_token_id not in snow
    assert tokenizer.decode(snow, skip_special_tokens=True) == "☃"


def train_normaliser():
    return train_translation_model(["any text at all"], 300)


def test_special_tokens_have_the_first_ids_and_sentences_end(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<pad>", "<unk>", "<s>", "</s>"]
    encoded = tokenizer("The man sings.")
    assert set(encoded) == {"input_ids", "attention_mask"}
    assert encoded.input_ids[-1] == 3 and 2 not in encoded.input_ids


def test_what_looks_like_a_special_token_is_text(tokenizer: PreTrainedTokenizerFast) -> None:
    assert not {0, 1, 2, 3} & set(tokenizer(LITERAL, add_special_tokens=False).input_ids)
    assert TokenizerPair(tokenizer, tokenizer).encode_source([LITERAL])[0].count(3) == 1


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_text_too_small_for_the_vocabulary_says_how_much_it_gives(
    model_type: ModelType, caplog: pytest.LogCaptureFixture
) -> None:
    tokenizer = train_vocabulary(["Ein Haus.", "Ein Baum."], 8000, model_type)
    assert 260 < len(tokenizer) < 400
    assert caplog.messages == [
        f"The training text yields a vocabulary of {len(tokenizer)} pieces, not 8000."
    ]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_vocabulary_too_small_for_the_text_says_the_least(model_type: ModelType) -> None:
    with pytest.raises(
        UserError, match="100 pieces is too small: .*, 256 bytes and .* are "
    ) as one:
        train_vocabulary(TRAINING, 100, model_type)
    least = int(str(one.value).split(" alone are ")[1].split(";")[0])
    assert len(train_vocabulary(TRAINING, least, model_type)) == least
    with pytest.raises(UserError, match=f"alone are {least}"):
        train_vocabulary(TRAINING, least - 1, model_type)


@pytest.mark.parametrize("texts", [[], ["", " \n"]])
def test_no_text_is_a_user_error(texts: list[str]) -> None:
    with pytest.raises(UserError, match="no text to train"):
        train_vocabulary(texts, 300)


def test_the_same_texts_give_the_same_vocabulary_though_sampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vocabulary, "TRAINING_SENTENCES", 150)
    one, again = (train_vocabulary(TRAINING, 320) for _ in range(2))
    assert one.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()


def test_tokens_map_to_the_parents_by_their_text() -> None:
    child = train_vocabulary(sentences(FRENCH, 200), 380)
    parent = train_vocabulary(sentences(ENGLISH, 200), 370)
    mapping = token_mapping(child, parent)
    assert mapping.shape == (len(child),) and mapping.dtype == torch.long
    assert mapping[: 4 + 256].tolist() == list(range(4 + 256))  # special tokens and bytes
    known = 0
    for i, parent_id in enumerate(mapping.tolist()):
        piece = child.convert_ids_to_tokens(i)
        if parent_id >= 0:
            assert parent.convert_ids_to_tokens(parent_id) == piece
            known += i >= 260
        else:
            assert piece not in parent.get_vocab()
    assert 0 < known < len(child) - 260
    assert token_mapping(child, child).tolist() == list(range(len(child)))


def test_special_tokens_map_by_role_whatever_they_are_called() -> None:
    child = train_vocabulary(sentences(FRENCH, 50), 60, byte_fallback=False)
    parent = train_vocabulary(sentences(ENGLISH, 50), 60, byte_fallback=False)
    parent.add_special_tokens({"eos_token": "[END]"})
    parent._special_tokens_map["bos_token"] = None
    mapping = token_mapping(child, parent)
    assert mapping[child.eos_token_id] == parent.convert_tokens_to_ids("[END]") == 60
    assert mapping[child.bos_token_id] == -1


@pytest.mark.parametrize("joint", [True, False])
def test_a_pair_saves_and_loads(tmp_path: Path, joint: bool) -> None:
    french, english = sentences(FRENCH, 100), sentences(ENGLISH, 100)
    pair = pair_of(french + english) if joint else pair_of(french, english)
    assert pair.joint == joint
    pair.save(tmp_path / "model")
    loaded = TokenizerPair.load(tmp_path / "model")
    assert loaded.joint == joint and loaded.max_length == pair.max_length
    assert loaded.encode_source(HELD_OUT) == pair.encode_source(HELD_OUT)
    assert loaded.encode_target(HELD_OUT) == pair.encode_target(HELD_OUT)
    ids = pair.encode_target(english)
    assert loaded.decode_target(ids) == pair.decode_target(ids) == english
    if joint:
        assert AutoTokenizer.from_pretrained(tmp_path / "model").get_vocab() == (
            pair.source.get_vocab()
        )


def test_saving_replaces_the_pair_that_was_there(tmp_path: Path) -> None:
    french, english = sentences(FRENCH, 100), sentences(ENGLISH, 100)
    separate, joint = pair_of(french, english), pair_of(french + english)
    separate.save(tmp_path)
    joint.save(tmp_path)
    assert TokenizerPair.load(tmp_path).joint
    separate.save(tmp_path)
    loaded = TokenizerPair.load(tmp_path)
    assert loaded.source.get_vocab() == separate.source.get_vocab()


def test_encoding_cuts_nothing_and_decoding_stops_at_the_end(
    tokenizer: PreTrainedTokenizerFast, caplog: pytest.LogCaptureFixture
) -> None:
    pair = TokenizerPair(tokenizer, tokenizer)
    assert pair.encode_source([]) == []
    assert pair.encode_source([""]) == [[3]]
    long = "the man " * 5000
    ids = pair.encode_source([long])[0]
    assert len(ids) > pair.max_length and ids[-1] == 3
    assert not caplog.messages
    assert pair.decode_target([ids]) == [long.strip()]
    man, woman = pair.encode_target(["The man", "The woman"])
    assert pair.decode_target([[2, *man, *woman], [*woman, -100, 0]]) == ["The man", "The woman"]
    rows = torch.full((2, 40), -100)
    for row, ids in zip(rows, (man, woman), strict=True):
        row[: len(ids)] = torch.tensor(ids)
    assert pair.decode_target(rows) == ["The man", "The woman"]


def test_pairs_are_encoded_side_by_side() -> None:
    french, english = sentences(FRENCH, 100), sentences(ENGLISH, 100)
    pair = pair_of(french, english)
    split = Dataset.from_dict({"source": french, "target": english})
    examples = encode_pairs(split, pair)
    assert [example["input_ids"] for example in examples] == pair.encode_source(french)
    assert [example["labels"] for example in examples] == pair.encode_target(english)


def test_a_missing_or_broken_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model folder"):
        TokenizerPair.load(tmp_path / "none")
    with pytest.raises(UserError, match=r"the file tokenizer\.json is missing"):
        TokenizerPair.load(tmp_path)
    pair_of(sentences(FRENCH, 30), sentences(ENGLISH, 30)).save(tmp_path)
    (tmp_path / "target_tokenizer/tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="target_tokenizer cannot be read"):
        TokenizerPair.load(tmp_path)
