"""The plain encoder-decoder: its loss, options, and what is saved of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig

ATTENTIONS = ("bahdanau", "luong_general", "luong_dot")


@pytest.fixture(params=[False, True], ids=["fused", "input feeding"])
def input_feeding(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(params=["none", "decoder", "all"])
def tie_embeddings(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("bridge", ["linear", "copy", "zero"])
def test_every_shape_trains(
    attention, bridge, rnn_type, input_feeding, make_parent, make_translations
):
    """Every weight takes part in the loss."""
    model = make_parent(
        attention=attention, bridge=bridge, rnn_type=rnn_type, input_feeding=input_feeding
    )
    model(**make_translations()).loss.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize(("encoders", "decoders"), [(1, 3), (3, 1)])
@pytest.mark.parametrize("bridge", ["linear", "copy"])
def test_encoder_and_decoder_may_differ_in_depth(
    encoders, decoders, bridge, make_parent, make_translations
):
    fields = {"num_encoder_layers": encoders, "num_decoder_layers": decoders, "bridge": bridge}
    model = make_parent(**fields)
    assert len(model.encoder.layers) == encoders and len(model.decoder.layers) == decoders
    assert model(**make_translations()).loss.isfinite()


def test_copied_states_are_the_encoders(make_parent, make_translations):
    model = make_parent(bridge="copy", rnn_type="gru", num_encoder_layers=1, num_decoder_layers=1)
    batch = make_translations()
    ids = batch["input_ids"][1:2, :3]  # three tokens, no padding
    vectors = model.encoder.embedding(ids).transpose(0, 1)
    _, final = model.encoder.layers[0](vectors)
    ((h,),) = model.encode(batch["input_ids"]).recurrent.layers
    torch.testing.assert_close(h[0, 1], torch.cat([final[0, 0], final[1, 0]]))


def test_equals_its_equations(rnn_type, input_feeding, make_parent, make_translations):
    """One sentence, word by word, with torch's own layers and cells."""
    model = make_parent(
        rnn_type=rnn_type,
        input_feeding=input_feeding,
        num_encoder_layers=1,
        num_decoder_layers=1,
        attention="luong_dot",
    )
    batch = {name: rows[2:3] for name, rows in make_translations().items()}
    batch["labels"] = torch.tensor([[9, 7, 9, 12, 3]])
    encoder, decoder = model.encoder, model.decoder
    output, final = encoder.layers[0](encoder.embedding(batch["input_ids"]).transpose(0, 1))
    values = output[:, 0]
    parts = [part.flatten() for part in (final if rnn_type == "lstm" else [final])]
    linears = decoder.bridge.layers[0]
    state = [torch.tanh(bridge(part)) for bridge, part in zip(linears, parts, strict=True)]
    cell_class = torch.nn.LSTMCell if rnn_type == "lstm" else torch.nn.GRUCell
    cell = cell_class(6 + 8 * input_feeding, 8)
    weights = decoder.layers[0].state_dict().items()
    cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in weights})
    fed, logits = torch.zeros(8), []
    for token in model.prepare_decoder_input_ids_from_labels(batch["labels"])[0]:
        x = decoder.embedding(token)
        x = torch.cat([x, fed]) if input_feeding else x
        after = cell(x, tuple(state) if rnn_type == "lstm" else state[0])
        state = list(after) if rnn_type == "lstm" else [after]
        context = (values @ state[0]).softmax(0) @ values
        fed = torch.tanh(decoder.combine.weight @ torch.cat([context, state[0]]))
        logits.append(decoder.embedding.weight @ (decoder.projection.weight @ fed))
    own = model(**batch).logits[0]
    torch.testing.assert_close(own, torch.stack(logits), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("num_items", [None, 7, torch.tensor(7)])
def test_the_loss_is_torchs(num_items, make_parent, make_translations):
    model = make_parent(label_smoothing=0.2, embedding_dropout=0.0, hidden_dropout=0.0)
    batch = make_translations()
    for training, smoothing in ((True, 0.2), (False, 0.0)):
        output = model.train(training)(**batch, num_items_in_batch=num_items)
        right = [
            F.cross_entropy(logits[:length], labels[:length], label_smoothing=smoothing).item()
            * length
            for logits, labels, length in zip(
                output.logits, batch["labels"], [4, 8, 2, 6], strict=True
            )
        ]
        expected = sum(right) / (20 if num_items is None else 7)
        assert output.loss.item() == pytest.approx(expected, rel=1e-5)


def test_what_the_decoder_reads_are_the_labels_before(make_parent, make_translations):
    model, batch = make_parent(decoder_start_token_id=5), make_translations()
    labels = batch.pop("labels")
    read = torch.full_like(labels, 0)
    read[:, 0] = 5
    for row, length in zip(range(4), [4, 8, 2, 6], strict=True):
        read[row, 1:length] = labels[row, : length - 1]
    ours = model(**batch, labels=labels).logits
    theirs = model(**batch, decoder_input_ids=read).logits
    for row, length in zip(range(4), [4, 8, 2, 6], strict=True):
        assert torch.equal(ours[row, :length], theirs[row, :length])


def test_padding_changes_nothing(rnn_type, input_feeding, make_parent, make_translations):
    model = make_parent(rnn_type=rnn_type, input_feeding=input_feeding)
    batch = make_translations()
    logits = model(**batch).logits
    without_mask = model(batch["input_ids"], labels=batch["labels"]).logits
    assert torch.equal(logits, without_mask)
    for row, lengths in enumerate(zip([7, 3, 9, 2], [4, 8, 2, 6], strict=True)):
        alone = model(
            batch["input_ids"][row : row + 1, : lengths[0]],
            labels=batch["labels"][row : row + 1, : lengths[1]],
        ).logits
        torch.testing.assert_close(logits[row, : lengths[1]], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("loader", [RNNForConditionalGeneration, AutoModelForSeq2SeqLM])
def test_reloaded_logits_are_the_same(
    loader, tie_embeddings, input_feeding, make_parent, make_translations, tmp_path
):
    model = make_parent(tie_embeddings=tie_embeddings, input_feeding=input_feeding)
    model.save_pretrained(tmp_path)
    loaded = loader.from_pretrained(tmp_path)
    batch = make_translations()
    assert type(loaded) is type(model) and not loaded.training
    assert torch.equal(loaded(**batch).logits, model(**batch).logits)
    options: dict[str, Any] = {"num_beams": 2, "max_new_tokens": 6}
    texts = [m.generate(batch["input_ids"], **options) for m in (loaded, model)]
    assert torch.equal(*texts)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md", ".safetensors"}


def test_tied_tables_are_one(tie_embeddings, make_parent, tmp_path):
    make_parent(tie_embeddings=tie_embeddings).save_pretrained(tmp_path)
    loaded = RNNForConditionalGeneration.from_pretrained(tmp_path)
    tables = [
        loaded.decoder.output.weight,
        loaded.decoder.embedding.weight,
        loaded.encoder.embedding.weight,
    ]
    distinct = {"none": 3, "decoder": 2, "all": 1}[tie_embeddings]
    assert len({id(table) for table in tables}) == distinct
    saved = load_file(tmp_path / "model.safetensors")
    assert sum(weight.shape[0] == 30 for weight in saved.values()) == distinct


def test_the_configuration_survives(make_parent, tmp_path):
    config = make_parent(decoder_vocab_size=20, bridge="zero", word_dropout=0.2).config
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(loaded, Seq2SeqConfig) and loaded.shape == config.shape
    assert loaded.is_encoder_decoder


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"attention": "dot"}, "attention is 'dot'; accepted are bahdanau"),
        ({"bridge": "none"}, "bridge is 'none'; accepted are linear"),
        ({"rnn_type": "rnn"}, "rnn_type is 'rnn'"),
        ({"tie_embeddings": "yes"}, "tie_embeddings is 'yes'"),
        ({"num_decoder_layers": 0}, "num_decoder_layers is 0"),
        ({"hidden_size": 7}, "hidden_size is 7; it must be even"),
        (
            {"tie_embeddings": "all", "vocab_size": 9, "decoder_vocab_size": 8},
            "needs one joint vocabulary, but vocab_size is 9 and decoder_vocab_size 8",
        ),
    ],
)
def test_bad_configurations_are_explained(fields, message):
    with pytest.raises(ValueError, match=message):
        Seq2SeqConfig(**fields)


@pytest.mark.parametrize("variational", [False, True])
def test_dropout_sleeps_outside_training(variational, input_feeding, make_parent):
    model = make_parent(
        embedding_dropout=0.5,
        hidden_dropout=0.5,
        word_dropout=0.5,
        variational_dropout=variational,
        input_feeding=input_feeding,
    )
    ids, labels = torch.randint(4, 30, (2, 5)), torch.randint(4, 30, (2, 6))
    first, second = (model(ids, labels=labels).logits for _ in range(2))
    assert torch.equal(first, second)
    model.train()
    first, second = (model(ids, labels=labels).logits for _ in range(2))
    assert not torch.allclose(first, second)


def dropped_at(module: torch.nn.Module, x: Any) -> torch.Tensor:
    """Where ones came out as zeros, after the others were checked for their scale."""
    out = module.train()(x)
    data = out.data if hasattr(out, "batch_sizes") else out
    assert torch.isin(data.unique(), torch.tensor([0.0, 2.0])).all()
    return data == 0


def test_variational_dropout_is_the_same_at_every_step(make_parent):
    model = make_parent(hidden_dropout=0.5, variational_dropout=True)
    drop = model.decoder.dropout
    padded = dropped_at(drop, torch.ones(50, 7, 8))
    assert (padded == padded[:, :1]).all()
    assert padded.float().mean() == pytest.approx(0.5, abs=0.1)
    lengths = torch.tensor([3, 7, 5])
    packed = torch.nn.utils.rnn.pack_padded_sequence(
        torch.ones(3, 7, 200), lengths, batch_first=True, enforce_sorted=False
    )
    sorted_rows = dropped_at(drop, packed).split(packed.batch_sizes.tolist())
    for step in sorted_rows:
        assert torch.equal(step, sorted_rows[0][: len(step)])
    assert not torch.equal(sorted_rows[0][0], sorted_rows[0][1])


def test_word_dropout_drops_whole_vectors(make_parent):
    model = make_parent(word_dropout=0.5, embedding_dropout=0.0)
    dropped = dropped_at(model.encoder.embedding_dropout, torch.ones(20, 30, 6))
    assert (dropped == dropped[..., :1]).all()
    assert dropped.float().mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("joint", [True, False])
def test_transformers_counts_the_tokens_that_are_written(joint):
    config = Seq2SeqConfig(vocab_size=7, decoder_vocab_size=None if joint else 9)
    assert config.get_text_config().vocab_size == (7 if joint else 9)
    assert config.get_text_config(decoder=True).vocab_size == (7 if joint else 9)
    assert config.get_text_config(encoder=True).vocab_size == config.vocab_size == 7
