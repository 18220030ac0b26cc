"""Eole's own training loop and beam search, in turns; runs in the peers' environment.

python -m translation_peers.eole_worker TASK.json, which `translation_peers/speed.py` writes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eole.config.run import PredictConfig, TrainConfig  # type: ignore[import-not-found]
from eole.inference_engine import InferenceEnginePY  # type: ignore[import-not-found]
from eole.inputters.text_utils import tensorify  # type: ignore[import-not-found]
from eole.models.model import get_model_class  # type: ignore[import-not-found]
from eole.models.model_saver import build_model_saver  # type: ignore[import-not-found]
from eole.train_single import TrainingInitializer, configure_process  # type: ignore[import-not-found]
from eole.trainer import build_trainer  # type: ignore[import-not-found]
from eole.utils.optimizers import Optimizer  # type: ignore[import-not-found]
from translation_peers.turns import Turns


def main() -> None:
    """Answers "train" and "decode"."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    turns = Turns()
    config = TrainConfig(**task["eole"])
    configure_process(config, device_id=-1)
    config._validate_vocab_config()
    context = TrainingInitializer(config).initialize()
    config, vocabularies = context.config, context.vocabs
    model = get_model_class(config.model).for_training(
        config.model, vocabularies, config.training, device_id=-1
    )
    optimizer = Optimizer.from_config(model, config)
    saver = build_model_saver(config, model, vocabularies, optimizer, -1, context.transforms)
    trainer = build_trainer(config, -1, model, vocabularies, optimizer, model_saver=saver)
    turns.answer(parameters=sum(p.numel() for p in model.parameters()))
    trainer.train(
        batches(turns, task, vocabularies), train_steps=0, save_checkpoint_steps=0, valid_steps=1
    )
    if turns.word != "decode":
        return
    engine = InferenceEnginePY(PredictConfig(**task["eole_decoding"]))
    lines = [" ".join(tokens) for tokens in task["decode_sources"]]

    def translate() -> int:
        _, _, predictions = engine.infer_list(lines)
        return sum(len(best.split(" ")) for best, *_ in predictions)

    turns.decode(translate)


def batches(turns: Turns, task: dict[str, Any], vocabularies: Any) -> Iterator[tuple[Any, int]]:
    """The batches of the turns, numericalised beforehand and made into tensors as Eole does."""
    start = [vocabularies["decoder_start_token"]]
    examples = [
        {
            "src": {"src_ids": vocabularies["src"](source)},
            "tgt": {"tgt_ids": vocabularies["tgt"](start + target)},
            "cid": "train",
            "cid_line_number": i,
            "sco": 1.0,
        }
        for i, (source, target) in enumerate(
            zip(task["train_sources"], task["train_targets"], strict=True)
        )
    ]
    for batch in turns.train(task["batches"], task["steps"]):
        yield tensorify(vocabularies, [(examples[i], i) for i in batch], "cpu"), 0


if __name__ == "__main__":
    main()
