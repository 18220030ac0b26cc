"""JoeyNMT's trainings, each in a folder of its own, on text that this project has cut."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset
from translation_peers import joeynmt_files as joeynmt
from translation_peers.environment import variables

from ptu_seq.data import (
    TokenBatchSampler,
    TokenizerPair,
    TranslationDataset,
    encode_pairs,
    filter_pairs,
    pair_lengths,
)
from ptu_seq.data.pair_filters import cut
from ptu_seq.errors import UserError
from ptu_seq.jobs import Setting
from ptu_seq.records import content_digest, read_json, write_json
from ptu_seq.translation.batches import Example, validation_rows
from ptu_seq.translation.options import TranslationTrainingOptions

#: The command `joeynmt`, which by itself draws its first weights before it sets its seed.
COMMAND = "import torch; torch.manual_seed({seed}); from joeynmt.__main__ import main; main()"

#: The learning rate after the last epoch, as a share of that of the first: its mean over training
#: is then half of the first, as that of our linear schedule.
LAST_RATE = 0.2


@dataclass(frozen=True)
class Text:
    """What one training of JoeyNMT reads.

    Args:
        tokenizers: cut the text into tokens.
        training: pairs to learn from.
        validation: pairs to choose a checkpoint on.
        test: pairs to translate; none in tuning.
    """

    tokenizers: TokenizerPair
    training: Sequence[Example]
    validation: Sequence[Example]
    test: Sequence[Example] = field(default=())


@dataclass(frozen=True)
class JoeyNMT:
    """Trains JoeyNMT and translates with it, each run in a folder of its own.

    Args:
        python: the peers' Python.
        folder: where runs are kept; what is finished is not done again.
        network: fields of :class:`ptu_seq.models.Seq2SeqConfig`.
        max_length: most tokens of a training sentence, and those read of any.
        max_length_ratio: most times that one side of a pair may be as long as the other.
        truncate: whether longer training sentences are cut.
        beam_size: of beam search on the test set.
    """

    python: Path
    folder: Path
    network: Mapping[str, Any]
    max_length: int
    max_length_ratio: float
    truncate: bool
    beam_size: int

    def text(
        self,
        dataset: TranslationDataset,
        tokenizers: TokenizerPair,
        options: TranslationTrainingOptions,
    ) -> Text:
        """Training and validation pairs as tokens, chosen as our own training chooses them."""
        training = filter_pairs(
            encode_pairs(dataset.train, tokenizers),
            self.max_length,
            self.max_length_ratio,
            truncate=self.truncate,
        )
        validation = self.read(dataset.validation, tokenizers)
        rows = validation_rows(validation, options.validation_sentences)
        return Text(tokenizers, training, [validation[i] for i in rows])

    def run(
        self,
        name: str,
        text: Text,
        setting: Setting,
        options: TranslationTrainingOptions,
        seed: int,
        load_model: Path | None = None,
    ) -> dict[str, Any]:
        """Trains once and translates the test set, if there is one.

        Args:
            name: of the run's folder.
            text: what it reads.
            setting: learning rate and regularisers, as far as JoeyNMT has them.
            options: how our own networks are trained.
            seed: of weights and batches.
            load_model: the checkpoint of another run to start from.

        Returns:
            "validation_score" (of tokens; it only ranks checkpoints and settings), "model" (the
            best checkpoint), "setting", the schedule and, if there is a test set, "translations".
        """
        place = self.folder / name
        schedule = make_schedule(text.training, options)
        configuration = self._configuration(place, text, setting, schedule, options, seed)
        parent = None
        if load_model is not None:
            configuration["training"]["load_model"] = str(load_model)
            parent = read_json(load_model.parents[1] / "result.json").get("digest")
        pairs = [text.training, text.validation, text.test]
        wanted = content_digest([configuration, pairs, parent])
        done = read_json(place / "result.json")
        if done.get("digest") == wanted:
            return done
        shutil.rmtree(place, ignore_errors=True)
        joeynmt.write_vocabulary(place / "text", text.tokenizers)
        for split, examples in zip(("train", "dev", "test"), pairs, strict=True):
            joeynmt.write_text(place / "text", split, examples, text.tokenizers)
        self._call("train", place, configuration, "--skip-test")
        model = place / "model" / "best.ckpt"
        result: dict[str, Any] = {
            "digest": wanted,
            "validation_score": max(joeynmt.read_validations(place / "model" / "validations.txt")),
            "model": str(model),
            "setting": dict(setting),
            **asdict(schedule),
        }
        if text.test:
            data = joeynmt.data_section(place / "text", ["test"])
            self._call("test", place, {**configuration, "data": data}, "-o", str(place / "best"))
            result["translations"] = joeynmt.read_translations(place / "best.test", text.tokenizers)
        write_json(place / "result.json", result)
        return result

    def _configuration(
        self,
        place: Path,
        text: Text,
        setting: Setting,
        schedule: joeynmt.Schedule,
        options: TranslationTrainingOptions,
        seed: int,
    ) -> dict[str, Any]:
        return joeynmt.configuration(
            place.name,
            place / "model",
            seed,
            data=joeynmt.data_section(place / "text", ["train", "dev"]),
            model=joeynmt.model_section(self.network, setting, joint=text.tokenizers.joint),
            training=joeynmt.training_section(
                setting,
                schedule,
                batch_tokens=options.batch_tokens,
                max_grad_norm=options.max_grad_norm,
            ),
            testing=joeynmt.testing_section(
                beam_size=self.beam_size,
                max_length=round(joeynmt.LENGTH_RATIO * self.max_length) + joeynmt.LENGTH_SLACK,
            ),
        )

    def read(self, split: Dataset, tokenizers: TokenizerPair) -> list[Example]:
        """Pairs of a split, the source no longer than what our own models read of it."""
        return [
            {**example, "input_ids": cut(example["input_ids"], self.max_length)}
            for example in encode_pairs(split, tokenizers)
        ]

    def _call(self, mode: str, place: Path, configuration: Mapping[str, Any], *words: str) -> None:
        file = place / f"{mode}.yaml"
        file.write_text(yaml.safe_dump(dict(configuration), sort_keys=False), encoding="utf-8")
        command = COMMAND.format(seed=configuration["random_seed"])
        with (place / f"{mode}.log").open("w", encoding="utf-8") as log:
            done = subprocess.run(
                [str(self.python), "-c", command, mode, str(file), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=place,
                env=variables(),
            )
        if done.returncode:
            raise UserError(f"JoeyNMT failed in {mode}; what it said is in {place / mode}.log.")


def make_schedule(
    training: Sequence[Example], options: TranslationTrainingOptions
) -> joeynmt.Schedule:
    """As many epochs as our own training has at most, and as many validations.

    Epochs, not steps: JoeyNMT does not sort sentences by length, so its batches have more padding
    and fewer words.
    """
    lengths = pair_lengths(training)
    ours = len(TokenBatchSampler(lengths, options.batch_tokens))
    epochs = max(1, math.ceil(options.steps(ours) / ours))
    steps = epochs * joeynmt.batches_an_epoch(lengths, options.batch_tokens)
    return joeynmt.Schedule(
        epochs,
        # A little early, as its number of batches varies: one validation has to follow the last.
        validation_freq=max(1, int(0.97 * steps / options.evaluations)),
        decrease_factor=round(LAST_RATE ** (1 / epochs), 6),
    )
