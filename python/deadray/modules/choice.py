"""Which of a model's norms are watched."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from torch import nn

from deadray.errors import UsageError
from deadray.modules.norms import NormOf

Chosen = str | Iterable[str] | Callable[[str, nn.Module], bool]


def choose(found: list[NormOf], norms: Chosen) -> list[NormOf]:
    """The norms that the user wants, of those that the model has.

    Raises UsageError for a name that no norm has, and where none is left.
    """
    if not found:
        raise UsageError("the model has no LayerNorm and no RMSNorm: nothing to watch")
    if callable(norms):
        taken = [norm for norm in found if norms(norm.name, norm.module)]
        if not taken:
            raise UsageError(f"norms: the function chose none of the {len(found)} norms")
        return taken
    if norms == "all":
        return found
    by_name = {norm.name: norm for norm in found}
    names = [norms] if isinstance(norms, str) else list(dict.fromkeys(norms))
    for name in names:
        if name not in by_name:
            near = difflib.get_close_matches(name, by_name, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(by_name)}"
            raise UsageError(f"norm '{name}': the model has none of that name; {hint}")
    return [by_name[name] for name in names]
