"""Records of each kind that a report reads, small and made up.

tests/scripts change them to see what a report does with it.
"""

from __future__ import annotations

import json
from pathlib import Path

ENVIRONMENT = {
    "version": "0.1.0",
    "device": "cpu",
    "threads": 2,
    "libtorch": "2.11.0",
    "cuda": None,
}


def reading(cosine: float | None, dimension: int, floor: float, along: float) -> dict:
    return {
        "abs_cos": cosine,
        "principal_cosines": [cosine] * dimension,
        "dimension": dimension,
        "lambda_v": along,
        "eigenvalues": {"first": -1e-18, "second": 0.25, "next": 0.25, "mean": 0.5, "last": 2.0},
        "residual": 1e-17,
        "chance_p": 0.5,
        "floor": floor,
        "gap": 0.25 / floor,
        "depth": along / 0.5,
        "below": [dimension] * 4,
        "random_variance": None,
        "driver": "dsyevd",
    }


def site(name: str, norm: str = "layernorm", final: bool = False, along: float = 1e-14) -> dict:
    dimension = 1 if norm == "layernorm" else 0
    cosine = 1.0 if dimension else 0.125
    return {
        "name": name,
        "norm": norm,
        "final": final,
        "hidden_size": 8,
        "predicted": {"dimension": dimension},
        "gamma": {"min": 0.125, "max": 2.0},
        "exact": reading(cosine, dimension, 1e-15, 1e-32),
        "deployed": reading(cosine, dimension, 1e-13, along),
        "spectrum": {
            "index": [0, 1, 7],
            "exact": [-1e-18, 0.25, 2.0],
            "deployed": [1e-14, 0.25, 2.0],
        },
        "schur": {"input": 0.75, "output": None, "null": 0.0625},
        "verdict": "confirmed" if dimension else "absent",
        "reason": "as predicted",
    }


def verify(
    name: str,
    init: str = "checkpoint",
    norm: str = "layernorm",
    sites: int = 1,
    along: float = 1e-14,
) -> dict:
    return {
        "schema": "deadray/verify/1",
        "model": {
            "name": name,
            "family": "gpt2",
            "parameters": 100,
            "init": init,
            "dtype": "float32",
        },
        "calibration": {
            "kind": "random",
            "tokens": 64,
            "sequence_length": 8,
            "seed": 0,
            "pixels": None,
        },
        "sites": [site(f"h.{i}.ln", norm, i == sites - 1, along) for i in range(sites)],
        "residual": {
            "centred": [1.0, 2.0, 3.0],
            "uncentred": [1.0, 2.0, 0.0],
            "ratio": [1.0, 2.0, None],
            "steps": [None, 2.0, None],
            "reference": 0,
            "excluded": [2],
            "reason": "",
            "preserved": True,
        },
        "notes": [],
        "seconds": {},
        "forward": None,
        "environment": ENVIRONMENT,
    }


def several(steps: list[int] | None = None, labels: tuple[str, ...] = ("a", "b", "c")) -> dict:
    """Models beside the first: two LayerNorms, the final one farther off in each, an RMSNorm."""

    def pair(model: int, name: str, norm: str = "layernorm", far: float = 0.0) -> dict:
        is_layernorm = norm == "layernorm"
        return {
            "name": name,
            "name_there": name,
            "norm": norm,
            "final": name == "ln_f",
            "hidden_size": 8,
            "abs_cos": 1 - far if is_layernorm else None,
            "one_minus_abs_cos": far if is_layernorm else None,
            "angle": (2 * far) ** 0.5 if is_layernorm else None,
            "gamma_change": 0.125 * model,
            "dimension": [1, 1 + model] if is_layernorm else [0, 0],
            "gamma_min": [0.5, 0.5 / model],
            "coordinates": [0, 1 + model if is_layernorm else 0],
        }

    pairs = [
        {
            "model": model,
            "norms": [
                pair(model, "h.0.ln"),
                pair(model, "h.0.q_norm", "rmsnorm"),
                pair(model, "ln_f", far=0.25 * model),
            ],
            "missing": [],
            "more": [],
            "not_compared": [],
        }
        for model in range(1, len(labels))
    ]
    sites = [{"name": name} for name in ("h.0.ln", "h.0.q_norm", "ln_f")]
    return {
        "schema": "deadray/predict-several/1",
        "labels": list(labels),
        "steps": steps,
        "pairs": pairs,
        "models": [{"schema": "deadray/predict/1", "sites": sites} for _ in labels],
        "notes": [],
        "environment": {"version": "0.1.0"},
    }


def fisher(name: str) -> dict:
    measured = {
        "name": "h.0.attn.c_attn",
        "site": "h.0.ln",
        "width": 24,
        "claimed": True,
        "family": "weight_and_bias",
        "count": 24,
        "why": "its bias takes up the constant",
        "dead": 1e-33,
        "weight_only": 1e-6,
        "random": {"median": 1e-4, "min": 1e-5, "max": 1e-3},
        "ratio": 1e-29,
        "kfac": 1e-30,
        "kfac_random": 1e-4,
        "invariance": 1e-14,
        "invariance_random": 1.5,
        "verdict": "confirmed",
        "reason": "as predicted",
    }
    zero = measured | {
        "name": "h.0.mlp.c_fc",
        "dead": 0.0,
        "ratio": 0.0,
        "kfac": None,
        "kfac_random": None,
        "invariance": None,
        "invariance_random": None,
    }
    tied = measured | {
        "name": "lm_head",
        "claimed": False,
        "count": 0,
        "why": "tied",
        "dead": 1e-5,
        "weight_only": None,
        "ratio": 0.1,
        "verdict": None,
        "reason": "",
    }
    return verify(name) | {
        "schema": "deadray/fisher/1",
        "consumers": [measured, zero, tied],
        "totals": {"dead_directions": 48, "llc_lowering": 24.0},
    }


def causes(name: str) -> dict:
    def order(kind: str, k: int | None, slope: float) -> dict:
        samples = [{"t": t, "fisher": 1e-3 * abs(t) ** slope} for t in (-1.0, -0.1, 0.1, 1.0)]
        return {"kind": kind, "k": k, "slope": slope, "samples": samples}

    values = {
        "cause": "values",
        "stack": "model",
        "block": 0,
        "dimension": 128,
        "why": "",
        "dead": 1e-33,
        "random": {"median": 1e-4, "min": 1e-5, "max": 1e-3},
        "ratio": 1e-29,
        "invariance": 1e-14,
        "invariance_random": 1.5,
        "order": order("gauge", None, 0.0),
        "order_random": order("singular", 2, 2.0),
        "verdict": "confirmed",
        "reason": "as predicted",
    }
    unmeasured = dict.fromkeys(
        ("dead", "random", "ratio", "invariance", "invariance_random", "order", "order_random")
    )
    router = values | unmeasured | {"cause": "router", "dimension": 0, "verdict": None}
    return fisher(name) | {"consumers": [], "causes": [values, router]}


def timing() -> dict:
    rows = [
        {"d": d, "method": method, "seconds": scale * d**exponent, "repetitions": 5}
        for method, scale, exponent in (("predict", 1e-9, 1), ("eigh", 1e-9, 3))
        for d in (256, 1024)
    ]
    rows.append(
        {
            "d": 256,
            "method": "eigh",
            "seconds": 0.5,
            "repetitions": 3,
            "min": 0.4,
            "max": 0.6,
            "device": "cpu",
            "peer": "scipy evr",
            "version": "1.17.1",
            "model": None,
        }
    )
    rows.append(
        {
            "d": 512,
            "method": "forward",
            "seconds": 2.0,
            "repetitions": 3,
            "device": "cpu",
            "model": "a",
            "peer": None,
        }
    )
    fits = [{"method": "eigh", "device": "cpu", "peer": None, "exponent": 3.0, "coefficient": 1e-9}]
    skipped = [
        {
            "d": 8192,
            "method": "eigh",
            "device": "cpu",
            "model": None,
            "peer": "scipy evr",
            "reason": "about 300 s",
        }
    ]
    return {
        "schema": "deadray/timing/1",
        "rows": rows,
        "fits": fits,
        "skipped": skipped,
        "environment": ENVIRONMENT,
    }


def predictor() -> dict:
    return {
        "schema": "deadray/bench-predict/1",
        "warm": [{"hidden_size": d, "copy": 1e-10 * d, "predict": 3e-10 * d} for d in (384, 4096)],
        "environment": ENVIRONMENT,
    }


def suite() -> dict:
    rows = [
        {"model": "a", "init": "random", "state": "measured", "record": "a.random.json"},
        {
            "model": "far",
            "init": "checkpoint",
            "state": "not downloaded",
            "code": 5,
            "reason": "hf download some/far",
        },
    ]
    return {
        "schema": "deadray/suite/1",
        "roster": {"file": "mine.json", "note": "two of mine"},
        "rows": rows,
        "code": 5,
        "environment": ENVIRONMENT,
    }


def write_all(folder: Path) -> None:
    """One of each kind; model a with both initialisations and two norms, model r the control."""
    records = {
        "a.random": verify("a", "random", along=1e-12),
        "a.checkpoint": verify("a", sites=2),
        "r.random": verify("r", "random", "rmsnorm"),
        "run": several([0, 10, 2000]),
        "a.fisher": fisher("a"),
        "a.causes": causes("a"),
        "timing": timing(),
        "predictor": predictor(),
        "suite": suite(),
    }
    for name, record in records.items():
        write(folder / f"{name}.json", record)


def write(file: Path, record: object) -> None:
    file.write_text(json.dumps(record))
