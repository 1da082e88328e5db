"""Which of a model's norms are watched."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable

from torch import nn

from deadray.errors import UsageError
from deadray.modules.norms import NormOf

Chosen = str | Iterable[str] | Callable[[str, nn.Module], bool]


def choose(found: list[NormOf], norms: Chosen) -> list[NormOf]:
    """The norms that the user wants, of those that the model has.

    Raises UsageError for a name or pattern that no norm has, and where none is left.
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
    names = [norms] if isinstance(norms, str) else list(dict.fromkeys(norms))
    taken = {id(norm): norm for name in names for norm in _named(found, name)}
    return list(taken.values())


def _named(found: list[NormOf], name: str) -> list[NormOf]:
    """The norm of that name; of a pattern with *, every one that fits."""
    taken = [norm for norm in found if norm.name == name]
    if not taken and "*" in name:
        taken = [norm for norm in found if fnmatch.fnmatchcase(norm.name, name)]
    if not taken:
        known = [norm.name for norm in found]
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise UsageError(f"norm '{name}': the model has none of that name; {hint}")
    return taken
