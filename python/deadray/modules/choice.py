"""Which of a model's norms are watched."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Callable, Iterable

from torch import nn

from deadray.errors import UsageError
from deadray.modules.norms import NormOf

NEAR = 0.6  # of difflib's ratio
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
    if not isinstance(norms, Iterable):
        raise UsageError(f"norms: {type(norms).__name__}, expected names, or a function")
    names = [norms] if isinstance(norms, str) else list(dict.fromkeys(norms))
    taken = {id(norm): norm for name in names for norm in _named(found, name)}
    if not taken:
        raise UsageError("norms: an empty list chooses none")
    return list(taken.values())


def _named(found: list[NormOf], name: str) -> list[NormOf]:
    """The norm of that name; of a pattern with *, every one that fits."""
    taken = [norm for norm in found if norm.name == name]
    if not taken and "*" in name:
        taken = [norm for norm in found if fnmatch.fnmatchcase(norm.name, name)]
    if not taken:
        known = [norm.name for norm in found]
        near = near_names(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        what = "no norm's whole name fits that pattern" if "*" in name else "none has that name"
        raise UsageError(f"norm '{name}': {what}; {hint}")
    return taken


def near_names(given: str, known: list[str], most: int = 3) -> list[str]:
    """What may have been meant by `given`, nearest first: names alike, or names that end alike."""

    def likeness(name: str) -> tuple[float, float]:
        a, b = given.split("."), name.split(".")
        parts = min(len(a), len(b))
        ends = ".".join(a[-parts:]), ".".join(b[-parts:])
        return tuple(difflib.SequenceMatcher(None, *pair).ratio() for pair in (ends, (given, name)))

    found = {name: likeness(name) for name in known}
    near = [name for name in known if max(found[name]) >= NEAR]
    return sorted(near, key=found.__getitem__, reverse=True)[:most]
