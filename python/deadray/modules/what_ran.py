"""Which norms have run on any of several ranks."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from deadray.errors import UnsupportedError, UsageError
from deadray.modules.ranks import Ranks


@dataclass
class Ran:
    """A norm that has run. seen: rows that came; counted: those that the mask let through."""

    name: str
    dtype: str
    width: int
    seen: int
    counted: int


def what_ran(
    ranks: Ranks, settings: list[Any], mine: list[Ran], unfit: list[str]
) -> tuple[list[Ran], list[str]]:
    """The same on all ranks: norms in one order, with the rows of all, and all that is `unfit`.

    settings: what has to be the same on all ranks. unfit: names of norms that no mask fits.

    Collective, and so are its errors: UsageError where ranks watch otherwise; UnsupportedError
    where a norm is not the same one on two ranks.
    """
    sent = [settings, [dataclasses.astuple(norm) for norm in mine], unfit]
    parts = [json.loads(part) for part in ranks.gather(json.dumps(sent).encode())]
    if any(part[0] != parts[0][0] for part in parts):
        raise UsageError("the ranks watch different norms, or otherwise: call watch alike on all")
    all_ran: dict[str, Ran] = {}
    for _, norms, _ in parts:
        for norm in (Ran(*values) for values in norms):
            known = all_ran.setdefault(norm.name, dataclasses.replace(norm, seen=0, counted=0))
            if (known.dtype, known.width) != (norm.dtype, norm.width):
                raise UnsupportedError(
                    f"norm '{norm.name}': {known.dtype} of width {known.width} on one rank, "
                    f"{norm.dtype} of width {norm.width} on another"
                )
            known.seen += norm.seen
            known.counted += norm.counted
    return list(all_ran.values()), list(dict.fromkeys(name for part in parts for name in part[2]))
