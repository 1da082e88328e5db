"""Which parameters read which norm's output, seen while the model runs once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

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
        self._kept: list[torch.Tensor] = []  # so that no storage is used again
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
        self.others.update(self._origins_of(tree_leaves(outputs)))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        followed = [(t, t._version) for t in tensors if self._origin(t) is not None]
        result = func(*args, **kwargs)
        product = self._product(func, args, kwargs)
        if product is not None:
            self._note_product(*product)
            return result
        made = [t for t in tree_leaves(result) if isinstance(t, torch.Tensor)]
        if made:
            self.used_otherwise.update(id(t) for t in tensors if id(t) in self._parameters)
            self._note_readers(func, tensors, followed, made)
        return result

    def _product(self, func, args, kwargs):
        """Rows, weight, bias, and whether the weight is [inputs, outputs]; None: no product."""
        found = None
        if func is functional.linear:
            given = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
            found = given["input"], given["weight"], given.get("bias"), False
        elif func in (torch.addmm, torch.Tensor.addmm) and len(args) == 3 and not kwargs:
            found = args[1], args[2], args[0], True
        elif func in PRODUCTS and len(args) == 2 and not kwargs:
            found = args[0], args[1], None, True
        known = found is not None and id(found[1]) in self._parameters and found[1].dim() == 2
        return found if known else None

    def _note_product(self, x, weight, bias, transposed: bool) -> None:
        origin = self._origin(x)
        if origin is not None and not self._rows_follow(origin, x):
            self.others.add(origin)
            origin = None
        bias = id(bias) if id(bias) in self._parameters else None
        self.reads[id(weight)].append(Read(id(weight), bias, transposed, origin))
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
