"""Dynamic int8 quantisation of a trained translator, for faster decoding on a CPU."""

from __future__ import annotations

import copy
import warnings
from typing import TypeVar

import torch
from torch import Tensor, nn

from ptu_seq.errors import UserError
from ptu_seq.nn import GatedRNN
from ptu_seq.nn.fused_rnn import FusedGRU, FusedLSTM
from ptu_seq.unit import PTU

try:  # torch means to move it to a package of its own, torchao, which needs a compiler for this
    from torch.ao.nn.quantized.dynamic import Linear as Int8Linear
    from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic
except ImportError as error:
    raise UserError("--int8: this version of torch quantises no more; torch 2.13 does.") from error

Model = TypeVar("Model", bound=nn.Module)

#: Kinds of layers that torch has in int8.
QUANTIZED = (nn.Linear, nn.LSTM, nn.GRU)


def quantize_int8(model: Model) -> Model:
    """A copy of an encoder-decoder whose products are of 8-bit integers, for inference on a CPU.

    Weights are rounded once, to 255 steps an output feature (of a recurrent layer: a matrix);
    activations at every call, to the range that they have there. Linear layers, recurrent layers
    and units are quantised; token vectors and a child's recurrent layers between units stay as they
    are. The copy can neither learn nor be saved.

    Args:
        model: the trained model, on the CPU and in float32; it is left as it is.

    Returns:
        The copy, in eval mode.

    Raises:
        UserError: where torch has no int8 products for this processor, or the model is not in
            float32.

    Example:
        >>> from ptu_seq.models import RNNForConditionalGeneration, Seq2SeqConfig
        >>> model = RNNForConditionalGeneration(Seq2SeqConfig(vocab_size=50)).eval()
        >>> type(quantize_int8(model).decoder.output)
        <class 'torch.ao.nn.quantized.dynamic.modules.linear.Linear'>
    """
    if torch.backends.quantized.engine in ("none", "qnnpack"):
        raise UserError("--int8: torch's int8 products need an x86 processor.")
    dtypes = {p.dtype for p in model.parameters()}
    if dtypes != {torch.float32}:
        found = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        raise UserError(f"--int8: the model's weights are {found}; accepted is float32.")
    copied = copy.deepcopy(model).cpu().eval()
    for module in copied.modules():  # torch quantises classes of its own alone
        if isinstance(module, FusedLSTM | FusedGRU):
            rnn_class = nn.LSTM if isinstance(module, FusedLSTM) else nn.GRU
            module.__class__ = rnn_class  # type: ignore[assignment]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, unit in [*copied.named_modules()]:
            if type(unit) is PTU and not _steps(copied, name):
                copied.set_submodule(name, Int8PTU(unit))
        names = {name: per_channel_dynamic_qconfig for name in _layers(copied)}
        return quantize_dynamic(copied, names, inplace=True)


class Int8PTU(PTU):
    """A trained unit whose products are of 8-bit integers.

    Args:
        unit: the unit; its projection is shared and quantised in place.
    """

    def __init__(self, unit: PTU) -> None:
        nn.Module.__init__(self)
        self.source_size, self.target_size = unit.source_size, unit.target_size
        self.candidate, self.gate_dropout, self.pinned = unit.candidate, 0.0, unit.pinned
        project = unit.projection
        self.projection = _int8(project) if isinstance(project, nn.Linear) else project
        self.of_source = _int8(_linear(unit.weight_source, unit.bias))
        self.of_target = _int8(_linear(unit.weight_target, None))

    def project(self, s: Tensor) -> Tensor:
        """See :meth:`ptu_seq.PTU.project`."""
        return self.projection(s)

    def source_products(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`ptu_seq.PTU.source_products`."""
        s = self.project(s)
        return s, self.of_source(s)

    def candidate_product(self, s: Tensor) -> Tensor:
        """See :meth:`ptu_seq.PTU.candidate_product`."""
        return self.split(self.of_source(s))[1]

    def gate_logits(self, source_gates: Tensor, t: Tensor) -> Tensor:
        """See :meth:`ptu_seq.PTU.gate_logits`."""
        return source_gates + self.of_target(t)


def _linear(weight: nn.Parameter, bias: nn.Parameter | None) -> nn.Linear:
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias=bias is not None)
    linear.weight, linear.bias = weight, bias  # type: ignore[assignment]
    return linear


def _int8(linear: nn.Linear) -> nn.Module:
    linear.qconfig = per_channel_dynamic_qconfig  # type: ignore[assignment]
    return Int8Linear.from_float(linear)


def _steps(model: nn.Module, name: str) -> bool:
    """Whether a unit is inside a recurrence, which reads its weights itself."""
    parts = name.split(".")
    above = (model.get_submodule(".".join(parts[:i])) for i in range(len(parts)))
    return any(isinstance(module, GatedRNN) and module.level == "step" for module in above)


def _layers(model: nn.Module) -> list[str]:
    """Names of the layers that are called as modules; units are quantised by themselves."""
    whole = [
        name + "." for name, module in model.named_modules() if isinstance(module, PTU | GatedRNN)
    ]
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, QUANTIZED) and not name.startswith(tuple(whole))
    ]
