"""The norms of a model in memory: found by what they compute, never by a class's name."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from deadray.modules.isolation import is_vector, stored_tensors
from deadray.modules.parameters import children_of, shape_of, whole_parameters
from deadray.modules.recognition import Recognised, Role, recognise

MOST_TENSORS = 8  # of a candidate; a norm has one or two
OF_EVERY_MODULE = frozenset(vars(nn.Module()))
PLAIN = (bool, int, float, str, type(None))


@dataclass(frozen=True, eq=False)
class NormOf:
    """One norm of a model.

    name: of the module in the model; wrappers (DDP, FSDP, torch.compile) leave no trace in it.
    kind: "layernorm" or "rmsnorm".
    axis: of the input over which it normalises: -1, or 1 for channels first.
    hidden_size, gamma, beta: gamma and beta are [hidden_size], float64, as the norm applies them:
        the stored values to the bit, or 1 + them where the module computes that. beta is None where
        it has none. hidden_size and gamma are None for a norm that stores nothing and takes any
        width: of_width() completes it.
    eps: under the root; the module's own number where it agrees with what the module computes.
    scale, shift: how gamma and beta come from what is stored; None where they do not. Then they are
        as measured, and `note` says so.
    """

    name: str
    module: nn.Module
    kind: str
    axis: int
    hidden_size: int | None
    gamma: np.ndarray | None
    beta: np.ndarray | None
    eps: float
    scale: Role | None
    shift: Role | None
    note: str = ""

    def of_width(self, width: int) -> NormOf | None:
        """This norm on inputs of this width; None: it is none of that width."""
        if self.hidden_size is not None:
            return self if width == self.hidden_size else None
        return probe_norm(self.module, width, self.axis, self.name)

    def current(self) -> NormOf | None:
        """This norm with the values that its module has now."""
        return probe_norm(self.module, self.hidden_size, self.axis, self.name)


def find_norms(model: nn.Module) -> list[NormOf]:
    """The LayerNorms and RMSNorms of `model`, in the order of its modules, each once.

    A candidate stores vectors and nothing else. It runs alone, as a copy in evaluation mode, on the
    CPU (where it cannot, on its own device), so nothing of the model changes. It must take its
    input as the only argument: a gate or a condition that it can do without is left out.

    Left out: norms over several axes, those with a scale for each head ([heads, width]), and those
    of width 1, whose output is constant. Of a norm within another that stores something itself the
    outer one is listed.

    Where parameters are spread over ranks, this is a collective: every rank calls it.

    Raises UnsupportedError, naming the norm, where its values are not in memory.
    """
    found = _Search().norms_in("", model)
    return list({id(norm.module): norm for norm in found}.values())


def probe_norm(
    module: nn.Module, width: int | None = None, axis: int | None = None, name: str = ""
) -> NormOf | None:
    """The norm that `module` is on inputs of this width along this axis; None: it is none."""
    found = recognise(module, name, width, axis)
    return None if found is None else _norm_of(name, module, found)


class _Search:
    """Of one model. A module is asked once, and so is what no norm came of."""

    def __init__(self):
        self._found: dict[int, list[NormOf]] = {}
        self._rejected: set[Hashable] = set()

    def norms_in(self, name: str, module: nn.Module) -> list[NormOf]:
        """Of a module that has several places those at the first one, each time."""
        if id(module) in self._found:
            return self._found[id(module)]
        with whole_parameters(module):
            inner = [
                norm
                for child_name, child in children_of(module, name)
                for norm in self.norms_in(child_name, child)
            ]
            asked = _is_candidate(module) and (not inner or _stores(module))
            outer = self._ask(name, module) if asked else None
        return self._found.setdefault(id(module), inner if outer is None else [outer])

    def _ask(self, name: str, module: nn.Module) -> NormOf | None:
        alike = _alike(module)
        if alike in self._rejected:
            return None
        norm = probe_norm(module, name=name)
        if norm is None:
            self._rejected.add(alike)
        return norm


def _alike(module: nn.Module) -> Hashable:
    """Equal for modules that compute the same of what they store."""
    parts = []
    for part in module.modules():
        own = ((k, v) for k, v in vars(part).items() if k not in OF_EVERY_MODULE)
        settings = ((k, v if isinstance(v, PLAIN) else id(v)) for k, v in own)
        parts.append((type(part), tuple(settings)))
    tensors = stored_tensors(module).items()
    return tuple(parts), tuple((k, shape_of(t), t.dtype, t.device) for k, t in tensors)


def _stores(module: nn.Module) -> bool:
    """Itself: a wrapper of a norm that stores nothing is not listed in its place."""
    return any(t is not None for t in (*module._parameters.values(), *module._buffers.values()))


def _is_candidate(module: nn.Module) -> bool:
    if isinstance(module, torch.jit.ScriptModule):
        return False
    tensors = stored_tensors(module).values()
    if not tensors:
        return not module._modules
    return len(tensors) <= MOST_TENSORS and all(map(is_vector, tensors))


def _norm_of(name: str, module: nn.Module, found: Recognised) -> NormOf:
    def numpy(vector: torch.Tensor | None) -> np.ndarray | None:
        return None if vector is None else vector.numpy()

    return NormOf(
        name=name,
        module=module,
        kind=found.fit.kind,
        axis=found.fit.layout.axis,
        hidden_size=found.hidden_size,
        gamma=numpy(found.gamma),
        beta=numpy(found.beta),
        eps=found.eps,
        scale=found.scale,
        shift=found.shift,
        note=found.note,
    )
