"""Dynamic int8 quantisation of a trained translator, for faster decoding on a CPU."""

from __future__ import annotations

import copy
import warnings
from typing import TypeVar

import torch
from torch import nn
from torch.ao.quantization import per_channel_dynamic_qconfig, quantize_dynamic

from ptu_seq.errors import UserError
from ptu_seq.nn import GatedRNN
from ptu_seq.nn.fused_rnn import FusedGRU, FusedLSTM
from ptu_seq.unit import PTU

Model = TypeVar("Model", bound=nn.Module)

#: Kinds of layers that torch has in int8.
QUANTIZED = (nn.Linear, nn.LSTM, nn.GRU)


def quantize_int8(model: Model) -> Model:
    """A copy of an encoder-decoder whose products are of 8-bit integers, for inference on a CPU.

    Weights are rounded once, to 255 steps an output feature (of a recurrent layer: a matrix);
    activations at every call, to the range that they have there. Linear layers and recurrent layers
    are quantised; token vectors, units and the child's recurrent layers beside them stay as they
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
        raise UserError("--int8: this build of torch has no int8 products for this processor.")
    dtypes = {p.dtype for p in model.parameters()}
    if dtypes != {torch.float32}:
        found = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in dtypes))
        raise UserError(f"--int8: the model's weights are {found}; accepted is float32.")
    copied = copy.deepcopy(model).cpu().eval()
    for module in copied.modules():  # torch quantises classes of its own alone
        if isinstance(module, FusedLSTM | FusedGRU):
            rnn_class = nn.LSTM if isinstance(module, FusedLSTM) else nn.GRU
            module.__class__ = rnn_class  # type: ignore[assignment]
    names = {name: per_channel_dynamic_qconfig for name in _layers(copied)}
    with warnings.catch_warnings():
        # It is to move to a package of its own, torchao, which needs a compiler for this.
        warnings.simplefilter("ignore")
        return quantize_dynamic(copied, names, inplace=True)


def _layers(model: nn.Module) -> list[str]:
    """Names of the layers that are called as modules; units read their layers' weights."""
    whole = [
        name + "." for name, module in model.named_modules() if isinstance(module, PTU | GatedRNN)
    ]
    return [
        name
        for name, module in model.named_modules()
        if isinstance(module, QUANTIZED) and not name.startswith(tuple(whole))
    ]
