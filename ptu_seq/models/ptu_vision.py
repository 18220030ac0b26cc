"""An image classifier with units: a frozen source beside a target of the same architecture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor
from transformers import AutoModelForImageClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput

from ptu_seq.errors import closest
from ptu_seq.models.labels import are_named, copy_classifier, label_names, linear_head
from ptu_seq.models.vision_config import PTUVisionConfig, network_fields
from ptu_seq.models.with_source import ModelWithSource
from ptu_seq.nn.gated import OnGates
from ptu_seq.sites import Attachment, attach
from ptu_seq.source import FrozenSource, content_hash
from ptu_seq.unit import PTU, Pin

Init = Literal["source", "random"]

#: The blocks after which units sit, by the kind of network.
BLOCKS = {
    "ptu_seq_cnn": ["trunk.*"],
    "resnet": ["resnet.embedder", "resnet.encoder.stages.*"],
    # The last convolution before the maps are halved, and the very last one.
    "mobilenet_v1": [f"mobilenet_v1.layer.{i}" for i in (1, 5, 9, 21, 25)],
}

#: Height and width of the image that shows attach() the shapes, where no configuration says.
EXAMPLE_SIZE = 64


class PTUForImageClassification(ModelWithSource[PreTrainedModel]):
    r"""A target classifier of images that draws on a frozen source through units.

    The networks may be :class:`~ptu_seq.models.CNNForImageClassification` or any of transformers'
    image classifiers. Units sit after the blocks and, where source and target have the same labels,
    on the logits. With all units pinned to "target" the model is the target network; pinned to
    "frozen" it is the source network, under the target's classifier where that has no unit.

    Make one with :meth:`from_source`, load one with `from_pretrained`.

    Args:
        config: shapes of both networks and options of the units.

    Shape:
        - pixel_values: `(batch, channels, height, width)`
        - labels: `(batch,)`; logits: `(batch, num_labels)`

    Raises:
        ValueError: where the networks cannot meet, see :func:`ptu_seq.sites.attach`.

    Example:
        >>> from ptu_seq.models import CNNConfig, CNNForImageClassification
        >>> source = CNNForImageClassification(CNNConfig(image_size=16, num_labels=2))
        >>> model = PTUForImageClassification.from_source(source, id2label={0: "a", 1: "b", 2: "c"})
        >>> model(torch.zeros(2, 1, 16, 16)).logits.shape
        torch.Size([2, 3])
        >>> [site for site, _ in model.units()]
        ['trunk.conv1', 'trunk.conv2', 'trunk.dense']
    """

    config_class = PTUVisionConfig
    source_class = AutoModelForImageClassification
    config: PTUVisionConfig
    main_input_name = "pixel_values"
    accepts_loss_kwargs = True

    def __init__(self, config: PTUVisionConfig) -> None:
        super().__init__(config)
        target = _network(config.target_config)
        with torch.random.fork_rng(devices=[]):  # a seed draws the same units whatever the source
            source = _network(config.source_config)
        # The attachment holds the source as well: the first to hold it gives its weights their name
        # among the parameters.
        self.source = FrozenSource(source)
        self.target = target
        attach(
            target,
            source,
            config.sites if config.sites is not None else default_sites(config),
            _example(target),
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
        sites: Sequence[str] | None = None,
        target: dict[str, Any] | None = None,
        **options: Any,
    ) -> Self:
        """Makes a model for a new task from a trained source.

        Args:
            source: the trained classifier; its weights are copied, it is left as it is.
            init: "source" starts the target network from the source's weights, "random" anew.
            id2label: names of the new task's labels, the source's if None. Where they are the
                source's (in any order), the classifier starts from the source's too.
            sites: patterns of the names of modules that get a unit; None: the network's blocks,
                and its classifier where the labels are the source's, in the same order.
            target: fields of the source's configuration in which the target network differs.
            **options: fields of :class:`PTUVisionConfig`: `gates_per`, `candidate`, ...

        Returns:
            A model on the source's device and of its type.

        Raises:
            ValueError: for an unknown `init`, field or option, or networks that cannot meet.
        """
        fields = network_fields(source.config)
        _check_names("init", [init], get_args(Init))
        _check_names("field of target", target or {}, [f for f in fields if f != "model_type"])
        internal = ("target_network", "source_network", "sites", "source_hash", "include_source")
        free = [name for name in PTUVisionConfig.__annotations__ if name not in internal]
        _check_names("option", options, free)
        config = PTUVisionConfig(
            target_network={**fields, **(target or {})},
            id2label=id2label or dict(enumerate(label_names(source.config))),
            **_describe(source),
            **options,
        )
        if sites is None:
            config.sites = default_sites(config)
        else:
            config.sites = [sites] if isinstance(sites, str) else list(sites)
        model = cls(config)
        model.to(device=source.device, dtype=source.dtype)  # type: ignore[call-arg]
        model.source.network.load_state_dict(source.state_dict())
        if init == "source":
            model._start_from_source()
        return model

    @property
    def attachment(self) -> Attachment:
        """The units, and how they are bound to both networks."""
        attachment = self.target.get_submodule("ptu")
        assert isinstance(attachment, Attachment)
        return attachment

    def forward(
        self,
        pixel_values: Tensor,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
    ) -> ImageClassifierOutput:
        """Logits, and the loss if there are labels: see :class:`CNNForImageClassification`."""
        logits = self.target(pixel_values=pixel_values).logits
        loss = None
        if labels is not None:
            loss = self.loss_function(
                labels=labels,
                pooled_logits=logits,
                config=self.config,
                num_items_in_batch=num_items_in_batch,
            )
        return ImageClassifierOutput(loss=loss, logits=logits)

    @torch.inference_mode()
    def gates(self, pixel_values: Tensor, on_gates: OnGates) -> None:
        """Reads images in eval mode, and calls `on_gates(site, gates)` for every unit.

        Args:
            pixel_values: images.
            on_gates: is given the name of a site and the gates there: `(batch, features)`,
                `(batch, channels, height, width)` or, with gates per channel,
                `(batch, channels, 1, 1)`.
        """
        modes = {module: module.training for module in self.modules()}
        try:
            with self.eval().attachment.reporting(on_gates):
                self(pixel_values)
        finally:
            for module, mode in modes.items():
                module.training = mode

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


def default_sites(config: PTUVisionConfig) -> list[str]:
    """The blocks of a network, and its classifier where the labels are the source's, in order.

    Raises:
        ValueError: for a kind of network whose blocks are not known.
    """
    kind = config.target_config.model_type
    if kind not in BLOCKS:
        raise ValueError(
            f"PTUForImageClassification: the blocks of {kind!r} are not known (known are those of "
            f"{', '.join(BLOCKS)}); give sites."
        )
    ours, theirs = config.label_names, label_names(config.source_config)
    return [*BLOCKS[kind], *(["classifier"] if ours == theirs and are_named(ours) else [])]


def _describe(source: PreTrainedModel) -> dict[str, Any]:
    """The fields of a configuration that tell of a source: shape, labels, type and hash."""
    described = {
        **network_fields(source.config),
        "id2label": {str(i): label for i, label in enumerate(label_names(source.config))},
        "dtype": str(source.dtype).removeprefix("torch."),
    }
    return {"source_network": described, "source_hash": content_hash(source)}


def _network(config: PreTrainedConfig) -> PreTrainedModel:
    # The type is torch's default, which transformers sets on loading; both networks have the same.
    return AutoModelForImageClassification.from_config(config, dtype=torch.get_default_dtype())


def _example(network: PreTrainedModel) -> dict[str, Tensor]:
    """Arguments of a network, by which attach() learns shapes."""
    config: Any = network.config
    size = getattr(config, "image_size", EXAMPLE_SIZE)
    height, width = (size, size) if isinstance(size, int) else size
    shape = (1, config.num_channels, height, width)
    return {"pixel_values": torch.zeros(shape, device=network.device, dtype=network.dtype)}


def _weights_below_head(network: PreTrainedModel) -> dict[str, Tensor]:
    others = ("classifier.", "ptu.")
    return {n: w for n, w in network.state_dict().items() if not n.startswith(others)}


def _check_names(what: str, given: Iterable[str], accepted: Iterable[str]) -> None:
    for name in given:
        if name not in accepted:
            raise ValueError(
                f"PTUForImageClassification: {name!r} is no {what}{closest(name, accepted)}; "
                f"accepted are {', '.join(accepted)}."
            )
