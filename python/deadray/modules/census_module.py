"""deadray.census() of a model in memory."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from deadray._predict import census_tensors
from deadray.errors import UnsupportedError
from deadray.modules.described import described
from deadray.modules.parameters import full_value, shape_of
from deadray.modules.unwrap import unwrapped

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from deadray._predict import Counted

# As safetensors spells them.
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def census_module(module: nn.Module) -> Counted:
    """What the checkpoint would give that `save_pretrained` writes; nothing is written.

    Of the values those of the norms alone are read.

    Raises UnsupportedError for what is no model of transformers, and as full_value() does.
    """
    model = _of_transformers(unwrapped(module))
    tensors, called = _as_saved(model), described(model, torch.float32)["name"]
    names = list(tensors)

    def read(index: int) -> np.ndarray:
        name = names[index]
        values = full_value(tensors[name], model, name, called)
        return values.contiguous().flatten().view(torch.uint8).numpy()

    keys = json.loads(model.config.to_json_string()) | {"architectures": [type(model).__name__]}
    return census_tensors(
        json.dumps(keys),
        called,
        [
            (name, DTYPES.get(tensor.dtype, str(tensor.dtype)), list(shape_of(tensor)))
            for name, tensor in tensors.items()
        ],
        read,
    )


def _of_transformers(model: nn.Module) -> PreTrainedModel:
    # Who holds one of its models has imported transformers.
    transformers = sys.modules.get("transformers")
    if transformers is None or not isinstance(model, transformers.PreTrainedModel):
        raise UnsupportedError(
            f"{type(model).__name__}: no model of transformers: a census needs a configuration, "
            "which says what reads what"
        )
    return model


def _as_saved(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """The model's tensors by their names in a checkpoint; of a tied one a single name."""
    tied = getattr(model, "all_tied_weights_keys", {})
    state = {name: value for name, value in model.state_dict().items() if name not in tied}
    try:
        from transformers.core_model_loading import revert_weight_conversion
    except ImportError:  # before transformers 5 the names were the checkpoint's
        return state
    # What is split into experts would be copied; nobody reads their values.
    light = {name: value.to("meta") if value.ndim > 2 else value for name, value in state.items()}
    return revert_weight_conversion(model, light)
