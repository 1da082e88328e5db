"""What is dead in a model, read from its norms alone."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deadray._predict import Norm, predict_model
from deadray.errors import UsageError
from deadray.tables import html_table, text_table

if TYPE_CHECKING:
    import torch

__all__ = ["Norm", "Prediction", "predict"]

CATALOGUE = Path(__file__).with_name("norms.jsonl")  # of the norms of transformers' model types


class Prediction:
    """The dead directions of a model's norms.

    norms: each norm that was asked for, in the order of the model.
    """

    def __init__(self, record: dict[str, Any], norms: list[Norm]):
        self.norms = norms
        self._record = record

    def to_dict(self) -> dict[str, Any]:
        """The record deadray/predict/1, as `deadray predict --json` writes it."""
        return self._record

    def __repr__(self) -> str:
        dead = self._record["totals"]["dead_directions"]
        return (
            f"Prediction({self._record['model']['name']!r}, {len(self.norms)} norms, {dead} dead)"
        )

    def __str__(self) -> str:
        """A table of plain text."""
        return text_table(_COLUMNS, [_cells(norm) for norm in self.norms])

    def _repr_html_(self) -> str:
        return html_table(_COLUMNS, [_cells(norm) for norm in self.norms])


_COLUMNS = ("norm", "kind", "d", "dead", "constant")


def _cells(norm: Norm) -> list[str]:
    constant = "-" if norm.constant is None else f"{norm.constant:.4g}"
    return [norm.name, norm.kind, str(norm.hidden_size), str(norm.dimension), constant]


def tau_of(given: Any) -> float | None:
    """Raises UsageError for what is no number. The range is looked at where it is used."""
    try:
        return None if given is None else float(0 + given)  # a text is no number
    except (TypeError, ValueError, RuntimeError):
        found = type(given).__name__
        raise UsageError(f"tau: a number with 0 <= x < 1 was expected, not {found}") from None


def predict(
    model: str | os.PathLike[str] | torch.nn.Module, site: str = "all", tau: float | None = None
) -> Prediction:
    """Predicts from the scales γ and shifts β of a model's norms; nothing is run.

    model: a folder with config.json and weights, a file of weights, a name in the hub's cache
        ("org/name" or "org/name@revision"), or a live module.
    site: "all", "final", or the name of a norm.
    tau: scales up to this share of max|γ| count as zero; 2^-26.5 unless given.

    Raises MalformedError for a damaged model, UnsupportedError for one that deadray does not know,
    UsageError for an unknown site, NetworkError for a download that was not finished.
    """
    tau = tau_of(tau)
    if isinstance(model, (str, os.PathLike)):
        record, norms = predict_model(os.fspath(model), site, tau, str(CATALOGUE))
        return Prediction(json.loads(record), norms)
    # Who holds a module has imported torch.
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(model, torch.nn.Module):
        raise UsageError(
            f"model: a path, a name or a torch.nn.Module was expected, not {type(model).__name__}"
        )
    from deadray.modules.predict_module import predict_module

    return predict_module(model, site, tau)
