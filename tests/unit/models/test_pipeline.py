"""The models in transformers' text-classification pipeline."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, PreTrainedTokenizerFast, pipeline

from ptu_seq.models import PTUForSequenceClassification

WORDS = ["<pad>", "<unk>", "</s>", "good", "bad", "film", "the", "a", "very"]


@pytest.mark.parametrize("units", [False, True], ids=["plain", "units"])
def test_text_classification_pipeline(units, is_pair, make_source, tmp_path):
    model = make_source(vocab_size=len(WORDS), is_pair=is_pair)
    if units:
        model = PTUForSequenceClassification.from_source(
            model, init="random", id2label={0: "cold", 1: "mild", 2: "hot"}
        ).eval()
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, "<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A:0 </s>:0 $B:1 </s>:1", special_tokens=[("</s>", 2)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="</s>",
        model_input_names=["input_ids", "attention_mask", "token_type_ids"],
    )
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)

    texts = ["good film", "a very very bad film", "the"]
    pairs = list(zip(texts, reversed(texts), strict=True))
    classify = pipeline("text-classification", model=str(tmp_path), device="cpu")
    inputs = [{"text": a, "text_pair": b} for a, b in pairs] if is_pair else texts
    answers = classify(inputs, batch_size=2)
    batch = tokenizer(
        *(map(list, zip(*pairs, strict=True)) if is_pair else [texts]),
        padding=True,
        return_tensors="pt",
    )
    probabilities = model(**batch).logits.softmax(-1)
    expected = [model.config.id2label[i] for i in probabilities.argmax(-1).tolist()]
    assert [answer["label"] for answer in answers] == expected
    best = probabilities.max(-1).values.tolist()
    assert [answer["score"] for answer in answers] == pytest.approx(best, abs=1e-5)
    assert AutoTokenizer.from_pretrained(tmp_path)("good film").input_ids == [3, 5, 2]
