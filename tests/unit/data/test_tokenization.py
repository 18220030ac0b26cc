import random
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import datasets
import pytest
import torch
from datasets import Dataset
from transformers import AutoTokenizer, DataCollatorWithPadding, PreTrainedTokenizerFast

from ptu_seq.data import encode, tokenization, train_tokenizer
from ptu_seq.data.tokenization import ModelType, train_sentencepiece
from ptu_seq.errors import UserError

MODEL_TYPES: tuple[ModelType, ...] = get_args(ModelType)
WORDS = """the a one this that film movie story plot actor scene ending music camera director writer
is was seems feels looks very quite rather hardly never always good bad great awful dull funny sad
brilliant boring moving clumsy clever endless charming shallow and but or with without of in at for
you i we they it's don't wasn't nobody everyone something nothing again years café naïve""".split()


def sentences(count: int, seed: int = 0) -> list[str]:
    """Made-up reviews."""
    draw = random.Random(seed)
    return [
        " ".join(draw.choices(WORDS, k=draw.randint(3, 14))).capitalize() + draw.choice([".", "!"])
        for _ in range(count)
    ]


#: Text that vocabularies have not seen, and kinds of it that normalisers differ on.
HELD_OUT = [
    *sentences(100, seed=1),
    "",
    "   ",
    " leading and trailing ",
    "many    spaces\tand\ntabs",
    "ＦＵＬＬ　ｗｉｄｔｈ and ﬁ ligature",
    "zero\u200bwidth and soft\u00adhyphen",
    "İstanbul STRASSE straße",
    "e\u0301 combining and é composed",
    "☃☃ unknown 日本語 ☃ characters",
    "control \x07 and \x1c characters",
    "supercalifragilistic unheard-of wörds 12,345.67",
]


@pytest.fixture(scope="module", params=MODEL_TYPES)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    """A vocabulary of 200 pieces over made-up reviews."""
    return train_tokenizer(sentences(400), 200, model_type=request.param, max_length=16)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_ids_agree_with_sentencepiece(model_type: ModelType) -> None:
    reference = train_sentencepiece(sentences(400), 200, model_type)
    tokenizer = train_tokenizer(sentences(400), 200, model_type=model_type)
    assert len(tokenizer) == reference.get_piece_size() > 90
    for text in HELD_OUT:
        assert tokenizer(text, add_special_tokens=False).input_ids == reference.encode(text), text


def test_special_tokens_have_the_first_ids(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_ids_to_tokens([0, 1, 2, 3]) == ["<pad>", "<unk>", "<s>", "</s>"]
    ids = [tokenizer.pad_token_id, tokenizer.unk_token_id]
    assert [*ids, tokenizer.bos_token_id, tokenizer.eos_token_id] == [0, 1, 2, 3]


def test_decoding_gives_the_normalised_text_back(tokenizer: PreTrainedTokenizerFast) -> None:
    for text in sentences(50, seed=2):
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text.lower()
        assert tokenizer.decode(ids) == text.lower() + "</s>"


def test_pairs_are_one_sequence_with_token_types(tokenizer: PreTrainedTokenizerFast) -> None:
    premise, hypothesis = "The film is good.", "This movie was never bad."
    a, b = tokenizer(premise).input_ids, tokenizer(hypothesis).input_ids
    pair = tokenizer(premise, hypothesis)
    assert a[-1] == b[-1] == tokenizer.eos_token_id
    assert pair.input_ids == a + b
    assert pair.token_type_ids == [0] * len(a) + [1] * len(b)


def test_padding_is_on_the_right(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = tokenizer(["good", "a very good film with a plot"], padding=True)
    short, long = batch.attention_mask
    assert sum(short) < len(short) == sum(long)
    assert short == sorted(short, reverse=True)
    assert set(batch.input_ids[0][sum(short) :]) == {tokenizer.pad_token_id}


def test_saved_and_loaded_it_is_the_same(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert loaded(HELD_OUT, HELD_OUT[::-1]).data == tokenizer(HELD_OUT, HELD_OUT[::-1]).data
    assert loaded.model_max_length == 16 and loaded.padding_side == "right"
    assert loaded.get_vocab() == tokenizer.get_vocab()
    ids = loaded(HELD_OUT[0]).input_ids
    assert loaded.decode(ids) == tokenizer.decode(ids)


def test_the_same_texts_give_the_same_tokenizer_though_sampled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokenization, "TRAINING_SENTENCES", 150)
    one, again = (train_tokenizer(sentences(400), 120) for _ in range(2))
    assert one.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    monkeypatch.undo()
    assert train_tokenizer(sentences(400), 120).get_vocab() != one.get_vocab()


def test_a_very_long_text_is_learned_from() -> None:
    text = " ".join(sentences(800)).replace(".", "").replace("!", "").lower()
    assert len(text) > 20_000
    whole = train_tokenizer([text], 150)
    assert not set(whole(text).input_ids) & {whole.unk_token_id}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_tiny_corpus_gives_a_smaller_vocabulary(model_type: ModelType) -> None:
    tokenizer = train_tokenizer(["good film", "bad film"], 5000, model_type=model_type)
    assert 4 < len(tokenizer) < 100
    assert tokenizer.decode(tokenizer("bad film").input_ids) == "bad film</s>"


def test_training_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    train_tokenizer(sentences(50), 80)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("texts", "message"),
    [([], "no text to train"), (["", "  "], "no text to train"), (sentences(50), "of 8 pieces .*")],
)
def test_an_impossible_vocabulary_is_a_user_error(texts: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train_tokenizer(texts, 8)


def test_encode_keeps_labels_and_cuts_long_texts(tokenizer: PreTrainedTokenizerFast) -> None:
    texts = [*sentences(20, seed=3), " ".join(sentences(300, seed=4)), "good  \n" * 500, "ok"]
    split = Dataset.from_dict({"text": texts, "label": list(range(len(texts))), "more": texts})
    encoded = encode(split, tokenizer, ("text",), 12)
    assert set(encoded.column_names) == {"input_ids", "attention_mask", "labels"}
    assert encoded["labels"][:] == list(range(len(texts)))
    assert max(len(ids) for ids in encoded["input_ids"]) == 12
    for text, row in zip(texts, encoded, strict=True):
        assert row["input_ids"] == tokenizer(text, truncation=True, max_length=12).input_ids
        assert row["input_ids"][-1] == tokenizer.eos_token_id
        assert row["attention_mask"] == [1] * len(row["input_ids"])


def test_encode_cuts_each_side_of_a_pair_by_itself(tokenizer: PreTrainedTokenizerFast) -> None:
    long, short = " ".join(sentences(9)), "A good film."
    columns = {"premise": [short, long, short], "hypothesis": [short, short, long]}
    split = Dataset.from_dict({**columns, "label": [0, 1, 2]})
    encoded = encode(split, tokenizer, ("premise", "hypothesis"), 10)
    side = tokenizer(short).input_ids
    cut = tokenizer(long, truncation=True, max_length=10).input_ids
    assert len(side) < len(cut) == 10
    assert encoded["input_ids"][:] == [side + side, cut + side, side + cut]
    sides = [(len(side), len(side)), (len(cut), len(side)), (len(side), len(cut))]
    assert encoded["token_type_ids"][:] == [[0] * a + [1] * b for a, b in sides]


def test_encoded_pairs_pad_into_batches(tokenizer: PreTrainedTokenizerFast) -> None:
    split = Dataset.from_dict(
        {"premise": sentences(4), "hypothesis": sentences(4, seed=5), "label": [0, 1, 1, 0]}
    )
    rows = list(encode(split, tokenizer, ("premise", "hypothesis"), 10))
    batch = DataCollatorWithPadding(tokenizer)(rows)
    assert batch["labels"].tolist() == [0, 1, 1, 0]
    assert batch["input_ids"].shape == batch["token_type_ids"].shape
    padding = batch["attention_mask"] == 0
    assert torch.equal(batch["input_ids"] == tokenizer.pad_token_id, padding)
    assert not batch["token_type_ids"][padding].any()


def test_encode_prints_nothing(
    tokenizer: PreTrainedTokenizerFast, capfd: pytest.CaptureFixture[str]
) -> None:
    split = Dataset.from_dict({"text": sentences(2000), "label": [0, 1] * 1000})
    encode(split, tokenizer, ("text",), 10)
    assert capfd.readouterr() == ("", "")


def test_texts_are_tokenised_once_for_all_processes(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the other process is one that has loaded the tokenizer and would fail to use it."""
    columns = {"text": sentences(30, seed=6), "label": [0] * 30}
    encoded = encode(Dataset.from_dict(columns), tokenizer, ("text",), 10)
    tokenizer.save_pretrained(tmp_path)
    loaded = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    loaded("any", truncation=True, max_length=3)  # what is left of a call changes nothing
    monkeypatch.setattr(loaded, "_encode_plus", None)
    again = encode(Dataset.from_dict(columns), loaded, ("text",), 10)
    assert again.to_dict() == encoded.to_dict()
    assert again.cache_files == encoded.cache_files != []
    for others, length in ((columns, 9), ({**columns, "label": [1] * 30}, 10)):
        with pytest.raises(TypeError):
            encode(Dataset.from_dict(others), loaded, ("text",), length)


@pytest.fixture
def no_caching() -> Iterator[None]:
    datasets.disable_caching()
    yield
    datasets.enable_caching()


@pytest.fixture
def no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "file"))


@pytest.mark.parametrize("why", ["no_caching", "no_folder"])
def test_without_a_cache_tables_stay_in_memory(
    tokenizer: PreTrainedTokenizerFast, request: pytest.FixtureRequest, why: str
) -> None:
    split = Dataset.from_dict({"text": sentences(30, seed=7), "label": [0] * 30})
    kept = encode(split, tokenizer, ("text",), 10)
    request.getfixturevalue(why)
    encoded = encode(split, tokenizer, ("text",), 10)
    assert encoded.cache_files == [] and encoded.to_dict() == kept.to_dict()
