"""Classifiers with units at the modules of two networks of any kind: a frozen source, a target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, get_args

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from ptu_seq.models.attached_config import AttachedConfig, network_fields
from ptu_seq.models.labels import are_same_labels, copy_classifier, label_names, linear_head
from ptu_seq.models.with_source import ModelWithSource, check_names
from ptu_seq.modes import evaluating
from ptu_seq.nn.gated import OnGates
from ptu_seq.sites import Attachment, attach
from ptu_seq.source import FrozenSource, content_hash
from ptu_seq.unit import PTU, Pin

Init = Literal["source", "random"]


class AttachedClassifier(ModelWithSource[PreTrainedModel]):
    """A target classifier that draws on a frozen source through units at named modules.

    With all units pinned to "target" the model is the target network; pinned to "frozen" it is the
    source network, under the target's classifier where that has no unit. A subclass says which of
    transformers' Auto classes makes its networks (`source_class`), and after which blocks units
    sit.

    Args:
        config: shapes of both networks and options of the units.

    Raises:
        ValueError: where the networks cannot meet, see :func:`ptu_seq.sites.attach`.
    """

    #: Patterns of the blocks after which units sit, by the kind of network.
    blocks: ClassVar[Mapping[str, list[str]]]
    config: AttachedConfig
    accepts_loss_kwargs = True

    def __init__(self, config: AttachedConfig) -> None:
        super().__init__(config)
        target = self._network(config.target_config)
        with torch.random.fork_rng(devices=[]):  # a seed draws the same units whatever the source
            source = self._network(config.source_config)
        # The attachment holds the source as well: the first to hold it gives its weights their name
        # among the parameters.
        self.source = FrozenSource(source)
        self.target = target
        attach(
            target,
            source,
            config.sites if config.sites is not None else self.default_sites(config),
            self._example(target),
            gates_per=config.gates_per,
            **config.unit_options,
        )
        self.post_init()
        self.requires_grad_()

    @classmethod
    def from_source(
        cls,
        source: PreTrainedModel,
        init: Init = "source",
        *,
        id2label: dict[int, str] | None = None,
        sites: Sequence[str] | Mapping[str, str] | None = None,
        target: dict[str, Any] | PreTrainedConfig | None = None,
        **options: Any,
    ) -> Self:
        """Makes a model for a new task from a trained source.

        Args:
            source: the trained classifier; its weights are copied, it is left as it is.
            init: "source" starts the target network from the source's weights, "random" anew.
            id2label: names of the new task's labels, the source's if None. Where they are the
                source's (in any order), the classifier starts from the source's too.
            sites: patterns of the names of modules that get a unit, or a mapping from names in the
                target to names in the source; None: the network's blocks, and its classifier where
                the labels are the source's, in the same order.
            target: fields of the source's configuration in which the target network differs; or the
                configuration of a network of another kind.
            **options: fields of the configuration: `gates_per`, `candidate`, ...

        Returns:
            A model on the source's device and of its type.

        Raises:
            ValueError: for an unknown `init`, field or option, or networks that cannot meet.
        """
        check_names(cls, "init", [init], get_args(Init))
        internal = ("target_network", "source_network", "sites", "source_hash", "include_source")
        free = [n for n in AttachedConfig.__annotations__ if n not in (*internal, _DEFAULT)]
        check_names(cls, "option", options, free)
        if isinstance(target, PreTrainedConfig):
            network = network_fields(target)
        else:
            network = network_fields(source.config)
            known = [name for name in network if name != "model_type"]
            check_names(cls, "field of target", target or {}, known)
            network |= target or {}
        config_class: Any = cls.config_class
        config = config_class(
            target_network=network,
            id2label=id2label or dict(enumerate(label_names(source.config))),
            **_describe(source),
            **options,
        )
        if sites is None:
            config.sites = cls.default_sites(config)
        elif isinstance(sites, Mapping):
            config.sites = dict(sites)
        else:
            config.sites = [sites] if isinstance(sites, str) else list(sites)
        model = cls(config)
        model.to(device=source.device, dtype=source.dtype)  # type: ignore[call-arg]
        model.source.network.load_state_dict(source.state_dict())
        if init == "source":
            model._start_from_source()
        return model

    @classmethod
    def default_sites(cls, config: AttachedConfig) -> list[str]:
        """The blocks of a network, and its classifier where the labels are the source's, in order.

        Raises:
            ValueError: for a kind of network whose blocks are not known.
        """
        kind = cls.kind(config.target_config)
        if kind not in cls.blocks:
            raise ValueError(
                f"{cls.__name__}: the blocks of {kind!r} are not known (known are those of "
                f"{', '.join(cls.blocks)}); give sites."
            )
        same = are_same_labels(label_names(config.source_config), config.label_names)
        return [*cls.blocks[kind], *(["classifier"] if same else [])]

    @classmethod
    def kind(cls, network: PreTrainedConfig) -> str:
        """The key of a network in `blocks`."""
        return str(network.model_type)

    @property
    def attachment(self) -> Attachment:
        """The units, and how they are bound to both networks."""
        attachment = self.target.get_submodule("ptu")
        assert isinstance(attachment, Attachment)
        return attachment

    @torch.inference_mode()
    def _report_gates(self, on_gates: OnGates, **inputs: Tensor | None) -> None:
        """Reads inputs in eval mode, and calls `on_gates(site, gates)` for every unit."""
        with evaluating(self), self.attachment.reporting(on_gates):
            self(**inputs)

    @staticmethod
    @abstractmethod
    def _example(network: PreTrainedModel) -> dict[str, Tensor]:
        """Arguments of a network, by which attach() learns shapes."""

    @classmethod
    def _network(cls, config: PreTrainedConfig) -> PreTrainedModel:
        # The type is torch's default, which transformers sets on loading; both networks have the
        # same.
        network: PreTrainedModel = cls.source_class.from_config(
            config, dtype=torch.get_default_dtype()
        )
        return network

    def units(self) -> Iterator[tuple[str, PTU]]:
        """Every unit, with the name of its site in the target."""
        for site, unit in self.attachment.named_units():
            assert isinstance(unit, PTU)
            yield site, unit

    def pin(self, state: Pin) -> Self:
        """Pins every unit (see :meth:`ptu_seq.PTU.pin`); returns the model."""
        self.attachment.pin(state)
        return self

    def unpin(self) -> Self:
        """Lets all gates act; returns the model."""
        self.attachment.unpin()
        return self

    def initialize_weights(self) -> None:
        """Draws the weights that no file held, as transformers asks for: units by their own rule.

        They lie in the target network, whose class would draw their projections by its rule.
        """
        for _, unit in self.units():
            if not all(getattr(p, "_is_hf_initialized", False) for p in unit.parameters()):
                unit.reset_parameters()
            for module in unit.modules():
                module._is_hf_initialized = True  # type: ignore[assignment]
        super().initialize_weights()

    def _init_weights(self, module: Any) -> None:
        """Nothing: each network draws its own weights, and so do the units."""

    def _describe_source(self) -> dict[str, Any]:
        return _describe(self.source.network)

    def _start_from_source(self) -> None:
        source = self.source.network
        theirs, ours = _weights_below_head(source), _weights_below_head(self.target)
        for name in {**theirs, **ours}:
            shapes = [tuple(w[name].shape) if name in w else "missing" for w in (theirs, ours)]
            if shapes[0] != shapes[1]:
                raise ValueError(
                    f"init='source' copies the source's weights, but {name} is {shapes[0]} there "
                    f"and {shapes[1]} in the target; use init='random', or the source's shape."
                )
        self.target.load_state_dict(theirs, strict=False)
        copy_classifier(source, linear_head(self.target), self.config)


#: A field that belongs to a class of configurations, not to one.
_DEFAULT = "default_network"


def _describe(source: PreTrainedModel) -> dict[str, Any]:
    """The fields of a configuration that tell of a source: shape, labels, type and hash."""
    described = {
        **network_fields(source.config),
        "id2label": {str(i): label for i, label in enumerate(label_names(source.config))},
        "dtype": str(source.dtype).removeprefix("torch."),
    }
    return {"source_network": described, "source_hash": content_hash(source)}


def _weights_below_head(network: PreTrainedModel) -> dict[str, Tensor]:
    others = ("classifier.", "ptu.")
    return {n: w for n, w in network.state_dict().items() if not n.startswith(others)}
