"""Which parameters read which norm's output, seen while the model runs once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

# What only moves or copies whole rows. That it did is checked by value where they are read.
MOVES_ROWS = frozenset(
    "__getitem__ bfloat16 cat chunk clone concat contiguous detach double dropout expand flatten "
    "float gather half index_select masked_select pad permute repeat repeat_interleave reshape "
    "roll split squeeze stack to transpose type type_as unflatten unsqueeze view view_as".split()
)
SUMS = (torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.__radd__)
PRODUCTS = (torch.matmul, torch.mm, torch.Tensor.matmul, torch.Tensor.mm, torch.Tensor.__matmul__)


@dataclass(frozen=True)
class Read:
    """One product of rows with a weight. origin: of the rows, None where no norm's.

    transposed: the weight is [inputs, outputs].
    """

    weight: int
    bias: int | None
    transposed: bool
    origin: str | None


class Trace(TorchFunctionMode):
    """Follows each norm's output, by its storage, into the products that read it.

    rows_follow(origin, x): whether the rows of x are rows of that norm's output.
    reads: of each weight, by its id. used_otherwise: ids of parameters that more than a product
    takes. others: norms whose output more than a product reads.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        rows_follow: Callable[[str, torch.Tensor], bool],
    ):
        super().__init__()
        self._parameters = {id(p) for p in parameters}
        self._rows_follow = rows_follow
        self._origins: dict[int, str] = {}
        self._kept: list[torch.Tensor] = []  # so that no storage, and no id, is used again
        self._transposes: dict[int, int] = {}  # of parameters, by the ids of both
        self._products: dict[int, tuple[int, int]] = {}  # without bias yet: where their Read is
        self.reads: dict[int, list[Read]] = defaultdict(list)
        self.used_otherwise: set[int] = set()
        self.others: set[str] = set()

    def follow(self, tensor: torch.Tensor, origin: str) -> None:
        place = _storage(tensor)
        if place is not None:
            self._origins[place] = origin
            self._kept.append(tensor)

    def leaves(self, outputs: object) -> None:
        """What the model returns is read by its user."""
        returned = tree_leaves(outputs)
        self._read_bare(returned)
        self.others.update(self._origins_of(returned))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        followed = [(t, t._version) for t in tensors if self._origin(t) is not None]
        result = func(*args, **kwargs)
        product = self._product(func, args, kwargs)
        made = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        if product is not None:
            self._read_bare(tensors)
            self._note_product(*product, result)
        elif made and not (
            self._is_transpose(tensors, made) or self._adds_bias(func, args, kwargs)
        ):
            self._read_bare(tensors)
            weights = (self._transposes.get(id(t), id(t)) for t in tensors)
            self.used_otherwise.update(weight for weight in weights if weight in self._parameters)
            self._note_readers(func, tensors, followed, made)
        return result

    def _product(self, func, args, kwargs):
        """Rows, the weight's id, bias, whether that is [inputs, outputs]; None: no product."""
        x = weight = bias = None
        transposed = True
        if func is functional.linear:
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
            x, weight, bias, transposed = given["input"], given["weight"], given.get("bias"), False
        elif func in (torch.addmm, torch.Tensor.addmm) and len(args) == 3 and not kwargs:
            bias, x, weight = args
        elif func in PRODUCTS and len(args) == 2 and not kwargs:
            x, weight = args
        if id(weight) in self._transposes:
            return x, self._transposes[id(weight)], bias, not transposed
        if id(weight) in self._parameters and weight.dim() == 2:
            return x, id(weight), bias, transposed
        return None

    def _is_transpose(self, tensors, made) -> bool:
        """Whether all that was made is a weight's transpose."""
        if len(tensors) != 1 or len(made) != 1 or id(tensors[0]) not in self._parameters:
            return False
        weight, other = tensors[0], made[0]
        same = weight.dim() == 2 and other.shape == weight.T.shape
        if not same or other.data_ptr() != weight.data_ptr() or other.stride() != weight.T.stride():
            return False
        self._transposes[id(other)] = id(weight)
        self._kept.append(other)
        return True

    def _adds_bias(self, func, args, kwargs) -> bool:
        """Whether a product gets its bias here."""
        if func not in SUMS or len(args) != 2 or kwargs:
            return False
        result, bias = args if id(args[0]) in self._products else reversed(args)
        if id(result) not in self._products or id(bias) not in self._parameters:
            return False
        weight, place = self._products[id(result)]
        read = self.reads[weight][place]
        if read.bias is not None or bias.shape != result.shape[-1:]:
            return False
        self.reads[weight][place] = replace(read, bias=id(bias))
        return True

    def _read_bare(self, tensors: Iterable[object]) -> None:
        """A product that something reads without its bias has none to itself."""
        for tensor in tensors:
            place = self._products.pop(id(tensor), None)
            if place is None:
                continue
            read = self.reads[place[0]][place[1]]
            if read.bias is not None:
                self.used_otherwise.add(read.bias)
                self.reads[place[0]][place[1]] = replace(read, bias=None)

    def _note_product(self, x, weight: int, bias, transposed: bool, result) -> None:
        origin = self._origin(x)
        if origin is not None and not self._rows_follow(origin, x):
            self.others.add(origin)
            origin = None
        if bias is None:
            self._products[id(result)] = weight, len(self.reads[weight])
            self._kept.append(result)
        bias = id(bias) if id(bias) in self._parameters else None
        self.reads[weight].append(Read(weight, bias, transposed, origin))
        if id(x) in self._parameters:
            self.used_otherwise.add(id(x))

    def _note_readers(self, func, tensors, followed, made) -> None:
        if not followed:
            return
        origins = self._origins_of(t for t, _ in followed)
        changed = any(t._version != version for t, version in followed)
        floating = [t for t in tensors if t.is_floating_point()]
        alone = len(origins) == 1 and len(floating) == len(followed)
        moved = getattr(func, "__name__", "") in MOVES_ROWS
        if not changed and alone and (moved or all(self._origin(t) is not None for t in made)):
            for tensor in made:
                self.follow(tensor, next(iter(origins)))
            return
        self.others.update(origins)
        if changed:
            for tensor, _ in followed:
                self._origins.pop(_storage(tensor), None)

    def _origin(self, tensor: object) -> str | None:
        if not isinstance(tensor, torch.Tensor) or not self._origins:
            return None
        return self._origins.get(_storage(tensor))

    def _origins_of(self, tensors: Iterable[object]) -> set[str]:
        return {origin for t in tensors if (origin := self._origin(t)) is not None}


def _storage(tensor: torch.Tensor) -> int | None:
    try:
        return tensor.untyped_storage().data_ptr() or None
    except Exception:  # a tensor without storage of its own, as within vmap
        return None
