"""deadray.predict() of a model in memory."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from deadray._build import VERSION
from deadray._predict import Norm, predict_norm
from deadray.errors import UsageError
from deadray.modules.choice import near_names
from deadray.modules.described import described
from deadray.modules.final_norm import final_norms
from deadray.modules.norms import NormOf, find_norms
from deadray.prediction import Prediction

# As checkpoints call them.
DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}


def predict_module(model: nn.Module, site: str = "all", tau: float | None = None) -> Prediction:
    """What the norms of `model` say, by find_norms(); see deadray.predict().

    In the record (deadray/predict/1) what a module does not tell is null, and no consumers are
    listed: dead_parameters() finds them.

    Raises UsageError for an unknown site; what find_norms() and predict_norm() raise.
    """
    began = time.perf_counter()
    found = find_norms(model)
    chosen = [norm for norm in _chosen(model, found, site) if norm.hidden_size is not None]
    read = time.perf_counter()
    norms = [predict_norm(norm.name, norm.kind, norm.gamma, norm.beta, tau) for norm in chosen]
    done = time.perf_counter()
    about = described(model, torch.float32)
    record = {
        "schema": "deadray/predict/1",
        "model": {key: about[key] for key in ("name", "hub", "family", "parameters")},
        "sites": [_site(norm, its) for norm, its in zip(chosen, norms, strict=True)],
        "totals": {
            "dead_directions": sum(norm.dimension for norm in norms),
            "dead_parameter_directions": None,
            "llc_lowering": None,
        },
        "notes": [note for norm in found for note in _notes(norm)],
        "bytes_read": 0,
        "seconds": {"open": None, "read": read - began, "predict": done - read},
        "environment": {"version": VERSION},
    }
    return Prediction(record, norms)


def _site(norm: NormOf, predicted: Norm) -> dict[str, Any]:
    sizes = np.abs(norm.gamma)
    stored = norm.scale is not None and norm.scale.key is not None
    return {
        "name": norm.name,
        "norm": norm.kind,
        "hidden_size": norm.hidden_size,
        "predicted": json.loads(predicted.json),
        "gamma": {
            "min": float(sizes.min()),
            "max": float(sizes.max()),
            "offset": int(norm.scale.offset) if stored else 0,
            "stored": _dtype(norm, norm.scale.key) if stored else "none",
        },
        "consumers": [],
    }


def _dtype(norm: NormOf, key: str) -> str:
    path, _, own_key = key.rpartition(".")
    dtype = getattr(norm.module.get_submodule(path), own_key).dtype
    return DTYPES.get(dtype, str(dtype).removeprefix("torch."))


def _notes(norm: NormOf) -> list[str]:
    if norm.hidden_size is None:
        return [f"{norm.name}: left out: it stores nothing, and its width is that of its input"]
    return [f"{norm.name}: {norm.note}"] if norm.note else []


def _chosen(model: nn.Module, found: list[NormOf], site: str) -> list[NormOf]:
    """`all`, `final`, a name, or how one name ends."""
    if site == "all":
        return found
    named = [norm for norm in found if norm.name == site]
    chosen = final_norms(model, found) if site == "final" else named
    chosen = chosen or [norm for norm in found if norm.name.endswith(f".{site}")]
    if len(chosen) == 1:
        return chosen
    names = [norm.name for norm in (chosen or found)]
    few = near_names(site, names) or names[-3:]
    if site == "final":
        problem = "the model ends without a norm, or the names do not tell which is its last"
    else:
        problem = f"{len(chosen)} norms end so" if chosen else "no such norm"
    raise UsageError(
        f"site '{site}': {problem}; give 'all', or one of {len(found)} names"
        + (f", such as {', '.join(few)}" if few else "")
    )
