"""Transfers a sentence classifier from a data set with many examples to ones with few.

A source network is trained once; then every method learns every target at every size, from the
same examples, with the same step budget and early stopping, each with the best of at most four
settings of its own (chosen on validation data). See --output_dir for what is written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm
from transformers import AutoTokenizer, set_seed

from ptu_seq.arguments import command_line, parse_recipe, run_recipe
from ptu_seq.classification_jobs import ClassificationJobs, train_source
from ptu_seq.data import ClassificationDataset, load_classification, train_tokenizer
from ptu_seq.errors import UserError
from ptu_seq.methods import get_method
from ptu_seq.models import RNNConfig, RNNForSequenceClassification
from ptu_seq.report import format_table, read_results, write_figures, write_report, write_summary
from ptu_seq.runner import JobRunner, default_workers
from ptu_seq.study import Cell, Job, Outcome, Size, Study, config_hash, write_json
from ptu_seq.training import TrainingOptions

RECIPE = "sentence_classification"

# As the literature reports an LSTM with all of the target's training data (recalled, unverified).
YARDSTICKS = {
    ("imdb", "rotten_tomatoes"): "about 81.4 fine-tuned (IMDB -> MR)",
    ("imdb", "mr"): "about 81.4 fine-tuned (IMDB -> MR)",
    ("imdb", "trec"): "about 93.2 with frozen embeddings (IMDB -> QC)",
}


@dataclass
class StudyArguments:
    """What is compared."""

    preset: str = field(
        default="quick",
        metadata={"help": "defaults from recipes/configs: quick (minutes) or paper (hours)"},
    )
    source_dataset: str = field(
        default="imdb",
        metadata={
            "help": "bundled name (imdb, rotten_tomatoes, tweets, bbc), hub name, or a folder or "
            "file of JSONL, CSV, TSV or Parquet"
        },
    )
    target_datasets: list[str] = field(
        default_factory=lambda: ["rotten_tomatoes"],
        metadata={"help": "one or more, named like the source"},
    )
    sizes: list[str] = field(
        default_factory=lambda: ["100", "500"],
        metadata={"help": "training examples of each target; 'all' for every one"},
    )
    seeds: int = field(
        default=5, metadata={"help": "runs of each cell, each with a subset and a start of its own"}
    )
    methods: list[str] = field(
        default_factory=lambda: ["scratch", "frozen", "fine_tune", "ptu"],
        metadata={"help": "what to compare"},
    )
    output_dir: str = field(
        default=f"runs/{RECIPE}",
        metadata={"help": "results, summary, figures, report and models go here; a rerun goes on"},
    )
    workers: int = field(
        default=0,
        metadata={"help": "runs at a time, one process and core each; 0: as many as fit"},
    )


@dataclass
class NetworkArguments:
    """The source network; the targets have the same shape."""

    rnn_type: str = field(default="lstm", metadata={"help": "lstm or gru"})
    embedding_size: int = field(default=64, metadata={"help": "features of a token's vector"})
    hidden_size: int = field(
        default=64, metadata={"help": "features of the hidden state, per direction"}
    )
    num_hidden_layers: int = field(default=1, metadata={"help": "recurrent layers"})
    bidirectional: bool = field(default=False, metadata={"help": "read from both ends"})
    pooling: str = field(default="max", metadata={"help": "max, mean, last or attention"})
    embedding_dropout: float = field(default=0.3, metadata={"help": "dropout on token vectors"})
    hidden_dropout: float = field(
        default=0.3, metadata={"help": "dropout between layers and before the classifier"}
    )
    vocab_size: int = field(
        default=8000, metadata={"help": "sentencepiece pieces, of the source's training text"}
    )
    max_length: int = field(default=64, metadata={"help": "tokens read of each text"})


@dataclass
class UnitArguments:
    """The Parameter Transfer Units."""

    sites: list[str] = field(
        default_factory=lambda: ["embedding", "rnn", "classifier"],
        metadata={"help": "where units sit: embedding, rnn, classifier"},
    )
    level: str = field(
        default="layer",
        metadata={"help": "layer (units gate a layer's output) or step (inside the recurrence)"},
    )
    candidate: str = field(
        default="linear", metadata={"help": "the re-tuned source: linear, tanh or relu"}
    )


@dataclass
class SourceArguments:
    """How the source is trained."""

    source_learning_rate: float = field(default=2e-3, metadata={"help": "Adam's, at its peak"})
    source_epochs: float = field(default=4.0, metadata={"help": "passes over its examples"})
    source_max_steps: int = field(default=3000, metadata={"help": "optimisation steps at most"})
    source_seed: int = field(default=0, metadata={"help": "seed of the source network"})


def main(argv: Sequence[str] | None = None) -> None:
    """Runs the study and writes what came of it."""
    arguments = parse_recipe(
        [StudyArguments, NetworkArguments, UnitArguments, SourceArguments, TrainingOptions],
        description=__doc__ or "",
        presets=Path(__file__).parent / "configs" / RECIPE,
        argv=argv,
    )
    study_arguments, network, units, source_arguments, training = arguments
    sizes = [parse_size(size) for size in study_arguments.sizes]
    methods = {name: get_method(name) for name in study_arguments.methods}
    if study_arguments.seeds < 1:
        raise UserError(f"--seeds is {study_arguments.seeds}; at least 1 is needed.")
    config = shape(network)  # refuses a bad shape before anything is loaded
    configuration = {
        "source": study_arguments.source_dataset,
        **{
            k: asdict(part)
            for k, part in zip(
                ("network", "units", "source_training", "training"), arguments[1:], strict=True
            )
        },
    }
    output_dir = Path(study_arguments.output_dir)
    study = Study(output_dir, RECIPE, short_name(study_arguments.source_dataset), configuration)

    source = load_classification(study_arguments.source_dataset)
    targets = load_targets(study_arguments.target_datasets, source, sizes)
    source_dir = prepare_source(
        source, config, network, source_arguments, training, output_dir / "source"
    )
    jobs = ClassificationJobs(
        source_dir, targets, training, asdict(units), network.max_length, output_dir / "runs"
    )
    cells = [Cell(t, size, m) for t in targets for size in sizes for m in methods]
    grids = {name: [dict(s) for s in method.grid] for name, method in methods.items()}
    seeds = range(study_arguments.seeds)
    to_tune = study.missing_tuning(cells, grids)
    total = len(to_tune) + study.count_missing(cells, seeds)
    best = BestModels(output_dir, list(targets))
    try:
        with (
            JobRunner(jobs, study_arguments.workers or default_workers()) as runner,
            tqdm(total=total, unit="run", desc="Transfer") as bar,
        ):

            def on_end(job: Job, outcome: Outcome) -> None:
                bar.set_postfix_str(f"{job.cell.target} {job.cell.size} {job.cell.method}")
                bar.update()
                best.keep(job, outcome)

            study.run(cells, grids, seeds, runner, on_end)
    finally:
        if read_results(output_dir):
            report(output_dir, {**asdict(study_arguments), **configuration})
    print_yardsticks(study.source, list(targets))


def parse_size(word: str) -> Size:
    """A size as given on the command line.

    Raises:
        UserError: if it is neither a positive number nor "all".
    """
    if word == "all":
        return "all"
    if word.isdigit() and int(word) > 0:
        return int(word)
    raise UserError(f"--sizes {word!r} is not a size; give positive whole numbers or 'all'.")


def shape(network: NetworkArguments) -> dict[str, Any]:
    """The network's part of an RNNConfig.

    Raises:
        UserError: if a field is out of range.
    """
    fields = asdict(network)
    del fields["max_length"]
    try:
        RNNConfig(**fields)
    except ValueError as error:
        raise UserError(str(error)) from error
    return fields


def short_name(dataset: str) -> str:
    """What tables call a data set: the last part of a path, else its name."""
    path = Path(dataset)
    return path.name if path.exists() else dataset


def load_targets(
    names: Sequence[str], source: ClassificationDataset, sizes: Sequence[Size]
) -> dict[str, ClassificationDataset]:
    """The target data sets by short name, checked against the source and the sizes.

    Raises:
        UserError: if one cannot be used.
    """
    targets: dict[str, ClassificationDataset] = {}
    for name in names:
        target = load_classification(name)
        if target.text_columns != source.text_columns:
            raise UserError(
                f"the source {source.name!r} has {' and '.join(source.text_columns)}, the target "
                f"{name!r} {' and '.join(target.text_columns)}: both must be single texts or pairs."
            )
        for size in sizes:
            if size != "all" and size > len(target.train):
                raise UserError(
                    f"--sizes {size}: {name!r} has {len(target.train)} training examples; "
                    "give a smaller size or 'all'."
                )
        targets[short_name(name)] = target
    return targets


def prepare_source(
    source: ClassificationDataset,
    config: dict[str, Any],
    network: NetworkArguments,
    arguments: SourceArguments,
    training: TrainingOptions,
    folder: Path,
) -> Path:
    """Trains the source network and its vocabulary, or finds them already trained."""
    wanted = config_hash([source.name, config, network.max_length, asdict(arguments)])
    note = folder / "source.json"
    if note.exists() and json.loads(note.read_text("utf-8"))["config_hash"] == wanted:
        print(f"Source: {folder} is already trained.")
        return folder
    print(f"Source: training on {source.name} ({len(source.train)} examples).")
    texts = [text for column in source.text_columns for text in source.train[column]]
    lengths = network.max_length * len(source.text_columns)
    tokenizer = train_tokenizer(texts, network.vocab_size, max_length=lengths)
    set_seed(arguments.source_seed)
    model = RNNForSequenceClassification(
        RNNConfig(
            **{**config, "vocab_size": len(tokenizer)},
            is_pair=len(source.text_columns) == 2,
            id2label=dict(enumerate(source.label_names)),
        )
    )
    outcome = train_source(
        source,
        model,
        tokenizer,
        TrainingOptions(
            batch_size=training.batch_size,
            epochs=arguments.source_epochs,
            max_steps=arguments.source_max_steps,
            report_to=training.report_to,
        ),
        learning_rate=arguments.source_learning_rate,
        max_length=network.max_length,
        seed=arguments.source_seed,
        progress=True,
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    AutoTokenizer.from_pretrained(folder)  # what the runs will do
    write_json(note, {"config_hash": wanted, "dataset": source.name, **outcome})
    print(f"Source: test accuracy {100 * outcome['test_score']:.1f} on {source.name}.")
    return folder


class BestModels:
    """Keeps the PTU model with the best validation score at the largest size, for each target.

    The first target's lies in `model/`, that of any other in `model/TARGET/`.
    """

    def __init__(self, output_dir: Path, targets: Sequence[str]) -> None:
        self.folders = {
            target: output_dir / "model" / ("" if i == 0 else target)
            for i, target in enumerate(targets)
        }

    def keep(self, job: Job, outcome: Outcome) -> None:
        """Moves the run's model to its place if it is the best so far, else removes it."""
        if outcome.model_dir is None:
            return
        folder, made = self.folders[job.cell.target], Path(outcome.model_dir)
        size = float("inf") if job.cell.size == "all" else float(job.cell.size)
        rank = [size if size != float("inf") else 1e18, outcome.validation_score]
        note = folder / "run.json"
        if not note.exists() or json.loads(note.read_text("utf-8"))["rank"] < rank:
            folder.mkdir(parents=True, exist_ok=True)
            for file in made.iterdir():
                file.replace(folder / file.name)
            write_json(note, {"rank": rank, **asdict(job), "score": outcome.score})
        shutil.rmtree(made)


def report(output_dir: Path, configuration: dict[str, Any]) -> None:
    """Writes summary, figures and report of what is finished, and prints the table."""
    summary = write_summary(output_dir, RECIPE, command=command_line(), configuration=configuration)
    write_figures(output_dir, summary, read_results(output_dir))
    page = write_report(output_dir)
    print(f"\n{format_table(summary)}\n\nReport: {page}")


def print_yardsticks(source: str, targets: Sequence[str]) -> None:
    """Prints what the literature reports for the same pair, where there is something."""
    for target in targets:
        if (source, target) in YARDSTICKS:
            print(
                f"Literature, an LSTM with all training data: {YARDSTICKS[source, target]}; "
                "recalled, unverified."
            )


if __name__ == "__main__":
    run_recipe(main)
