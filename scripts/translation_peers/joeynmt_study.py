"""JoeyNMT's side of the comparison: a parent, and children from scratch and warm-started."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from translation_peers.joeynmt_runs import JoeyNMT

from ptu_seq.data import TokenizerPair, TranslationDataset, translation_subset
from ptu_seq.jobs import TUNING_SEED, Setting, Size, file_name
from ptu_seq.methods.translation import get_translation_method
from ptu_seq.records import read_json
from ptu_seq.translation.corpora import Corpora
from ptu_seq.translation.options import TranslationTrainingOptions
from ptu_seq.translation.vocabularies import VocabularyOptions, scratch_vocabulary

SCRATCH, WARM = "JoeyNMT scratch", "JoeyNMT warm start"

#: The settings that each of JoeyNMT's ways tries: from scratch those of our method. For the warm
#: start two learning rates and dropouts of `fine_tune`, which differ there in rates for the tables
#: of token vectors too (JoeyNMT has one rate for all), and further learning rates.
GRIDS: dict[str, tuple[Setting, ...]] = {
    SCRATCH: get_translation_method("scratch").grid,
    WARM: tuple(
        {"learning_rate": rate, "embedding_dropout": 0.3, "hidden_dropout": dropout}
        for rate, dropout in ((4e-3, 0.5), (4e-3, 0.3), (8e-3, 0.3), (2e-3, 0.3))
    ),
}

#: A child, a number of its pairs and a system.
Key = tuple[str, Size, str]
Translations = dict[Key, list[list[str]]]
Settings = dict[Key, Setting]
Run = Callable[[Setting, int], dict[str, Any]]


def run_joeynmt(
    folder: Path,
    ours: Path,
    parent_model: Path,
    corpora: Corpora,
    sizes: Sequence[Size],
    python: Path,
    *,
    seeds: int,
    tuning_settings: int,
    workers: int,
) -> tuple[Translations, Settings]:
    """Trains JoeyNMT's parent and children on the same pairs, and translates the test sets.

    Args:
        folder: where its runs are kept; what is finished is not done again.
        ours: the output of the recipe, whose configuration is taken.
        parent_model: our parent, whose vocabulary is taken.
        corpora: parent and children.
        sizes: training pairs of each child.
        python: the peers' Python.
        seeds: runs of each cell.
        tuning_settings: how many of a method's settings are tried.
        workers: trainings at a time.

    Returns:
        Translations, a list a seed, and the chosen setting of each cell.
    """
    configuration = read_json(ours / "study.json")["configuration"]
    sentences, parent = configuration["sentences"], configuration["parent"]
    training = TranslationTrainingOptions(**configuration["training"])
    peer = JoeyNMT(
        python,
        folder,
        configuration["network"],
        max_length=sentences["max_length"],
        max_length_ratio=sentences["max_length_ratio"],
        truncate=sentences["truncate"],
        beam_size=sentences["beam_size"],
    )
    tokenizers = TokenizerPair.load(parent_model)
    children = Children(
        peer,
        tokenizers,
        train_parent(peer, corpora.parent, tokenizers, parent, training),
        VocabularyOptions(**configuration["vocabularies"]),
        training,
    )
    translations: Translations = {}
    settings: Settings = {}
    with ThreadPoolExecutor(workers) as pool:
        for name, size, system in itertools.product(corpora.children, sizes, GRIDS):
            run = partial(children.run, name, corpora.children[name], size, system)
            grid = GRIDS[system][:tuning_settings]
            chosen = _best(grid, run, pool) if len(grid) > 1 else grid[0]
            results = list(pool.map(run, [chosen] * seeds, range(seeds)))
            translations[name, size, system] = [result["translations"] for result in results]
            settings[name, size, system] = chosen
    return translations, settings


def train_parent(
    peer: JoeyNMT,
    dataset: TranslationDataset,
    tokenizers: TokenizerPair,
    parent: Mapping[str, Any],
    training: TranslationTrainingOptions,
) -> Path:
    """Trains JoeyNMT's parent as ours was trained; its checkpoint."""
    options = replace(
        training,
        batch_tokens=parent["parent_batch_tokens"],
        epochs=parent["parent_epochs"],
        max_steps=parent["parent_max_steps"],
    )
    setting = {
        "learning_rate": parent["parent_learning_rate"],
        "embedding_dropout": parent["parent_dropout"],
        "hidden_dropout": parent["parent_dropout"],
    }
    print(f"JoeyNMT's parent: {dataset.name} ({len(dataset.train)} pairs)", flush=True)
    text = peer.text(dataset, tokenizers, options)
    result = peer.run("parent", text, setting, options, parent["parent_seed"])
    return Path(result["model"])


@dataclass(frozen=True)
class Children:
    """JoeyNMT's children.

    Args:
        peer: trains them.
        tokenizers: the parent's, which a warm start has to keep.
        parent: the parent's checkpoint.
        vocabulary: kind and size of the vocabulary of those that start from scratch.
        training: how all of them are trained.
    """

    peer: JoeyNMT
    tokenizers: TokenizerPair
    parent: Path
    vocabulary: VocabularyOptions
    training: TranslationTrainingOptions

    def run(
        self,
        name: str,
        child: TranslationDataset,
        size: Size,
        system: str,
        setting: Setting,
        seed: int,
    ) -> dict[str, Any]:
        """One training on the very pairs that the recipe's run of that size and seed has."""
        peer = self.peer
        subset = translation_subset(child, size, seed)
        tokenizers = (
            self.tokenizers
            if system == WARM
            else scratch_vocabulary(subset, self.vocabulary, peer.max_length)
        )
        text = peer.text(subset, tokenizers, self.training)
        if seed == TUNING_SEED:
            run = "-".join(map(str, setting.values()))
        else:
            run = str(seed)
            text = replace(text, test=peer.read(child.test, tokenizers))
        place = file_name(f"{name}-{size}-{system}-{run}").replace(" ", "_")
        what = f"tuning {run}" if seed == TUNING_SEED else f"seed {seed}"
        print(f"{system} on {name}, size {size}: {what}", flush=True)
        load_model = self.parent if system == WARM else None
        result = peer.run(place, text, setting, self.training, seed, load_model)
        shutil.rmtree(peer.folder / place / "model", ignore_errors=True)
        return result


def _best(grid: Sequence[Setting], run: Run, pool: ThreadPoolExecutor) -> Setting:
    """The setting with the best validation score; of equal ones the first."""
    tried = pool.map(run, grid, [TUNING_SEED] * len(grid))
    scores = [result["validation_score"] for result in tried]
    return grid[scores.index(max(scores))]
