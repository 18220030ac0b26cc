"""A network as layers from its input to its logits, for methods that treat them one by one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import nn
from transformers import PreTrainedModel

#: Names of the blocks that are a layer each, by the kind of network; in a stacked recurrent
#: network each of the stack's layers is one.
_BLOCKS = {
    "ptu_seq_rnn": r"embedding|rnn",
    "ptu_seq_encoder": r"encoder\.embeddings|encoder\.(encoder|transformer)\.layer\.\d+",
    "ptu_seq_cnn": r"trunk\.\w+",
    "resnet": r"resnet\.embedder|resnet\.encoder\.stages\.\d+",
    "mobilenet_v1": r"mobilenet_v1\.(conv_stem|layer\.\d+)",
}

#: How torch.nn's recurrent networks name the weights of layer 1.
_STACKED = re.compile(r"_l(\d+)(_reverse)?$")


@dataclass
class Layer:
    """A layer's weights, and what of it behaves otherwise in training than in use.

    Attributes:
        name: as "rnn.1" or "trunk.conv2"; a classifier's last one is "classifier".
        parameters: its weights.
        modules: what drops out or keeps statistics. A recurrent stack counts to its last layer.
    """

    name: str
    parameters: list[nn.Parameter] = field(default_factory=list)
    modules: list[nn.Module] = field(default_factory=list)


def layers(model: PreTrainedModel) -> list[Layer]:
    """A classifier's layers, from the input to the logits; every weight is in one of them.

    What stands between two layers (pooling, say) belongs to the one before it, but for the dropout
    before the classifier, which is the classifier's.

    Args:
        model: a plain classifier of texts or of images.

    Raises:
        ValueError: for a kind of network that is not known here.

    Example:
        >>> from ptu_seq.models import RNNConfig, RNNForSequenceClassification
        >>> config = RNNConfig(vocab_size=50, num_hidden_layers=2)
        >>> [layer.name for layer in layers(RNNForSequenceClassification(config))]
        ['embedding', 'rnn.0', 'rnn.1', 'classifier']
    """
    kind = model.config.model_type
    if kind not in _BLOCKS:
        raise ValueError(
            f"The layers of {type(model).__name__} are not known; accepted kinds of network are "
            f"{', '.join(_BLOCKS)}."
        )
    found: dict[str, Layer] = {}
    for module_name, module in _leaves(model):
        block = re.match(rf"({_BLOCKS[kind]})(\.|$)", module_name)
        if module_name.startswith("classifier") or module_name in ("dropout", "hidden_dropout"):
            name = "classifier"
        else:
            name = block[1] if block else _last(found)
        if isinstance(module, nn.RNNBase):
            _add_stack(found, name, module)
            continue
        layer = found.setdefault(name, Layer(name))
        layer.parameters += module.parameters(recurse=False)
        layer.modules.append(module)
    head = found.pop("classifier")  # its dropout may stand before other modules
    return [*found.values(), head]


def _leaves(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules that hold weights of their own or no other module."""
    for name, module in model.named_modules():
        own = next(module.parameters(recurse=False), None) is not None
        if name and (own or not list(module.children())):
            yield name, module


def _add_stack(found: dict[str, Layer], name: str, stack: nn.RNNBase) -> None:
    for weight_name, weight in stack.named_parameters(recurse=False):
        match = _STACKED.search(weight_name)
        assert match is not None
        numbered = f"{name}.{match[1]}"
        found.setdefault(numbered, Layer(numbered)).parameters.append(weight)
    # A stack that sleeps cannot pass gradients back on a GPU: it wakes with its last layer.
    found[f"{name}.{stack.num_layers - 1}"].modules.append(stack)


def _last(found: dict[str, Layer]) -> str:
    return next(name for name in reversed(found) if name != "classifier")


def head_parameters(model: PreTrainedModel) -> list[nn.Parameter]:
    """The weights of the classifier."""
    return layers(model)[-1].parameters


def body_parameters(model: PreTrainedModel) -> list[nn.Parameter]:
    """All other weights."""
    return [weight for layer in layers(model)[:-1] for weight in layer.parameters]
