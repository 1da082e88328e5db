"""A module run alone, on inputs of our own, with nothing of the model changed."""

from __future__ import annotations

import contextlib
import sys
import types
import warnings
from collections import OrderedDict
from collections.abc import Iterator

import torch
from torch import nn

from deadray.modules.parameters import shape_of

# No value of a scale decides what a module is, so its vectors are drawn. Between these, no two of
# gamma, 1 + gamma and -gamma can be confused.
LOWEST, HIGHEST = 0.5, 1.5


def is_vector(tensor: torch.Tensor) -> bool:
    return sum(size != 1 for size in shape_of(tensor)) <= 1


def stored_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers of the module and what is in it, by their names there."""
    return dict(module.named_parameters()) | dict(module.named_buffers())


@contextlib.contextmanager
def isolated(device: torch.device) -> Iterator[None]:
    """No gradient, no autocast, no compilation, no warnings, and the random state kept."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        devices = [device] if device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices))
        for kind in {"cpu", device.type}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        if "torch._dynamo" in sys.modules:  # else nothing is compiled, and importing it takes long
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield


class Isolated:
    """A copy of a module in evaluation mode, without hooks, with drawn vectors.

    vectors: name -> the drawn values, float64 on the CPU, flat. With `values` these are taken
    instead.
    """

    def __init__(
        self,
        module: nn.Module,
        dtype: torch.dtype,
        device: torch.device,
        values: dict[str, torch.Tensor] | None = None,
    ):
        self.dtype, self.device = dtype, device
        self.vectors: dict[str, torch.Tensor] = {}
        self.answered = False  # whether it took any input
        self._values = values or {}
        self._generator = torch.Generator().manual_seed(20260730)
        with torch.no_grad():
            self.module = self._copy(module, "")

    def __call__(self, x: torch.Tensor) -> torch.Tensor | None:
        """What the module makes of x (float64, CPU), likewise float64; None: it takes no such x."""
        with isolated(self.device):
            try:
                y = self.module(x.to(self.device, self.dtype, copy=True))
            except Exception:  # any complaint says: not such an input
                return None
        self.answered = True
        if not isinstance(y, torch.Tensor) or y.shape != x.shape or not y.is_floating_point():
            return None
        return y.to("cpu", torch.float64)

    def _copy(self, module: nn.Module, prefix: str) -> nn.Module:
        copy = object.__new__(type(module))
        attributes = {key: _own(value) for key, value in module.__dict__.items()}
        for key, value in attributes.items():
            if "hook" in key and isinstance(value, dict):
                attributes[key] = OrderedDict()
        attributes.pop("_compiled_call_impl", None)
        _bind_forward(attributes, module, copy)
        attributes["training"] = False
        for kind in ("_parameters", "_buffers"):
            attributes[kind] = {
                key: None if tensor is None else self._stored(tensor, prefix + key, kind)
                for key, tensor in getattr(module, kind).items()
            }
        attributes["_modules"] = {
            key: None if child is None else self._copy(child, f"{prefix}{key}.")
            for key, child in module._modules.items()
        }
        object.__setattr__(copy, "__dict__", attributes)
        return copy

    def _stored(self, tensor: torch.Tensor, name: str, kind: str) -> torch.Tensor:
        shape = shape_of(tensor)
        if name in self._values:
            value = self._values[name].double().reshape(shape)
        elif tensor.is_floating_point() and any(size != 1 for size in shape):
            drawn = torch.rand(shape, generator=self._generator, dtype=torch.float64)
            value = LOWEST + (HIGHEST - LOWEST) * drawn
        elif tensor.is_meta or tensor.numel() == 0 or hasattr(tensor, "full_tensor"):
            value = torch.ones(shape, dtype=torch.float64)
        else:
            value = tensor.detach().clone()
        if tensor.is_floating_point():
            self.vectors[name] = value.to("cpu", torch.float64).flatten()
            value = value.to(self.dtype)
        value = value.to(self.device)
        return nn.Parameter(value, requires_grad=False) if kind == "_parameters" else value


def _own(value):
    """An attribute that the copy may change; a model or anything else it refers to is shared."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return value.copy() if type(value) in (dict, list, set, OrderedDict) else value


def _bind_forward(attributes: dict, module: nn.Module, copy: nn.Module) -> None:
    """A forward() that was put on the instance; accelerate's is passed over for what it wraps."""
    put = attributes.pop("forward", None)
    put = attributes.pop("_old_forward", put)
    if isinstance(put, types.MethodType) and put.__self__ is module:
        attributes["forward"] = types.MethodType(put.__func__, copy)
