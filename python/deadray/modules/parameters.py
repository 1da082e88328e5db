"""Parameters of a module as whole vectors on the CPU, however the model is spread or offloaded."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from deadray.errors import UnsupportedError


def shape_of(tensor: torch.Tensor) -> tuple[int, ...]:
    """The whole shape; DeepSpeed leaves an empty tensor behind and keeps the shape beside it."""
    return tuple(getattr(tensor, "ds_shape", tensor.shape))


def full_value(tensor: torch.Tensor, owner: nn.Module, key: str, name: str) -> torch.Tensor:
    """The values of `owner`'s parameter or buffer `key`, whole, on the CPU, in the stored dtype.

    A DTensor is gathered, which is a collective: every rank asks for the same ones in the same
    order. An offloaded tensor is read from where accelerate's hook keeps it.

    Raises UnsupportedError, naming `name` (of the module) and what was found, where the values are
    not to be had.
    """
    tensor = tensor.detach()
    if hasattr(tensor, "full_tensor"):
        tensor = tensor.full_tensor()
    if tensor.is_meta:
        tensor = _offloaded(owner, key)
    if tensor is None:
        found, remedy = "on the meta device, without an accelerate hook that holds it", "load"
    elif tensor.numel() == 0:
        found, remedy = "empty here, as DeepSpeed ZeRO-3 and the like leave it", "gather"
    else:
        return tensor.cpu()
    raise UnsupportedError(
        f"{name or 'the model'}: its {key} is {found}: the values of a norm's scale are needed; "
        f"{remedy} the model's weights first"
    )


def _offloaded(owner: nn.Module, key: str) -> torch.Tensor | None:
    hook = getattr(owner, "_hf_hook", None)
    for part in getattr(hook, "hooks", (hook,)):
        weights = getattr(part, "weights_map", None)
        if weights is not None:
            with contextlib.suppress(KeyError):
                return weights[key].detach()
    return None


@contextlib.contextmanager
def whole_parameters(module: nn.Module) -> Iterator[None]:
    """Within it a FullyShardedDataParallel unit has its own parameters whole; others have anyway.

    A collective of the unit's ranks.
    """
    if not _is_fsdp_unit(module):
        yield
        return
    from torch.distributed.fsdp import FullyShardedDataParallel

    with FullyShardedDataParallel.summon_full_params(module, recurse=False, writeback=False):
        yield


def _is_fsdp_unit(module: nn.Module) -> bool:
    # By its attribute: torch.distributed.fsdp takes a second to import.
    return "_fsdp_wrapped_module" in module._modules


WRAPPED = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


def children_of(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """Children with their full names; what a wrapper wraps has the wrapper's own name."""
    parallel = isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel))
    for child_name, child in module.named_children():
        if child_name in WRAPPED or (parallel and child_name == "module"):
            yield name, child
        else:
            yield f"{name}.{child_name}" if name else child_name, child


def modules_of(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """As named_modules(), each at every place that it has, by names that know no wrappers."""
    yield name, module
    for child_name, child in children_of(module, name):
        yield from modules_of(child, child_name)


def plain_name(name: str) -> str:
    """A parameter's name without what DistributedDataParallel, torch.compile and FSDP add."""
    parts = [part for part in name.split(".") if part not in WRAPPED]
    while len(parts) > 1 and parts[0] == "module":
        parts.pop(0)
    return ".".join(parts)
