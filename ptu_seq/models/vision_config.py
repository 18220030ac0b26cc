"""Configurations of the image classifiers, as transformers saves and loads them."""

from __future__ import annotations

from typing import Any, Literal, get_args

from transformers import AutoConfig, PreTrainedConfig

from ptu_seq.feature_maps import GatesPer
from ptu_seq.models.config import LabelledConfig, check_choice
from ptu_seq.nn.options import UnitOptions
from ptu_seq.unit import Candidate, CandidateInit

Architecture = Literal["lenet", "vgg"]

#: How often each architecture halves an image by pooling.
HALVINGS = {"lenet": 2, "vgg": 3}


class CNNConfig(LabelledConfig):
    """Shape of a :class:`~ptu_seq.models.CNNForImageClassification`.

    Args:
        architecture: "lenet" (two convolutions of 5x5 and a fully connected layer, after LeCun et
            al. 1998) or "vgg" (three blocks of two 3x3 convolutions with batch norm, after
            Simonyan & Zisserman 2015).
        num_channels: channels of an image: 1 for grey, 3 for colour.
        image_size: its height and width.
        width: channels of the first block; each later one has twice as many.
        dropout: probability that a feature is dropped before the classifier in training.
        **kwargs: `id2label`, `num_labels` and other arguments of transformers' PreTrainedConfig.

    Raises:
        ValueError: for an unknown architecture, a size below 1, images too small for the poolings,
            or a dropout that is no probability.
    """

    model_type = "ptu_seq_cnn"

    architecture: Architecture = "lenet"
    num_channels: int = 1
    image_size: int = 28
    width: int = 16
    dropout: float = 0.2

    def __post_init__(self, **kwargs: Any) -> None:
        check_choice("architecture", self.architecture, get_args(Architecture))
        for name in ("num_channels", "image_size", "width"):
            if getattr(self, name) < 1:
                raise ValueError(f"CNNConfig: {name} is {getattr(self, name)}; at least 1 needed.")
        if self.final_size < 1:
            halvings = HALVINGS[self.architecture]
            raise ValueError(
                f"CNNConfig: image_size is {self.image_size}; {self.architecture} halves images "
                f"{halvings} times, so they must be at least {2**halvings} wide."
            )
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"CNNConfig: dropout is {self.dropout}; it must be from 0 to 1.")
        super().__post_init__(**kwargs)

    @property
    def shape(self) -> dict[str, Any]:
        """The fields of this class, without those that all of transformers' models have."""
        return {name: getattr(self, name) for name in CNNConfig.__annotations__}

    @property
    def final_size(self) -> int:
        """Height and width of the last feature map."""
        return int(self.image_size // 2 ** HALVINGS[self.architecture])


class PTUVisionConfig(LabelledConfig):
    """Shape of a :class:`~ptu_seq.models.PTUForImageClassification`.

    Args:
        target_network: the target network's configuration as a dict, with its `model_type`; its
            labels are those of this model.
        source_network: the source network's, likewise, with its labels and the type of its weights.
        sites: patterns of the names of modules that get a unit, see :func:`ptu_seq.sites.attach`;
            None: the network's blocks, and its classifier where the labels are the source's.
        gates_per: whether feature maps have gates at each "position" or one pair a "channel".
        candidate: the units' candidate: "linear", "tanh" or "relu".
        candidate_init: "identity" or "random".
        fine_tune_bias: initial bias of the fine-tune gates.
        update_bias: initial bias of the update gates.
        gate_dropout: probability in training that an update gate is forced open or shut.
        source_hash: content hash of the source's weights, checked on loading.
        include_source: whether the weights file holds the source (else it must be given).
        **kwargs: `id2label`, `num_labels` and other arguments of transformers' PreTrainedConfig.

    Raises:
        ValueError: for an unknown `gates_per`.
    """

    model_type = "ptu_seq_ptu_vision"

    target_network: dict[str, Any] | None = None
    source_network: dict[str, Any] | None = None
    sites: list[str] | tuple[str, ...] | None = None
    gates_per: GatesPer = "channel"
    candidate: Candidate = "linear"
    candidate_init: CandidateInit = "identity"
    fine_tune_bias: float = 0.0
    update_bias: float = 0.0
    gate_dropout: float = 0.0
    source_hash: str | None = None
    include_source: bool = True

    def __post_init__(self, **kwargs: Any) -> None:
        check_choice("gates_per", self.gates_per, get_args(GatesPer))
        if self.sites is not None:
            self.sites = list(self.sites)
        super().__post_init__(**kwargs)

    @property
    def unit_options(self) -> UnitOptions:
        """What the units are made with: keyword arguments of :class:`ptu_seq.PTU`."""
        return {
            "candidate": self.candidate,
            "candidate_init": self.candidate_init,
            "fine_tune_bias": self.fine_tune_bias,
            "update_bias": self.update_bias,
            "gate_dropout": self.gate_dropout,
        }

    @property
    def target_config(self) -> PreTrainedConfig:
        """The target network's configuration, with this model's labels."""
        return network_config({**(self.target_network or {}), "id2label": self.id2label})

    @property
    def source_config(self) -> PreTrainedConfig:
        """The source network's configuration."""
        return network_config(self.source_network or {})


def network_fields(config: PreTrainedConfig) -> dict[str, Any]:
    """A network's shape as a dict: its `model_type`, and the fields that only its kind has.

    Labels, type of weights and whatever else all of transformers' models have are left out.

    Example:
        >>> network_fields(CNNConfig(image_size=20, num_labels=5))
        {'model_type': 'ptu_seq_cnn', 'architecture': 'lenet', 'num_channels': 1, 'image_size': 20,
         'width': 16, 'dropout': 0.2}
    """
    general = PreTrainedConfig().to_dict()
    own = {name: value for name, value in config.to_dict().items() if name not in general}
    return {"model_type": config.model_type, **own}


def network_config(fields: dict[str, Any]) -> PreTrainedConfig:
    """The configuration that :func:`network_fields` describes, with `id2label` if it is there."""
    fields = {"model_type": CNNConfig.model_type, **fields}
    labels = fields.pop("id2label", None)
    if labels is not None:
        names = {int(i): str(label) for i, label in labels.items()}
        fields |= {"id2label": names, "label2id": {label: i for i, label in names.items()}}
    return AutoConfig.for_model(**fields)
