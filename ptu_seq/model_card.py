"""Model cards: the README.md beside a saved model, which the Hugging Face hub reads."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import EvalResult, ModelCardData

FILE = "README.md"

#: Stands in every card of ours. A card without it is the user's, and stays as it is.
MARK = "<!-- Written by ptu-seq, which renews it; remove this line to keep what you change. -->"


@dataclass(frozen=True)
class Run:
    """What a model came from and how good it is.

    Args:
        source: the data that the source network learned from.
        target: the data that the model learned from.
        size: examples of it.
        method: how it was transferred.
        setting: the method's, chosen on validation data.
        seed: of the run.
        metric: what `score` is.
        score: on the target's test set.
        details: further rows of the table of results.
        languages: of the texts, as codes of two or three letters, where they are known.
        gates: for each site the mean of the update and of the fine-tune gate on test examples.
        command: what makes the model again.
    """

    source: str
    target: str
    size: int | str
    method: str
    setting: Mapping[str, Any]
    seed: int
    metric: str
    score: float
    details: Mapping[str, str] = field(default_factory=dict)
    languages: Sequence[str] = ()
    gates: Sequence[tuple[str, float, float]] = ()
    command: str | None = None


class _Task(NamedTuple):
    """What a kind of model does, what it learns from, which class loads it, and how it is used."""

    pipeline: str
    noun: str
    examples: str
    auto_class: str
    imports: str
    lines: str


#: By the end of the model's class name.
TASKS = {
    "ForSequenceClassification": _Task(
        "text-classification",
        "A text classifier",
        "training examples",
        "AutoModelForSequenceClassification",
        "from transformers import AutoModelForSequenceClassification, AutoTokenizer",
        'tokenizer = AutoTokenizer.from_pretrained(".")\n'
        'inputs = tokenizer({texts}, truncation=True, return_tensors="pt")\n'
        "logits = model(**inputs).logits\n"
        "print(model.config.id2label[int(logits.argmax())])",
    ),
    "ForImageClassification": _Task(
        "image-classification",
        "An image classifier",
        "training images of each class",
        "AutoModelForImageClassification",
        "import torch\nfrom transformers import AutoModelForImageClassification",
        "images = torch.zeros(1, {channels}, {size}, {size})  # pixels from 0 to 1\n"
        "logits = model(pixel_values=images).logits\n"
        "print(model.config.id2label[int(logits.argmax())])",
    ),
    "ForConditionalGeneration": _Task(
        "translation",
        "A translator",
        "training pairs",
        "AutoModelForSeq2SeqLM",
        "from ptu_seq.data import TokenizerPair\n"
        "from ptu_seq.translation.inference import translate\n"
        "from transformers import AutoModelForSeq2SeqLM",
        'tokenizers = TokenizerPair.load(".")\n'
        'for translation in translate(model, tokenizers, ["A sentence."]):\n'
        "    print(translation.text)",
    ),
}

PTU = (
    "with Parameter Transfer Units (Zhang, Zhang & Yang, PAKDD 2019, arXiv 1804.08613): gates, "
    "learned between a frozen source network and a target network that read the same input, say "
    "neuron by neuron how far the source is shared, re-tuned or left aside. The gates' equations "
    "are [ptu-seq](https://pypi.org/project/ptu-seq/)'s reconstruction of the paper."
)

LOAD = """\
## How to use it

`pip install ptu-seq`, then, in this folder (on the hub with the model's name for `"."`):

```python
import ptu_seq.models  # registers the architecture
{imports}

model = {auto_class}.from_pretrained("."{source}).eval()
{lines}```
"""

GATES = """\
## Gates

Means over neurons, positions and test examples. Update: the share of a neuron's output that is the
source's. Fine-tune: how much of that share is re-tuned.

| site | update | fine-tune |
| --- | ---: | ---: |
"""

#: What tells the shape of a network, in this order.
SHAPE = (
    *("model_type", "architecture", "rnn_type", "num_hidden_layers", "num_encoder_layers"),
    *("num_decoder_layers", "embedding_size", "hidden_size", "width", "bidirectional", "pooling"),
    *("attention", "vocab_size", "decoder_vocab_size", "image_size", "num_channels"),
)
UNITS = ("sites", "level", "source_input", "gates_per", "candidate", "gate_dropout", "update_bias")


def write_model_card(folder: str | os.PathLike[str], run: Run | None = None) -> bool:
    """Writes the card of a saved model, unless its user has written one.

    Args:
        folder: what `save_pretrained` wrote, with `config.json`.
        run: what is known of its training; without it the card tells of the architecture alone.

    Returns:
        Whether it was written: not where there is a README.md that is not of ours.
    """
    folder = Path(folder)
    if is_users_card(folder / FILE):
        return False
    config = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / FILE).write_text(model_card(config, run), encoding="utf-8")
    return True


def is_users_card(path: Path) -> bool:
    """Whether there is a README.md that we did not write, or that was made the user's own."""
    return path.exists() and MARK not in path.read_text("utf-8", errors="replace")


def model_card(config: Mapping[str, Any], run: Run | None = None) -> str:
    """The text of a card: metadata for the hub, and what a reader wants to know but a licence.

    Args:
        config: content of the model's `config.json`.
        run: what is known of its training.

    Example:
        >>> config = {"architectures": ["RNNForSequenceClassification"], "hidden_size": 64}
        >>> print(model_card(config).splitlines()[1])
        library_name: ptu-seq
    """
    name = (config.get("architectures") or ["PreTrainedModel"])[0]
    task = next((task for end, task in TASKS.items() if name.endswith(end)), None)
    title = f"{run.method}: {run.source} to {run.target}, {run.size}" if run else name
    parts = [
        f"---\n{_metadata(name, title, task, run).to_yaml()}\n---",
        f"# {title}\n\n{MARK}",
        _introduction(name, task, run),
    ]
    if run is not None:
        parts.append(f"## Results\n\n{_table(_results(task, run))}")
        if run.gates:
            rows = (f"| {site} | {update:.2f} | {tune:.2f} |" for site, update, tune in run.gates)
            parts.append(GATES + "\n".join(rows))
    parts.append(f"## Network\n\n{_table(_network(name, config))}")
    if task is not None:
        parts.append(_usage(task, config, run).rstrip())
    if run is not None and run.command:
        parts.append(f"## How to make it again\n\n```bash\n{run.command}\n```")
    return "\n\n".join(parts) + "\n"


def _metadata(name: str, title: str, task: _Task | None, run: Run | None) -> ModelCardData:
    known: dict[str, Any] = {
        "library_name": "ptu-seq",
        "pipeline_tag": task.pipeline if task else None,
        "tags": [
            "transfer-learning",
            *(["parameter-transfer-unit"] if name.startswith("PTU") else []),
        ],
    }
    if run is None:
        return ModelCardData(**known)
    result = EvalResult(
        task_type=task.pipeline if task else "other",
        dataset_type=_hub_name(run.target),
        dataset_name=run.target,
        dataset_split="test",
        metric_type=run.metric,
        metric_value=run.score,
    )
    return ModelCardData(
        **known,
        language=list(run.languages) or None,
        datasets=list(dict.fromkeys(map(_hub_name, (run.source, run.target)))),
        metrics=[run.metric],
        model_name=title,
        eval_results=[result],
    )


def _introduction(name: str, task: _Task | None, run: Run | None) -> str:
    noun = task.noun if task else "A model"
    what = f"{noun} {PTU if name.startswith('PTU') else 'of ptu-seq.'}"
    if run is None:
        return f"{what} What it was trained on is not recorded here."
    return f"{what} It was transferred from {run.source} to {run.target}."


def _results(task: _Task | None, run: Run) -> dict[str, str]:
    score = f"{run.score:.3f}" if run.metric == "accuracy" else f"{run.score:.1f}"
    return {
        f"test {run.metric}": score,
        **run.details,
        "source": run.source,
        "target": f"{run.target}, {run.size} {task.examples if task else 'examples'}",
        "method": run.method,
        "setting": ", ".join(_plain(run.setting)),
        "seed": str(run.seed),
    }


def _network(name: str, config: Mapping[str, Any]) -> dict[str, str]:
    rows = {"class": f"`{name}`"}
    networks = {side: config.get(f"{side}_network") for side in ("target", "source")}
    if any(networks.values()):
        rows |= {f"{side} network": _shape(net) for side, net in networks.items() if net}
        rows["units"] = ", ".join(_plain({k: config[k] for k in UNITS if k in config}))
        rows["source's content hash"] = f"`{config.get('source_hash')}`"
    else:
        rows["shape"] = _shape(config)
    labels = config.get("id2label")
    if labels and not name.endswith("ForConditionalGeneration"):
        rows["labels"] = ", ".join(map(str, labels.values()))
    return rows


def _shape(network: Mapping[str, Any]) -> str:
    inner = {**network, **(network.get("encoder") or {})}  # a pretrained encoder's own
    return ", ".join(_plain({key: inner[key] for key in SHAPE if inner.get(key) is not None}))


def _usage(task: _Task, config: Mapping[str, Any], run: Run | None) -> str:
    target = {**config, **(config.get("target_network") or {})}
    lines = task.lines.format(
        texts='"A premise.", "A hypothesis."' if target.get("is_pair") else '"A text."',
        channels=target.get("num_channels", 3),
        size=target.get("image_size", 32),
    )
    # Without a run we know of the model alone: tokenizers are saved beside it later, or nowhere.
    alone = run is None and "okenizer" in lines
    return LOAD.format(
        auto_class=task.auto_class,
        imports=f"from transformers import {task.auto_class}" if alone else task.imports,
        source="" if config.get("include_source", True) else ', source="FOLDER_OF_THE_SOURCE"',
        lines="" if alone else f"{lines}\n",
    )


def _plain(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            value = f"({', '.join(_plain(value))})"
        elif isinstance(value, list | tuple):
            value = " and ".join(map(str, value))
        yield f"{key} {value}"


def _table(rows: Mapping[str, str]) -> str:
    # One line each, whatever somebody's labels and names hold.
    escaped = {k: " ".join(text.split()).replace("|", "\\|") for k, text in rows.items()}
    return "\n".join(["| | |", "| --- | --- |", *(f"| {k} | {v} |" for k, v in escaped.items())])


def _hub_name(dataset: str) -> str:
    """A data set's name in the letters that the hub takes."""
    return re.sub(r"[^\w./-]+", "-", dataset).strip("-./") or "data"
