"""Which norm is a live model's last, as the program says it of the same checkpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from torch import nn

from deadray.modules.norms import NormOf
from deadray.modules.unwrap import unwrapped
from deadray.prediction import CATALOGUE

DEEPEST = 4  # of models in models


def final_norms(model: nn.Module, found: list[NormOf]) -> list[NormOf]:
    """One; none where the model ends without a norm; several where nothing tells.

    The catalogue of transformers' model types says so. Of other models the place in it does:
    outside the blocks, and not of an embedding or a head, which may have norms there too.
    """
    config = getattr(unwrapped(model), "config", None)
    catalogued = _by_type().get(getattr(config, "model_type", None))
    if catalogued is None or "failed" in catalogued:
        return [norm for norm in found if _may_be_final(norm.name)]
    patterns = [_regex(pattern) for pattern in _final_patterns(catalogued, config, [""], 0)]
    named = [norm for norm in found if any(p.fullmatch(norm.name) for p in patterns)]
    return named[-1:]  # of a pattern with numbers, that of the largest


@cache
def _by_type() -> dict[str, dict[str, Any]]:
    lines = CATALOGUE.read_text("utf-8").splitlines()[1:]
    return {kind["model_type"]: kind for kind in map(json.loads, lines)}


def _final_patterns(
    kind: dict[str, Any], config: Any, before: list[str], depth: int
) -> Iterator[str]:
    """Names with {} for numbers. before: what stands before this part of the model."""
    inside = [outer + prefix for outer in before for prefix in kind.get("prefixes", [""])]
    for norm in kind.get("norms", []):
        if not norm.get("final"):
            continue
        name = norm["name"]
        yield from (prefix + name.removeprefix("/") for prefix in _start(name, before, inside))
        yield from (prefix + other for prefix in before for other in norm.get("also", []))
    for part in kind.get("parts", []):
        own = getattr(config, part["config"], None)
        inner = _by_type().get(getattr(own, "model_type", part.get("model_type")))
        if part.get("final") and inner is not None and depth < DEEPEST:
            prefixes = [outer + prefix for outer in before for prefix in part["prefixes"]]
            yield from _final_patterns(inner, own or config, prefixes, depth + 1)


def _start(name: str, before: list[str], inside: list[str]) -> list[str]:
    """A name with a slash belongs to a head, beside the model that has the prefixes."""
    return before if name.startswith("/") else inside


def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(r"\d+".join(map(re.escape, pattern.split("{}"))))


def _may_be_final(name: str) -> bool:
    *parts, last = name.split(".")
    inside = last.isdigit() or any(part.rpartition("_")[2].isdigit() for part in parts)
    return not inside and not any(part in name.lower() for part in ("embed", "head", "predict"))
