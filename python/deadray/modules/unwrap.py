"""The model inside what PyTorch wraps around one."""

from __future__ import annotations

import torch
from torch import nn

from deadray.errors import UnsupportedError, UsageError


def unwrapped(model: nn.Module) -> nn.Module:
    """The module that the user wrote: without torch.compile, DistributedDataParallel.

    Raises UnsupportedError for what runs copies of its modules, or no modules at all; UsageError
    for what is no module.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"model: a torch.nn.Module was expected, not {type(model).__name__}")
    if isinstance(model, torch.jit.ScriptModule):
        raise UnsupportedError(
            "a scripted or traced module calls none of its modules: give the module it was made of"
        )
    if isinstance(model, nn.DataParallel):
        raise UnsupportedError(
            "nn.DataParallel runs copies of the model in threads: give model.module, or use "
            "DistributedDataParallel"
        )
    if isinstance(model, nn.parallel.DistributedDataParallel):
        return unwrapped(model.module)
    inner = getattr(model, "_orig_mod", None)  # of torch.compile
    return unwrapped(inner) if isinstance(inner, nn.Module) else model
