"""Transfers a translator from a pair of languages with many sentences to ones with few.

A parent is trained once; then every method learns every child pair at every size from the same
pairs, with the same step budget and early stopping, each with the best of at most four settings of
its own (layer_search: of all its cuts), chosen on validation sentences. (Pairs that are too long,
counted in the tokens that a method reads, are left out; a line says how many.) No English (or other
shared) sentence of a child's validation or test set is in the parent's training. See --output_dir
for what is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from tqdm.auto import tqdm

from ptu_seq.arguments import (
    RecipeParser,
    command_line,
    noted,
    parse_recipe,
    parse_sizes,
    run_recipe,
)
from ptu_seq.best_models import BestModels
from ptu_seq.data import excerpt
from ptu_seq.data.streams import StreamingArguments
from ptu_seq.errors import UserError
from ptu_seq.experiment import Conduct, Experiment, Plan, run_here
from ptu_seq.jobs import TUNING_SEED, Job, Outcome
from ptu_seq.kept_source import weights_digest
from ptu_seq.methods.base import MOST_SETTINGS
from ptu_seq.methods.domains import DOMAIN_EXAMPLES
from ptu_seq.methods.translation import TRANSLATION_METHODS, get_translation_method
from ptu_seq.models import PTUSeq2SeqConfig
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
from ptu_seq.translation.corpora import Corpora, load_corpora
from ptu_seq.translation.corpora_stream import stream_corpora
from ptu_seq.translation.figures import write_translation_figures
from ptu_seq.translation.jobs import TranslationJobs
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.parent import (
    ParentRecipe,
    given_parent,
    prepare_parent,
)
from ptu_seq.translation.texts import write_translations
from ptu_seq.translation.vocabularies import VocabularyOptions
from ptu_seq.tuning import TuningArguments
from ptu_seq.workplace import workplace

RECIPE = "low_resource_mt"

# What the units do where no flag and no setting says otherwise: part of a study's configuration.
UNIT_DEFAULTS = ("candidate_init", "fine_tune_bias", "update_bias", "gate_dropout")


@dataclass
class StudyArguments(Checked):
    """What is compared."""

    _argument_group_name: ClassVar[str] = "study"

    preset: str = field(
        default="quick",
        metadata={
            "help": "defaults from recipes/configs: quick (minutes), comparison (README's table, "
            "one to three hours for three children) or paper (large)"
        },
    )
    source_dataset: str = field(
        default="bible:fr-en",
        metadata={
            "help": "the parent's pairs: bundled verses (bible:fr-en), a hub name, or a folder or "
            "file of JSONL, CSV, TSV, Parquet or parallel text"
        },
    )
    target_datasets: list[str] = field(
        default_factory=lambda: ["bible:tl-en"],
        metadata={"help": "the children's pairs, one or more, named like the parent's"},
    )
    source_langs: list[str] | None = field(
        default=None,
        metadata={
            "help": "languages to translate from, the parent's and then each child's, where the "
            "data do not say them"
        },
    )
    target_lang: str | None = field(
        default=None,
        metadata={"help": "language to translate into, of all, where the data do not say it"},
    )
    sizes: list[str] = field(
        default_factory=lambda: ["2000"],
        metadata={"help": "training pairs of each child; 'all' for every one"},
    )
    seeds: Annotated[int, Range(1, TUNING_SEED)] = field(
        default=3, metadata={"help": "runs of each cell, each with a subset and a start of its own"}
    )
    methods: list[str] = field(
        default_factory=lambda: ["scratch", "frozen", "fine_tune", "zoph", "ptu"],
        metadata={
            "help": f"what to compare: {', '.join(TRANSLATION_METHODS)}; or one of them with a "
            "companion, as in ptu+dann"
        },
    )
    tuning_settings: Annotated[int, Range(1, MOST_SETTINGS)] = field(
        default=MOST_SETTINGS,
        metadata={
            "help": "settings tried of each method's; 1: the first, without tuning (layer_search: "
            "learning rates, each with all cuts)"
        },
    )
    parent_model: str | None = field(
        default=None,
        metadata={"help": "folder of a parent trained before, used as it is"},
    )
    output_dir: str = field(
        default=f"runs/{RECIPE}",
        metadata={"help": "results, translations, report and models go here; a rerun goes on"},
    )
    workers: Annotated[int, Range(0)] = field(
        default=0,
        metadata={"help": "runs at a time, one process and core each; 0: as many as fit"},
    )


@dataclass
class NetworkArguments(Checked):
    """The parent network; the children have the same shape."""

    _argument_group_name: ClassVar[str] = "network"

    rnn_type: str = field(
        default="lstm", metadata={"help": "recurrent layers", "choices": ["lstm", "gru"]}
    )
    embedding_size: Annotated[int, Range(1)] = field(
        default=128, metadata={"help": "features of a token's vector"}
    )
    hidden_size: Annotated[int, Range(2)] = field(
        default=256,
        metadata={"help": "features of the decoder's state; each encoder direction has half"},
    )
    num_encoder_layers: Annotated[int, Range(1)] = field(
        default=1, metadata={"help": "recurrent layers of the encoder"}
    )
    num_decoder_layers: Annotated[int, Range(1)] = field(
        default=1, metadata={"help": "recurrent layers of the decoder"}
    )
    attention: str = field(
        default="luong_general",
        metadata={"help": "attention", "choices": ["bahdanau", "luong_general", "luong_dot"]},
    )
    input_feeding: bool = field(
        default=False, metadata={"help": "feed the attentional vector to the next decoder step"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hidden_size % 2:
            raise UserError(
                f"--hidden_size is {self.hidden_size}; it must be even, as each of the encoder's "
                "two directions has half of it."
            )


@dataclass
class SentenceArguments(Checked):
    """Which sentences are learned from."""

    _argument_group_name: ClassVar[str] = "sentences"

    max_length: Annotated[int, Range(2)] = field(
        default=60, metadata={"help": "most tokens of a training sentence, and those read of any"}
    )
    max_length_ratio: Annotated[float, Range(1)] = field(
        default=3.0, metadata={"help": "most times that one side may be as long as the other"}
    )
    truncate: bool = field(
        default=False, metadata={"help": "cut training sentences that are too long; else left out"}
    )
    beam_size: Annotated[int, Range(1)] = field(
        default=5, metadata={"help": "hypotheses of beam search on the test set"}
    )


@dataclass
class UnitArguments:
    """The Parameter Transfer Units."""

    _argument_group_name: ClassVar[str] = "units"

    sites: list[str] = field(
        default_factory=lambda: ["embedding", "encoder", "attention", "decoder", "output"],
        metadata={
            "help": "where units sit",
            "choices": ["embedding", "encoder", "attention", "decoder", "output"],
        },
    )
    level: str = field(
        default="layer",
        metadata={
            "help": "layer: units gate a layer's output; step: inside the recurrence",
            "choices": ["layer", "step"],
        },
    )
    source_input: str = field(
        default="target",
        metadata={
            "help": "what the parent's layers read: own, its tokens and then its own activations; "
            "target, what the child's layer in their place reads",
            "choices": ["own", "target"],
        },
    )
    candidate: str = field(
        default="linear",
        metadata={"help": "the re-tuned source", "choices": ["linear", "tanh", "relu"]},
    )


@dataclass
class ParentArguments(Checked):
    """How the parent is trained."""

    _argument_group_name: ClassVar[str] = "parent"

    parent_learning_rate: Annotated[float, Range(1e-8, 1)] = field(
        default=2e-3, metadata={"help": "Adam's, at its peak"}
    )
    parent_dropout: Annotated[float, Range(0, 0.99)] = field(
        default=0.2, metadata={"help": "dropout on token vectors and between layers"}
    )
    parent_batch_tokens: Annotated[int, Range(1)] = field(
        default=2048, metadata={"help": "tokens in an optimisation step"}
    )
    parent_epochs: Annotated[float, Range(0)] = field(
        default=10.0, metadata={"help": "passes over its pairs"}
    )
    parent_max_steps: Annotated[int, Range(1)] = field(
        default=5000, metadata={"help": "optimisation steps at most"}
    )
    parent_seed: Annotated[int, Range(0, 2**32 - 1)] = field(
        default=0, metadata={"help": "seed of the parent network"}
    )


ARGUMENTS = (
    *(StudyArguments, TuningArguments, NetworkArguments, SentenceArguments, VocabularyOptions),
    *(UnitArguments, ParentArguments, TranslationTrainingOptions, StreamingArguments),
)

#: The flag that limits the parent's training.
SOURCE_STEPS = "parent_max_steps"


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
    methods = {name: get_translation_method(name) for name in wanted.methods}
    depth = network.num_encoder_layers + network.num_decoder_layers + 2  # attention, words
    return Plan(
        sizes=parse_sizes(wanted.sizes),
        grids={name: m.settings(depth, wanted.tuning_settings) for name, m in methods.items()},
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
    wanted, tuning, network, sentences, vocabulary, units, parent_arguments, *rest = arguments
    training, streaming = rest
    workers = usable_workers(wanted.workers)
    output_dir = Path(wanted.output_dir)
    load = stream_corpora if streaming.streaming else load_corpora
    corpora = load(
        wanted.source_dataset,
        wanted.target_datasets,
        wanted.source_langs,
        wanted.target_lang,
        plan.sizes,
    )
    dropout = parent_arguments.parent_dropout
    recipe = ParentRecipe(
        network={**asdict(network), "embedding_dropout": dropout, "hidden_dropout": dropout},
        vocabulary=vocabulary,
        max_length=sentences.max_length,
        max_length_ratio=sentences.max_length_ratio,
        truncate=sentences.truncate,
        learning_rate=parent_arguments.parent_learning_rate,
        training=replace(
            training,
            batch_tokens=parent_arguments.parent_batch_tokens,
            epochs=parent_arguments.parent_epochs,
            max_steps=parent_arguments.parent_max_steps,
        ),
        seed=parent_arguments.parent_seed,
        shuffle_buffer=streaming.buffer,
    )
    parent = (
        None if wanted.parent_model is None else given_parent(wanted.parent_model, recipe, corpora)
    )
    configuration = {
        "network": asdict(network),
        "sentences": asdict(sentences),
        "vocabularies": asdict(vocabulary),
        "units": {
            **{name: getattr(PTUSeq2SeqConfig, name) for name in UNIT_DEFAULTS},
            **asdict(units),
        },
        # Every method's, so that results do not mix after one's grid has changed in the code.
        "grids": {name: list(method.grid) for name, method in TRANSLATION_METHODS.items()},
        "tuning_settings": wanted.tuning_settings,
        "parent": {**asdict(parent_arguments), "parent_weights": parent and weights_digest(parent)},
        "training": decisive(training),
        **tuning.configuration(),
        **streaming.configuration(),
    }
    with workplace(output_dir) as unfinished:
        study = Study(output_dir, RECIPE, corpora.parent_name, configuration, noted(arguments))
        study.check_data(corpora.digests)
        logs_dir = unfinished if training.report_to == "none" else output_dir / "trackers"
        jobs = TranslationJobs(
            parent or prepare_parent(corpora, recipe, study, logs_dir),
            excerpt(corpora.parent, DOMAIN_EXAMPLES),
            corpora.children,
            training,
            vocabulary,
            asdict(units),
            max_length=sentences.max_length,
            max_length_ratio=sentences.max_length_ratio,
            truncate=sentences.truncate,
            beam_size=sentences.beam_size,
            models_dir=unfinished / "models",
            logs_dir=logs_dir,
            checkpoints=study.checkpoints,
        )
        best = BestModels(output_dir / "model", list(corpora.children), study.config_hash)
        on_end = OnEnd(output_dir, corpora, best)
        try:
            conduct(Experiment(study, plan, list(corpora.children), jobs, workers, on_end))
        finally:
            if read_results(output_dir):
                report(output_dir, {**asdict(wanted), **configuration})


class OnEnd:
    """What is done with each outcome, before its line is written.

    Args:
        output_dir: where translations go.
        corpora: parent and children.
        best: keeps the best model of each child.
    """

    def __init__(self, output_dir: Path, corpora: Corpora, best: BestModels) -> None:
        self.output_dir, self.corpora, self.best = output_dir, corpora, best
        self._told: set[tuple[str, str]] = set()

    def __call__(self, job: Job, outcome: Outcome) -> None:
        """Tells what was too long, and keeps model and translations."""
        cell = job.cell
        self._tell(
            f"{cell.method} on {cell.target}, size {cell.size}",
            outcome.details["left_out"],
            "training pair",
            "left out, being longer than --max_length or --max_length_ratio allow",
        )
        self._tell(
            f"{cell.method} on {cell.target}",
            outcome.details.get("cut", 0),
            "test sentence",
            "read to --max_length only",
        )
        self.best.keep(job, outcome)
        if not job.is_tuning:
            test = self.corpora.children[cell.target].test
            write_translations(self.output_dir / "translations", job, outcome, test["source"][:])

    def _tell(self, where: str, count: int, noun: str, what: str) -> None:
        """Once, as seeds differ little in it."""
        if count and (where, what) not in self._told:
            self._told.add((where, what))
            tqdm.write(f"{where}: {count} {noun}{'s' if count > 1 else ''} {what}.")


def report(output_dir: Path, configuration: dict[str, Any]) -> None:
    """Writes summary, figures and report of what is finished, and prints the table."""
    summary = write_summary(output_dir, RECIPE, command=command_line(), configuration=configuration)
    write_figures(output_dir, summary, read_results(output_dir))
    write_translation_figures(output_dir)
    write_model_cards(output_dir, summary)
    page = write_report(output_dir)
    print(f"\n{format_table(summary)}\n\nReport: {page}")


if __name__ == "__main__":
    run_recipe(main)
