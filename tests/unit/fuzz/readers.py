"""All that reads a file which a user may have from anybody, with valid files to start from."""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from hypothesis import strategies as st
from safetensors.numpy import save as save_arrays

from ptu_seq.commands import report
from ptu_seq.data import load_classification
from ptu_seq.data.images import load_images
from ptu_seq.data.labels import read_label_names
from ptu_seq.data.translation import load_translation
from ptu_seq.explain import load_explainer
from ptu_seq.inference import Classifier, _decode, classify_lines
from ptu_seq.report import format_table, read_results
from ptu_seq.report.summary import build_summary
from ptu_seq.source_cache import _read as read_table_of_cache
from ptu_seq.study_file import load_recipe, read_study
from ptu_seq.translation.inference import Translator, translate
from tests.tiny import pairs, sentences, translations
from tests.unit.fuzz.models import saved
from tests.unit.fuzz.mutations import altered_json, altered_lines, anything
from tests.unit.fuzz.results import RUN, results, write_results


@dataclass(frozen=True)
class Reader:
    """Something that reads files.

    Args:
        name: of the reader.
        inputs: draws the content of a file.
        read: reads such content, with a new folder to write it to.
        cost: about how many times longer it takes than the quickest.
    """

    name: str
    inputs: Callable[[], st.SearchStrategy[bytes]]
    read: Callable[[Path, bytes], Any]
    cost: int = 1


def _file(name: str, load: Callable[[Path], Any]) -> Callable[[Path, bytes], Any]:
    """Reads content as a file of this name."""

    def read(folder: Path, content: bytes) -> Any:
        (folder / name).write_bytes(content)
        return load(folder / name)

    return read


def _lines(rows: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


ROWS = sentences(12, seed=0)
PAIR_ROWS = pairs(12, seed=0)
NUMBERED = [{"text": row["text"], "label": i % 3 - 0.0} for i, row in enumerate(ROWS)]
PAIRS = translations(12, seed=0)


def _separated(separator: str) -> bytes:
    lines = ["text,label", *(f'"{row["text"]} ""x"", y",{row["label"]}' for row in ROWS)]
    return "\n".join(lines).replace(",", separator).encode() + b"\n"


@cache
def _parquet() -> bytes:
    file = io.BytesIO()
    Dataset.from_list(ROWS).to_parquet(file)
    return file.getvalue()


@cache
def _npz(compressed: bool) -> bytes:
    file = io.BytesIO()
    x = np.random.default_rng(0).integers(0, 256, (24, 6, 6), dtype=np.uint8)
    (np.savez_compressed if compressed else np.savez)(file, x=x, y=np.arange(24) % 2)
    return file.getvalue()


def _read_parallel(folder: Path, content: bytes) -> Any:
    (folder / "train.fr").write_bytes(content)
    count = content.removesuffix(b"\n").count(b"\n") + 1
    (folder / "train.en").write_text("".join(f"line {i}\n" for i in range(count)))
    return load_translation(str(folder), "fr", "en")


ARGUMENTS = {
    "source_dataset": "mnist",
    "target_datasets": ["digits"],
    "sizes": [3, "all"],
    "seeds": 2,
    "methods": ["scratch", "ptu"],
}
STUDY = {
    "name": "one",
    "output_dir": "runs/one",
    "defaults": {"seeds": 2},
    "tuning": {"trials": 8, "seed": 0},
    "experiments": [
        {"recipe": "image_pair", **ARGUMENTS, "architecture": ["lenet", "vgg"]},
        {"recipe": "sentence_classification", "name": "b", "target_datasets": ["tweets"]},
    ],
}
YAML = [
    b"source_dataset: mnist\ntarget_datasets: [digits]\nsizes:\n  - 3\n  - all\nseeds: 2\n",
    b"# one\nsource_dataset: &s 'mnist'\ntarget_datasets: [digits]\nweight_decay: 1.0e-3\n",
]
STUDY_YAML = [
    b"name: one\ndefaults: {seeds: 2}\ntuning: {trials: 8}\nexperiments:\n"
    b"  - {recipe: image_pair, source_dataset: mnist, target_datasets: [digits], sizes: [3]}\n",
    b"experiments:\n- recipe: image_pair\n  target_datasets: &t [digits]\n  architecture: [vgg]\n"
    b"- recipe: sentence_classification\n  target_datasets: *t\n",
]


def _parse(path: Path) -> Any:
    recipe = load_recipe("image_pair")
    return recipe.make_plan(recipe.parse([str(path)]))


FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def _model(base: str, file: str, use: Callable[[Path], Any]) -> Reader:
    """A model of which one file is other content."""

    def read(folder: Path, content: bytes) -> Any:
        shutil.copytree(saved(base), folder, dirs_exist_ok=True)
        (folder / file).write_bytes(content)
        return use(folder)

    def inputs() -> st.SearchStrategy[bytes]:
        valid = (saved(base) / file).read_bytes()
        if not file.endswith(".json"):
            return anything([valid])
        structured = altered_json([json.loads(valid)])
        return structured | structured | structured | anything([valid])

    return Reader(f"{base}: {file}", inputs, read, cost=100 if base == "ptu_mt" else 30)


TEXTS = b"a b c\n\nd e f\tg\nthe film\n"


def _classify(folder: Path) -> Any:
    return list(classify_lines(Classifier.from_pretrained(str(folder)), ["a b", "", "the film"]))


def _translate(folder: Path) -> Any:
    translator = Translator.from_pretrained(str(folder))
    sentences = ["a b", "", "f e d c"]
    return list(translate(translator.model, translator.tokenizers, sentences, with_scores=True))


@cache
def _classifier(base: str) -> Classifier:
    return Classifier.from_pretrained(str(saved(base)))


@cache
def _translator() -> Translator:
    return Translator.from_pretrained(str(saved("rnn_mt")))


@cache
def _explainer() -> Any:
    return load_explainer(str(saved("ptu")))


def _classify_stdin(base: str, folder: Path, content: bytes) -> Any:
    lines = _decode(io.BytesIO(content), "stdin")
    return [one.as_jsonl() for one in classify_lines(_classifier(base), lines, batch_size=4)]


def _translate_stdin(folder: Path, content: bytes) -> Any:
    model, tokenizers = _translator().model, _translator().tokenizers
    lines = _decode(io.BytesIO(content), "stdin")
    found = translate(model, tokenizers, lines, beam_size=2, max_length=6, with_scores=True)
    return [one.as_rows(with_scores=True) for one in found]


def _explain_stdin(folder: Path, content: bytes) -> Any:
    lines = _decode(io.BytesIO(content), "stdin")
    return [one.as_json() for one in _explainer()(lines, 4)]


def _stdin() -> st.SearchStrategy[bytes]:
    text = st.text(max_size=60).map(lambda line: line.encode("utf-8", "surrogatepass"))
    return st.lists(text, max_size=6).map(b"\n".join) | anything([TEXTS])


def _report(file: str) -> Reader:
    """The report of a folder of which one file is other content."""

    def read(folder: Path, content: bytes) -> None:
        write_results(folder, file, content)
        with contextlib.redirect_stdout(io.StringIO()):
            report._report(argparse.Namespace(run_dir=str(folder)))

    def inputs() -> st.SearchStrategy[bytes]:
        valid = results()[file]
        if file.endswith(".jsonl"):
            return altered_lines([list(map(json.loads, valid.splitlines()))]) | anything([valid])
        if file.endswith(".json"):
            return altered_json([json.loads(valid)]) | anything([valid])
        return anything([valid])

    return Reader(f"report: {file.replace(RUN, 'RUN')}", inputs, read, cost=100)


def _report_study(folder: Path, content: bytes) -> None:
    for name, valid in results().items():
        (folder / "one" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "one" / name).write_bytes(valid)
    (folder / "experiments.json").write_bytes(content)
    with contextlib.redirect_stdout(io.StringIO()):
        report._report(argparse.Namespace(run_dir=str(folder)))


def _summaries(folder: Path, content: bytes) -> Any:
    (folder / "results.jsonl").write_bytes(content)
    return format_table(build_summary(read_results(folder), "sentence_classification", folder))


def _images(path: Path) -> Any:
    return load_images(str(path))


def _classes(path: Path) -> Any:
    return load_classification(str(path))


ARRAYS = {"hidden": np.ones((6, 2), np.float32), "hidden.lengths": np.array([2, 4])}
LABELS = [b'["bad", "good"]', b'{"0": "bad", "1": "good"}']
JSON_ROWS: list[list[Any]] = [ROWS, PAIR_ROWS, NUMBERED]
RUNS = [json.loads(line) for line in results()["results.jsonl"].splitlines()]
EXPERIMENTS = {"study": "all", "experiments": [{"name": "one"}]}

READERS = [
    Reader("csv", lambda: anything([_separated(",")]), _file("train.csv", _classes), 2),
    Reader("tsv", lambda: anything([_separated("\t")]), _file("train.tsv", _classes), 2),
    Reader(
        "jsonl",
        lambda: altered_lines(JSON_ROWS) | anything([*map(_lines, JSON_ROWS)]),
        _file("train.jsonl", _classes),
        20,
    ),
    Reader(
        "json",
        lambda: altered_json(JSON_ROWS) | anything([json.dumps(ROWS).encode()]),
        _file("train.json", _classes),
        20,
    ),
    Reader("parquet", lambda: anything([_parquet()]), _file("train.parquet", _classes), 20),
    Reader("labels.json", lambda: anything(LABELS), _file("labels.json", read_label_names)),
    Reader("npz", lambda: anything([_npz(False), _npz(True)]), _file("a.npz", _images), 2),
    Reader("parallel text", lambda: anything([TEXTS, _lines(PAIRS)]), _read_parallel, 2),
    Reader(
        "translation jsonl",
        lambda: altered_lines([PAIRS]) | anything([_lines(PAIRS)]),
        _file("train.jsonl", lambda path: load_translation(str(path), "tl", "en")),
        20,
    ),
    Reader("recipe yaml", lambda: anything(YAML), _file("a.yaml", _parse), 10),
    Reader(
        "recipe json",
        lambda: altered_json([ARGUMENTS]) | anything([json.dumps(ARGUMENTS).encode()]),
        _file("a.json", _parse),
        10,
    ),
    Reader("study yaml", lambda: anything(STUDY_YAML), _file("a.yaml", read_study), 20),
    Reader("study json", lambda: altered_json([STUDY]), _file("a.json", read_study), 20),
    *(_model(base, file, _classify) for base, file in itertools.product(("bert", "ptu"), FILES)),
    *(
        _model(base, file, _translate)
        for base, file in itertools.product(("rnn_mt", "ptu_mt"), FILES)
    ),
    _model("rnn_mt", "generation_config.json", _translate),
    Reader("stdin of classify", _stdin, partial(_classify_stdin, "bert"), 4),
    Reader("stdin of classify, pairs", _stdin, partial(_classify_stdin, "pair"), 4),
    Reader("stdin of translate", _stdin, _translate_stdin, 10),
    Reader("stdin of explain", _stdin, _explain_stdin, 8),
    Reader("results.jsonl", lambda: altered_lines([RUNS]), _summaries, 2),
    *map(_report, results()),
    Reader(
        "report: experiments.json",
        lambda: altered_json([EXPERIMENTS]) | anything([json.dumps(EXPERIMENTS).encode()]),
        _report_study,
        100,
    ),
    Reader(
        "source cache",
        lambda: anything([save_arrays(ARRAYS)]),
        _file("a.safetensors", read_table_of_cache),
    ),
]
