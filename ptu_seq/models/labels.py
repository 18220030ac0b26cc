"""Two tasks with the same labels: the new classifier starts from the trained one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel


@torch.no_grad()
def copy_classifier(
    source: PreTrainedModel, classifier: nn.Linear, config: PreTrainedConfig
) -> bool:
    """Starts a classifier from the source's where both tasks have the same named labels.

    Args:
        source: the trained network.
        classifier: the layer to fill.
        config: names the new task's labels, in any order.

    Returns:
        Whether the labels and sizes agree, so that the weights were copied.
    """
    head = linear_head(source)
    rows = matching_labels(label_names(source.config), label_names(config))
    if rows is None or head.weight.shape != classifier.weight.shape:
        return False
    classifier.weight.copy_(head.weight[rows])
    if head.bias is not None and classifier.bias is not None:
        classifier.bias.copy_(head.bias[rows])
    return True


def matching_labels(theirs: Sequence[str], ours: Sequence[str]) -> list[int] | None:
    """Where each of our labels stands among theirs; None unless they are the same named ones.

    Example:
        >>> matching_labels(["no", "yes"], ["yes", "no"])
        [1, 0]
        >>> matching_labels(["no", "yes"], ["bad", "good"])
    """
    same = are_named(ours) and len(set(ours)) == len(ours) and sorted(theirs) == sorted(ours)
    return [theirs.index(label) for label in ours] if same else None


def are_same_labels(theirs: Sequence[str], ours: Sequence[str]) -> bool:
    """Whether labels have the same names in the same order."""
    return matching_labels(theirs, ours) == list(range(len(ours)))


def linear_head(network: PreTrainedModel) -> nn.Linear:
    """The linear layer that makes a network's logits: its `classifier`, or the last one in that.

    Raises:
        ValueError: if there is none.

    Example:
        >>> from transformers import ResNetConfig, ResNetForImageClassification
        >>> config = ResNetConfig(hidden_sizes=[4, 8], depths=[1, 1], layer_type="basic")
        >>> linear_head(ResNetForImageClassification(config))
        Linear(in_features=8, out_features=2, bias=True)
    """
    layers = [
        module
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and f"{name}.".startswith("classifier.")
    ]
    if not layers:
        raise ValueError(f"{type(network).__name__} has no linear layer in a `classifier`.")
    return layers[-1]


def classification_loss(
    model: PreTrainedModel,
    logits: Tensor,
    labels: Tensor | None,
    num_items_in_batch: Tensor | int | None,
) -> Tensor | None:
    """The loss that transformers gives a classifier of this kind; None where there are no labels.

    Args:
        model: the classifier.
        logits: `(batch, num_labels)`.
        labels: the right classes, `(batch,)`.
        num_items_in_batch: examples in all of an optimisation step, by which the sum over examples
            is divided; those of this batch if None.
    """
    if labels is None:
        return None
    with labels_within(labels, logits.shape[-1]):
        loss: Tensor = model.loss_function(
            labels=labels,
            pooled_logits=logits,
            config=model.config,
            num_items_in_batch=num_items_in_batch,
        )
    return loss


@contextmanager
def labels_within(labels: Tensor | None, count: int) -> Iterator[None]:
    """Says what is wrong where a loss meets a label that is out of range.

    On a CPU alone: a GPU cannot say it, so batches are checked before they go there
    (:class:`ptu_seq.batches.WithinRange`).

    Args:
        labels: what the loss compares with, if anything; -100 stands for none.
        count: labels go from 0 to `count - 1`.

    Raises:
        ValueError: in place of torch's IndexError.
    """
    try:
        yield
    except IndexError as error:
        if labels is None:
            raise
        outside = labels[((labels < 0) | (labels >= count)) & (labels != -100)]
        if not len(outside):
            raise
        raise ValueError(
            f"an example's label is {int(outside[0])}; labels from 0 to {count - 1} are accepted."
        ) from error


def label_names(config: PreTrainedConfig) -> list[str]:
    """The labels, in the order of the logits."""
    names = {int(i): str(label) for i, label in (config.id2label or {}).items()}
    return [names[i] for i in sorted(names)]


def are_named(labels: Sequence[str]) -> bool:
    """Whether labels have names, so that they say what they mean; transformers fills in LABEL_0."""
    return not any(label.startswith("LABEL_") for label in labels)
