"""What a record says of a live model."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def dtype_name(dtype: torch.dtype) -> str:
    """As records say it: float32, bfloat16."""
    return str(dtype).removeprefix("torch.")


def described(model: nn.Module, dtype: torch.dtype) -> dict[str, Any]:
    """The record's `model`. dtype: of its activations."""
    config = getattr(model, "config", None)
    name = getattr(config, "_name_or_path", None) or type(model).__name__
    return {
        "name": name,
        "hub": None,
        "family": getattr(config, "model_type", None),
        "parameters": sum(p.numel() for p in model.parameters()),
        "init": "module",
        "dtype": dtype_name(dtype),
    }
