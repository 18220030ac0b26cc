"""Transfers a sentence classifier from a data set with many examples to ones with few.

A source network is trained once, or a pretrained encoder is taken (--source_model); then every
method learns every target at every size, from the same examples, with the same step budget and
early stopping, each with the best of at most four settings of its own (layer_search: all its cuts),
chosen on validation data.
See --output_dir for what is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from ptu_seq.arguments import (
    RecipeParser,
    command_line,
    noted,
    parse_recipe,
    parse_sizes,
    run_recipe,
)
from ptu_seq.best_models import BestModels
from ptu_seq.classification_jobs import ClassificationJobs
from ptu_seq.classification_source import SourceRecipe, prepare_source
from ptu_seq.data.streams import StreamingArguments
from ptu_seq.encoder_source import prepare_encoder
from ptu_seq.errors import UserError
from ptu_seq.experiment import Conduct, Experiment, Plan, run_here
from ptu_seq.jobs import TUNING_SEED
from ptu_seq.methods import METHODS, get_method
from ptu_seq.methods.encoders import ENCODER_METHODS, get_encoder_method
from ptu_seq.models import PTUConfig
from ptu_seq.ranges import Checked, Range
from ptu_seq.report import (
    format_table,
    read_results,
    write_figures,
    write_model_cards,
    write_report,
    write_summary,
)
from ptu_seq.runner import usable_workers
from ptu_seq.source_cache import SourceCacheArguments
from ptu_seq.study import Study
from ptu_seq.trainer_setup import decisive
from ptu_seq.training import TrainingOptions
from ptu_seq.transfer_data import load_transfer_data, short_name
from ptu_seq.transfer_stream import stream_transfer_data
from ptu_seq.tuning import TuningArguments
from ptu_seq.workplace import workplace

RECIPE = "sentence_classification"

# What the units do where no flag and no setting says otherwise: part of a study's configuration.
UNIT_DEFAULTS = ("candidate_init", "fine_tune_bias", "update_bias", "gate_dropout", "branch_loss")

# As the literature reports an LSTM with all of the target's training data (recalled, unverified).
YARDSTICKS = {
    ("imdb", "rotten_tomatoes"): "about 81.4 fine-tuned (IMDB -> MR)",
    ("imdb", "mr"): "about 81.4 fine-tuned (IMDB -> MR)",
    ("imdb", "trec"): "about 93.2 with frozen embeddings (IMDB -> QC)",
}


@dataclass
class StudyArguments(Checked):
    """What is compared."""

    _argument_group_name: ClassVar[str] = "study"

    preset: str = field(
        default="quick",
        metadata={
            "help": "defaults from recipes/configs: quick (minutes), paper (large) or encoder (a "
            "pretrained one as the source)"
        },
    )
    source_dataset: str = field(
        default="imdb",
        metadata={
            "help": "bundled name (imdb, rotten_tomatoes, tweets, bbc), hub name, or a folder or "
            "file of JSONL, CSV, TSV or Parquet"
        },
    )
    source_model: str = field(
        default="",
        metadata={
            "help": "a pretrained Transformer encoder as the source, in place of a network trained "
            "on --source_dataset: minilm (bundled), a folder or a hub name; see "
            "--preset encoder"
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
    seeds: Annotated[int, Range(1, TUNING_SEED)] = field(
        default=5, metadata={"help": "runs of each cell, each with a subset and a start of its own"}
    )
    methods: list[str] = field(
        default_factory=lambda: ["scratch", "frozen", "fine_tune", "ptu"],
        metadata={
            "help": f"what to compare: {', '.join(METHODS)}; or one of them with a "
            f"companion, as in ptu+dann. With --source_model: {', '.join(ENCODER_METHODS)}"
        },
    )
    test_examples: Annotated[int, Range(0)] = field(
        default=0,
        metadata={"help": "test examples scored, drawn at random once; 0: all"},
    )
    output_dir: str = field(
        default=f"runs/{RECIPE}",
        metadata={"help": "results, summary, figures, report and models go here; a rerun goes on"},
    )
    workers: Annotated[int, Range(0)] = field(
        default=0,
        metadata={"help": "runs at a time, one process and core each; 0: as many as fit"},
    )


@dataclass
class NetworkArguments(Checked):
    """The source network; the targets have the same shape."""

    _argument_group_name: ClassVar[str] = "network"

    rnn_type: str = field(
        default="lstm", metadata={"help": "recurrent layers", "choices": ["lstm", "gru"]}
    )
    embedding_size: Annotated[int, Range(1)] = field(
        default=64, metadata={"help": "features of a token's vector"}
    )
    hidden_size: Annotated[int, Range(1)] = field(
        default=64, metadata={"help": "features of the hidden state, per direction"}
    )
    num_hidden_layers: Annotated[int, Range(1)] = field(
        default=1, metadata={"help": "how many recurrent layers"}
    )
    bidirectional: bool = field(default=False, metadata={"help": "read from both ends"})
    pooling: str = field(
        default="max",
        metadata={
            "help": "how states become one vector",
            "choices": ["max", "mean", "last", "attention"],
        },
    )
    embedding_dropout: Annotated[float, Range(0, 0.99)] = field(
        default=0.3, metadata={"help": "dropout on token vectors"}
    )
    hidden_dropout: Annotated[float, Range(0, 0.99)] = field(
        default=0.3, metadata={"help": "dropout between layers and before the classifier"}
    )
    vocab_size: Annotated[int, Range(8)] = field(
        default=8000, metadata={"help": "sentencepiece pieces, of the source's training text"}
    )
    max_length: Annotated[int, Range(2)] = field(
        default=256, metadata={"help": "tokens read of each text"}
    )

    def shape(self) -> dict[str, Any]:
        """The fields of :class:`ptu_seq.models.RNNConfig`."""
        return {name: value for name, value in asdict(self).items() if name != "max_length"}


@dataclass
class UnitArguments:
    """The Parameter Transfer Units."""

    _argument_group_name: ClassVar[str] = "units"

    sites: list[str] = field(
        default_factory=lambda: ["embedding", "rnn", "classifier"],
        metadata={"help": "where units sit", "choices": ["embedding", "rnn", "classifier"]},
    )
    level: str = field(
        default="layer",
        metadata={
            "help": "layer: units gate a layer's output; step: inside the recurrence",
            "choices": ["layer", "step"],
        },
    )
    candidate: str = field(
        default="linear",
        metadata={"help": "the re-tuned source", "choices": ["linear", "tanh", "relu"]},
    )


@dataclass
class SourceArguments(Checked):
    """How the source is trained."""

    _argument_group_name: ClassVar[str] = "source"

    source_learning_rate: Annotated[float, Range(1e-8, 1)] = field(
        default=2e-3, metadata={"help": "Adam's, at its peak"}
    )
    source_epochs: Annotated[float, Range(0)] = field(
        default=10.0, metadata={"help": "passes over its examples"}
    )
    source_max_steps: Annotated[int, Range(1)] = field(
        default=6000, metadata={"help": "optimisation steps at most"}
    )
    source_seed: Annotated[int, Range(0, 2**32 - 1)] = field(
        default=0, metadata={"help": "seed of the source network"}
    )


ARGUMENTS = (
    *(StudyArguments, TuningArguments, NetworkArguments, UnitArguments, SourceArguments),
    *(TrainingOptions, SourceCacheArguments, StreamingArguments),
)

#: The flag that limits the source's training.
SOURCE_STEPS = "source_max_steps"


def parse(
    argv: Sequence[str] | None = None, parser_type: type[RecipeParser] = RecipeParser
) -> tuple[Any, ...]:
    """The recipe's arguments: an instance of each of `ARGUMENTS`."""
    return parse_recipe(
        ARGUMENTS,
        description=__doc__ or "",
        presets=Path(__file__).parent / "configs" / RECIPE,
        argv=argv,
        parser_type=parser_type,
    )


def make_plan(arguments: Sequence[Any]) -> Plan:
    """What the arguments ask for, checked as far as it can be before data is loaded."""
    wanted, tuning, network, *_ = arguments
    find = get_encoder_method if wanted.source_model else get_method
    depth = 1 + network.num_hidden_layers
    return Plan(
        sizes=parse_sizes(wanted.sizes),
        grids={name: find(name).settings(depth) for name in wanted.methods},
        seeds=range(wanted.seeds),
        tuner=tuning.tuner(Path(wanted.output_dir)),
    )


def main(argv: Sequence[str] | None = None, conduct: Conduct = run_here) -> None:
    """Runs the study and writes what came of it.

    Args:
        argv: the words of the command line.
        conduct: carries out what was made ready.
    """
    arguments = parse(argv)
    plan = make_plan(arguments)
    wanted, tuning, network, units, source_arguments, training, kept, streaming = arguments
    workers = usable_workers(wanted.workers)
    output_dir = Path(wanted.output_dir)
    configuration = {
        **(
            encoder_configuration(wanted, network, units, kept)
            if wanted.source_model
            else {
                "network": asdict(network),
                "units": {**{n: getattr(PTUConfig, n) for n in UNIT_DEFAULTS}, **asdict(units)},
                # Every method's, so that results do not mix after one's grid has changed in the
                # code.
                "grids": {name: list(method.grid) for name, method in METHODS.items()},
                "source_training": asdict(source_arguments),
            }
        ),
        "training": decisive(training),
        # Nor does it matter where activations are kept: only rounding them changes numbers.
        **(
            {"source_cache_dtype": dtype} if (dtype := kept.source_cache_dtype) != "float32" else {}
        ),
        **({"test_examples": wanted.test_examples} if wanted.test_examples else {}),
        **tuning.configuration(),
        **streaming.configuration(),
    }
    source_name = short_name(wanted.source_model or wanted.source_dataset)
    with workplace(output_dir) as unfinished:
        study = Study(output_dir, RECIPE, source_name, configuration, noted(arguments))
        source_dataset = None if wanted.source_model else wanted.source_dataset
        load = stream_transfer_data if streaming.streaming else load_transfer_data
        data = load(source_dataset, wanted.target_datasets, plan.sizes)
        study.check_data(data.digests)
        pairs = [name for name, target in data.targets.items() if len(target.text_columns) > 1]
        if wanted.source_model and pairs:
            raise UserError(
                f"--target_datasets {pairs[0]!r} has pairs; with --source_model single texts are "
                "accepted."
            )

        logs_dir = unfinished if training.report_to == "none" else output_dir / "trackers"
        source_recipe = SourceRecipe(
            network=network.shape(),
            max_length=network.max_length,
            learning_rate=source_arguments.source_learning_rate,
            training=replace(
                training,
                epochs=source_arguments.source_epochs,
                max_steps=source_arguments.source_max_steps,
            ),
            seed=source_arguments.source_seed,
            shuffle_buffer=streaming.buffer,
        )
        jobs = ClassificationJobs(
            prepare_encoder(wanted.source_model, source_recipe.seed, network.max_length, study)
            if wanted.source_model
            else prepare_source(data, source_recipe, study, logs_dir),
            data.source,
            data.targets,
            training,
            asdict(units),
            network.max_length,
            models_dir=unfinished / "models",
            logs_dir=logs_dir,
            checkpoints=study.checkpoints,
            find=get_encoder_method if wanted.source_model else get_method,
            test_examples=wanted.test_examples,
            source_cache=kept.cache(),
        )
        best = BestModels(output_dir / "model", list(data.targets), study.config_hash)
        try:
            conduct(Experiment(study, plan, list(data.targets), jobs, workers, best.keep))
        finally:
            if read_results(output_dir):
                report(output_dir, {**asdict(wanted), **configuration})
    print_yardsticks(study.source, list(data.targets))


def encoder_configuration(
    wanted: StudyArguments,
    network: NetworkArguments,
    units: UnitArguments,
    kept: SourceCacheArguments,
) -> dict[str, Any]:
    """What of the configuration decides a pretrained source and its targets.

    Raises:
        UserError: for a flag that would do nothing.
    """
    given = {**asdict(network), **asdict(units), **asdict(kept)}
    usable = NetworkArguments(max_length=network.max_length)
    plain = {**asdict(usable), **asdict(UnitArguments()), **asdict(SourceCacheArguments())}
    for name, value in given.items():
        if value != plain[name] and name != "candidate":
            raise UserError(
                f"--{name} is of the recurrent networks that are trained on --source_dataset; it "
                "does nothing with --source_model."
            )
    return {
        "network": {"source_model": wanted.source_model, "max_length": network.max_length},
        "units": {"candidate": units.candidate},
        "grids": {name: list(method.grid) for name, method in ENCODER_METHODS.items()},
    }


def report(output_dir: Path, configuration: dict[str, Any]) -> None:
    """Writes summary, figures and report of what is finished, and prints the table."""
    summary = write_summary(output_dir, RECIPE, command=command_line(), configuration=configuration)
    write_figures(output_dir, summary, read_results(output_dir))
    write_model_cards(output_dir, summary)
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
