"""The source network of an image study: trained once, kept, and used by every run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, set_seed

from ptu_seq.checkpoints import Checkpoints
from ptu_seq.data.images import ImageDataset
from ptu_seq.distributed import together
from ptu_seq.errors import UserError
from ptu_seq.evaluation import accuracy
from ptu_seq.images.batches import ImageExamples, predict, stack
from ptu_seq.images.networks import NetworkShape, new_network
from ptu_seq.images.transfer_data import ImageData
from ptu_seq.kept_source import check_weights, weights_note
from ptu_seq.records import content_digest, read_json, write_json
from ptu_seq.study import Study
from ptu_seq.trainer_setup import decisive, quiet_transformers
from ptu_seq.training import TrainingOptions, fit

#: Validation images that decide when the source's training ends, at most.
VALIDATION_EXAMPLES = 2000


@dataclass(frozen=True)
class ImageSourceRecipe:
    """What makes a source network.

    Args:
        network: its shape.
        learning_rate: Adam's, at its peak.
        training: how it is trained.
        seed: of its weights and batches.
    """

    network: NetworkShape
    learning_rate: float
    training: TrainingOptions
    seed: int


def prepare_image_source(
    data: ImageData, recipe: ImageSourceRecipe, study: Study, logs: Path
) -> Path:
    """Trains the source network, or finds it already trained.

    Args:
        data: source and targets.
        recipe: what makes the network.
        study: in whose folder it is kept, as `source`.
        logs: a folder for what trackers write.

    Returns:
        The folder of the network.

    Raises:
        UserError: if the study has begun with a source that learned images of a test set given now.
    """
    dataset, folder = data.source, study.output_dir / "source"
    note = read_json(folder / "source.json")
    wanted = _digest(data.digests[study.source], recipe)
    if note.get("digest") == wanted:
        learned = set(data.left_out) - set(note["left_out"])
        if not learned:
            check_weights(folder, note)
            print(f"Source: {folder} is already trained.")
            return folder
        if study.is_begun:
            raise UserError(
                f"the source network in {folder} has learned {len(learned)} images of the test "
                "sets given now: choose another --output_dir."
            )
    (folder / "source.json").unlink(missing_ok=True)  # until the new one is complete
    quiet_transformers()
    print(f"Source: training on {dataset.name} ({len(dataset.train)} images).")
    set_seed(recipe.seed)
    model = new_network(recipe.network, dict(enumerate(dataset.label_names)))
    checkpoints = study.checkpoints.of("source", wanted)
    scores = together(train_image_source, dataset, model, recipe, logs, checkpoints)
    model.save_pretrained(folder)
    write_json(
        folder / "source.json",
        {
            "digest": wanted,
            "dataset": dataset.name,
            "left_out": list(data.left_out),
            **weights_note(folder),
            **scores,
        },
    )
    study.checkpoints.remove("source")
    print(f"Source: test accuracy {100 * scores['test_score']:.1f} on {dataset.name}.")
    return folder


def train_image_source(
    dataset: ImageDataset,
    model: PreTrainedModel,
    recipe: ImageSourceRecipe,
    logs: Path,
    checkpoints: Checkpoints | None = None,
) -> dict[str, Any]:
    """Trains the source network in place.

    Returns:
        What came of it: "validation_score" and "test_score" (accuracy, 0 to 1), "steps",
        "seconds".
    """
    size, channels = recipe.network.image_size, recipe.network.num_channels
    validation = dataset.validation.select(range(min(len(dataset.validation), VALIDATION_EXAMPLES)))
    trained = fit(
        model,
        [{"params": list(model.parameters()), "lr": recipe.learning_rate}],
        ImageExamples(dataset.train, size, channels),
        ImageExamples(validation, size, channels),
        recipe.training,
        collate=stack,
        sampling="random",
        folder=logs / "source",
        seed=recipe.seed,
        progress=True,
        checkpoints=checkpoints,
    )
    predictions = predict(model, ImageExamples(dataset.test, size, channels))
    return {
        "validation_score": trained.validation_score,
        "test_score": accuracy(dataset.test.labels, predictions),
        "steps": trained.steps,
        "seconds": round(trained.seconds, 2),
    }


def _digest(data_digest: str, recipe: ImageSourceRecipe) -> str:
    settings = {**dataclasses.asdict(recipe), "training": decisive(recipe.training)}
    return content_digest([data_digest, settings])
