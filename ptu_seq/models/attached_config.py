"""Configurations of classifiers with units, whatever their networks are."""

from __future__ import annotations

from typing import Any, ClassVar, get_args

from transformers import AutoConfig, PreTrainedConfig

from ptu_seq.feature_maps import GatesPer
from ptu_seq.models.config import LabelledConfig, check_choice
from ptu_seq.nn.options import UnitOptions
from ptu_seq.unit import Candidate, CandidateInit


class AttachedConfig(LabelledConfig):
    """Shape of a classifier of any kind with units between it and a frozen source.

    Args:
        target_network: the target network's configuration as a dict, with its `model_type`; its
            labels are those of this model.
        source_network: the source network's, likewise, with its labels and the type of its weights.
        sites: patterns of the names of modules that get a unit, or a mapping from the target's
            names to the source's, see :func:`ptu_seq.sites.attach`; None: the network's blocks, and
            its classifier where the labels are the source's.
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

    #: The kind of network of a configuration that names none.
    default_network: ClassVar[str]

    target_network: dict[str, Any] | None = None
    source_network: dict[str, Any] | None = None
    sites: list[str] | tuple[str, ...] | dict[str, str] | None = None
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
        if self.sites is not None and not isinstance(self.sites, dict):
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
        fields = self.target_network or {"model_type": self.default_network}
        return network_config({**fields, "id2label": self.id2label})

    @property
    def source_config(self) -> PreTrainedConfig:
        """The source network's configuration."""
        return network_config(self.source_network or {"model_type": self.default_network})


def network_fields(config: PreTrainedConfig) -> dict[str, Any]:
    """A network's shape as a dict: its `model_type`, and the fields that only its kind has.

    Labels, type of weights and whatever else all of transformers' models have are left out.

    Example:
        >>> from ptu_seq.models import CNNConfig
        >>> network_fields(CNNConfig(image_size=20, num_labels=5))
        {'model_type': 'ptu_seq_cnn', 'architecture': 'lenet', 'num_channels': 1, 'image_size': 20,
         'width': 16, 'dropout': 0.2}
    """
    general = PreTrainedConfig().to_dict()
    own = {name: value for name, value in config.to_dict().items() if name not in general}
    return {"model_type": config.model_type, **own}


def network_config(fields: dict[str, Any]) -> PreTrainedConfig:
    """The configuration that :func:`network_fields` describes, with `id2label` if it is there."""
    fields = dict(fields)
    labels = fields.pop("id2label", None)
    if labels is not None:
        names = {int(i): str(label) for i, label in labels.items()}
        fields |= {"id2label": names, "label2id": {label: i for i, label in names.items()}}
    return AutoConfig.for_model(**fields)
