"""Transfers an image classifier from a data set with many images to ones with few.

A source network is trained once; then every method learns every target with so many images of each
class, from the same images, with the same step budget and early stopping, each with the best of at
most four settings of its own (layer_search: all its cuts), chosen on validation data.
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
from ptu_seq.experiment import Conduct, Experiment, Plan, run_here
from ptu_seq.images.figures import write_image_figures
from ptu_seq.images.jobs import ImageJobs
from ptu_seq.images.networks import ARCHITECTURES, NetworkShape, new_network
from ptu_seq.images.source import ImageSourceRecipe, prepare_image_source
from ptu_seq.images.transfer_data import ImageData, load_image_data
from ptu_seq.jobs import TUNING_SEED
from ptu_seq.methods.layers import layers
from ptu_seq.methods.vision import IMAGE_METHODS, get_image_method
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
from ptu_seq.study import Study
from ptu_seq.trainer_setup import decisive
from ptu_seq.training import TrainingOptions
from ptu_seq.transfer_data import short_name
from ptu_seq.tuning import TuningArguments
from ptu_seq.workplace import workplace

RECIPE = "image_pair"


@dataclass
class StudyArguments(Checked):
    """What is compared."""

    _argument_group_name: ClassVar[str] = "study"

    preset: str = field(
        default="quick",
        metadata={"help": "defaults from recipes/configs: quick (minutes) or paper (large)"},
    )
    source_dataset: str = field(
        default="mnist",
        metadata={
            "help": "bundled name (mnist, digits), .npz file with x and y, folder of train.npz, "
            "validation.npz and test.npz, or hub name"
        },
    )
    target_datasets: list[str] = field(
        default_factory=lambda: ["digits"],
        metadata={"help": "one or more, named like the source"},
    )
    sizes: list[str] = field(
        default_factory=lambda: ["1", "3", "10", "50"],
        metadata={"help": "training images of each class of a target; 'all' for every one"},
    )
    seeds: Annotated[int, Range(1, TUNING_SEED)] = field(
        default=8, metadata={"help": "runs of each cell, each with a subset and a start of its own"}
    )
    methods: list[str] = field(
        default_factory=lambda: ["scratch", "frozen", "fine_tune", "ptu"],
        metadata={
            "help": f"what to compare: {', '.join(IMAGE_METHODS)}; or one of them with a "
            "companion, as in ptu+dann"
        },
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

    architecture: str = field(
        default="lenet", metadata={"help": "kind of network", "choices": list(ARCHITECTURES)}
    )
    width: Annotated[int, Range(1)] = field(
        default=16, metadata={"help": "channels of the first block; later ones have multiples"}
    )
    image_size: Annotated[int, Range(4)] = field(
        default=28, metadata={"help": "height and width to which all images are resized"}
    )
    num_channels: int = field(
        default=1, metadata={"help": "1: all images in grey, 3: in colour", "choices": [1, 3]}
    )
    dropout: Annotated[float, Range(0, 0.99)] = field(
        default=0.2, metadata={"help": "dropout before the classifier"}
    )


@dataclass
class UnitArguments:
    """The Parameter Transfer Units."""

    _argument_group_name: ClassVar[str] = "units"

    gates_per: str = field(
        default="position",
        metadata={
            "help": "position: feature maps have gates at each; channel: one pair a channel",
            "choices": ["position", "channel"],
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
        default=12.0, metadata={"help": "passes over its images"}
    )
    source_max_steps: Annotated[int, Range(1)] = field(
        default=3000, metadata={"help": "optimisation steps at most"}
    )
    source_seed: Annotated[int, Range(0, 2**32 - 1)] = field(
        default=0, metadata={"help": "seed of the source network"}
    )


ARGUMENTS = (
    *(StudyArguments, TuningArguments, NetworkArguments, UnitArguments, SourceArguments),
    TrainingOptions,
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
    methods = {name: get_image_method(name) for name in wanted.methods}
    depth = len(layers(new_network(NetworkShape(**asdict(network)), {0: "", 1: " "}))) - 1
    return Plan(
        sizes=parse_sizes(wanted.sizes),
        grids={name: method.settings(depth) for name, method in methods.items()},
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
    wanted, tuning, network, units, source_arguments, training = arguments
    workers = usable_workers(wanted.workers)
    output_dir = Path(wanted.output_dir)
    configuration = {
        "network": asdict(network),
        "units": asdict(units),
        # Every method's, so that results do not mix after one's grid has changed in the code.
        "grids": {name: list(method.grid) for name, method in IMAGE_METHODS.items()},
        "source_training": asdict(source_arguments),
        "training": decisive(training),
        **tuning.configuration(),
    }
    with workplace(output_dir) as unfinished:
        study = Study(
            output_dir, RECIPE, short_name(wanted.source_dataset), configuration, noted(arguments)
        )
        data = load_image_data(wanted.source_dataset, wanted.target_datasets, plan.sizes)
        study.check_data(data.digests)

        logs_dir = unfinished if training.report_to == "none" else output_dir / "trackers"
        source_recipe = ImageSourceRecipe(
            network=NetworkShape(**asdict(network)),
            learning_rate=source_arguments.source_learning_rate,
            training=replace(
                training,
                epochs=source_arguments.source_epochs,
                max_steps=source_arguments.source_max_steps,
            ),
            seed=source_arguments.source_seed,
        )
        jobs = ImageJobs(
            prepare_image_source(data, source_recipe, study, logs_dir),
            data.source,
            data.targets,
            training,
            asdict(units),
            source_recipe.network,
            models_dir=unfinished / "models",
            logs_dir=logs_dir,
            checkpoints=study.checkpoints,
        )
        best = BestModels(output_dir / "model", list(data.targets), study.config_hash)
        try:
            conduct(Experiment(study, plan, list(data.targets), jobs, workers, best.keep))
        finally:
            if read_results(output_dir):
                report(output_dir, data, jobs, {**asdict(wanted), **configuration})


def report(
    output_dir: Path, data: ImageData, jobs: ImageJobs, configuration: dict[str, Any]
) -> None:
    """Writes summary, figures and report of what is finished, and prints the table."""
    summary = write_summary(output_dir, RECIPE, command=command_line(), configuration=configuration)
    write_figures(output_dir, summary, read_results(output_dir))
    write_model_cards(output_dir, summary)
    write_image_figures(output_dir, data, jobs.network)
    page = write_report(output_dir)
    print(
        f"\nSizes are training images of each class.\n\n{format_table(summary)}\n\nReport: {page}"
    )


if __name__ == "__main__":
    run_recipe(main)
