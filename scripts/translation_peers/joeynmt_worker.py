"""JoeyNMT's own training loop and beam search, in turns; runs in the peers' environment.

python -m translation_peers.joeynmt_worker TASK.json, which `translation_peers/speed.py` writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from joeynmt.config import parse_global_args  # type: ignore[import-not-found]
from joeynmt.prediction import predict, prepare  # type: ignore[import-not-found]
from joeynmt.training import TrainManager  # type: ignore[import-not-found]
from torch.utils.data import DataLoader
from translation_peers.turns import Turns


class TurnSampler:
    """Gives JoeyNMT's data loader the batches of the turns; order and seed are not its affair."""

    def __init__(self, turns: Turns, task: dict[str, Any]) -> None:
        self.turns, self.task = turns, task

    def __iter__(self) -> Any:
        """The batches."""
        return self.turns.train(self.task["batches"], self.task["steps"])

    def set_seed(self, seed: int) -> None:
        """Does nothing."""

    def get_state(self) -> None:
        """There is none."""


def main() -> None:
    """Answers "train" and "decode"."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    turns = Turns()
    arguments = parse_global_args(task["joeynmt"], rank=0, mode="train")
    arguments.model_dir.mkdir(parents=True, exist_ok=True)
    model, training, validation, test = prepare(arguments, rank=0, mode="train")

    def in_turns(**options: Any) -> DataLoader:
        loader = type(training).make_iter(training, **options)
        # Batches are collated as always; only which sentences make one is ours to say.
        return DataLoader(
            training, batch_sampler=TurnSampler(turns, task), collate_fn=loader.collate_fn
        )

    training.make_iter = in_turns
    manager = TrainManager(
        rank=0,
        model=model,
        model_dir=arguments.model_dir,
        device=arguments.device,
        autocast=arguments.autocast,
        seed=arguments.seed,
        train_args=arguments.train,
        dev_args=arguments.test,
    )
    turns.answer(parameters=sum(p.numel() for p in model.parameters()))
    manager.train_and_validate(train_data=training, valid_data=validation)

    def translate() -> int:
        decoded = predict(
            model,
            test,
            device=arguments.device,
            n_gpu=0,
            args=arguments.test,
            autocast=arguments.autocast,
        )[3]
        return sum(map(len, decoded))

    turns.decode(translate)


if __name__ == "__main__":
    main()
