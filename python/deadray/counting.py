"""The directions of a model's parameters that change no output, counted by cause."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from deadray._predict import census_config, census_model
from deadray.errors import UsageError

if TYPE_CHECKING:
    import torch
    import transformers

    from deadray._predict import Counted


@dataclass(frozen=True)
class Cause:
    """One cause in blocks of one stack that are alike.

    blocks: their numbers; empty where the cause is of no block. why: a clause where each is 0.
    """

    name: str
    stack: str
    blocks: tuple[int, ...]
    each: int
    why: str | None

    @property
    def dimension(self) -> int:
        """Flat directions of all these blocks."""
        return self.each * max(len(self.blocks), 1)


class Census:
    """The flat directions of a model's parameters.

    causes, up_to_eps: what is flat, and what would be if every norm's eps were 0, a Cause for
        blocks that are alike.
    parameters, flat, unreached: counts. bound: the local learning coefficient is at most that.
    notes: what the user should know.
    """

    def __init__(self, counted: Counted):
        record, self._table, causes, up_to_eps = counted
        self._record = json.loads(record)
        self.causes = [_cause(*row) for row in causes]
        self.up_to_eps = [_cause(*row) for row in up_to_eps]
        self.parameters: int = self._record["parameters"]
        self.flat: int = self._record["flat"]
        self.unreached: int = self._record["unreached"]
        self.bound: float = self._record["llc_bound"]
        self.notes: list[str] = self._record["notes"]

    def to_dict(self) -> dict[str, Any]:
        """The record deadray/census/1, as `deadray census --json` writes it."""
        return json.loads(self.to_json())

    def to_json(self, indent: int | None = 2) -> str:
        return json.dumps(self._record, indent=indent, ensure_ascii=False)

    def __str__(self) -> str:
        """The table that `deadray census` prints."""
        return self._table.rstrip("\n")

    def __repr__(self) -> str:
        name = self._record["model"]["name"]
        return f"Census({name!r}, {self.flat} of {self.parameters} flat)"

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{head}</th>" for head in ("cause", "blocks", "each", "directions"))
        rows = "".join(f"<tr>{_cells(cause)}</tr>" for cause in self.causes if cause.dimension)
        sums = f"{self.flat} of {self.parameters} directions are flat; λ ≤ {self.bound}"
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        return f"{table}<p>{sums}</p>"


def _cause(name: str, stack: str, blocks: list[int], each: int, why: str) -> Cause:
    return Cause(name, stack, tuple(blocks), each, why or None)


def _cells(cause: Cause) -> str:
    blocks = ", ".join(map(str, cause.blocks)) or "–"
    place = blocks if cause.stack == "model" else f"{cause.stack} {blocks}"
    values = (cause.name, place, cause.each, cause.dimension)
    return "".join(f"<td>{escape(str(value))}</td>" for value in values)


def census(
    model: str
    | os.PathLike[str]
    | Mapping[str, Any]
    | transformers.PreTrainedConfig
    | torch.nn.Module,
) -> Census:
    """Counts by cause the directions of a model's parameters that change no output.

    model: a folder with config.json, with weights or without; a config.json; a file of weights; a
        name in the hub's cache; the keys of a config.json, as a mapping or as transformers has
        them; or a live model of transformers, whose values decide as a checkpoint's do.

    Nothing is run. Of a configuration alone all parameters count as generic.

    Raises MalformedError for a damaged model, UnsupportedError for one that deadray does not know,
    NetworkError for a download that was not finished.
    """
    if isinstance(model, (str, os.PathLike)):
        return Census(census_model(os.fspath(model)))
    if isinstance(model, Mapping):
        return _of_keys(model)
    if hasattr(model, "to_json_string"):
        return _of_keys(json.loads(model.to_json_string()))
    # Who holds a module has imported torch.
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        raise UsageError(
            "model: a path, a name, a configuration or a model of transformers was expected, not "
            + type(model).__name__
        )
    from deadray.modules.census_module import census_module

    return Census(census_module(model))


def _of_keys(keys: Mapping[str, Any]) -> Census:
    try:
        text = json.dumps(dict(keys))
    except (TypeError, ValueError) as error:
        raise UsageError(f"model: the configuration is no JSON: {error}") from error
    name = keys.get("_name_or_path") or keys.get("model_type") or "configuration"
    return Census(census_config(text, str(name)))
