"""What a report needs of each kind of record, and the check that names the key of what is missing.

docs/records.md explains the keys.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Nullable:
    """null, or as `inner` says.

    `may_lack`: the key was added to the schema later, so it may be absent too.
    """

    inner: object
    may_lack: bool = False


@dataclass(frozen=True)
class Positive:
    """A number as `inner` says, and above 0.

    Something is divided by it, or it stands on an axis of powers of ten.
    """

    inner: type


@dataclass(frozen=True)
class OneOf:
    values: tuple[str, ...]


def later(inner: object) -> Nullable:
    return Nullable(inner, may_lack=True)


NUMBER, COUNT, TEXT, FLAG = float, int, str, bool
SIZE, DURATION = Positive(COUNT), Positive(NUMBER)
VERDICTS = OneOf(("confirmed", "absent", "refuted", "undetermined"))
KINDS = OneOf(("layernorm", "rmsnorm"))
INITS = OneOf(("random", "checkpoint", "activations"))
MODEL = {
    "name": TEXT,
    "family": Nullable(TEXT),
    "parameters": Nullable(COUNT),
    "init": INITS,
    "dtype": TEXT,
}
CALIBRATION = {"kind": TEXT, "tokens": COUNT}
ENVIRONMENT = {"version": TEXT, "commit": later(TEXT), "device": later(TEXT)}

READING = {
    "abs_cos": Nullable(NUMBER),
    "principal_cosines": [Nullable(NUMBER)],
    "dimension": COUNT,
    "lambda_v": Nullable(NUMBER),
    "floor": Nullable(NUMBER),
    "eigenvalues": {key: Nullable(NUMBER) for key in ("first", "second", "next", "mean", "last")},
    "gap": Nullable(NUMBER),
    "chance_p": Nullable(NUMBER),
    "depth": Nullable(NUMBER),
}
SITE = {
    "name": TEXT,
    "norm": KINDS,
    "final": later(FLAG),
    "hidden_size": SIZE,
    "predicted": {"dimension": COUNT},
    "inherited": later(COUNT),
    "gamma": later({"min": Nullable(NUMBER), "max": Nullable(NUMBER)}),
    "exact": Nullable(READING),
    "deployed": Nullable(READING),
    "spectrum": later(
        {
            "index": [COUNT],
            "exact": Nullable([Nullable(NUMBER)]),
            "deployed": Nullable([Nullable(NUMBER)]),
        }
    ),
    "schur": {"input": Nullable(NUMBER), "output": Nullable(NUMBER), "null": Nullable(NUMBER)},
    "verdict": VERDICTS,
    "reason": TEXT,
}
RESIDUAL = {
    "centred": [Nullable(NUMBER)],
    "uncentred": [Nullable(NUMBER)],
    "ratio": [Nullable(NUMBER)],
    "excluded": [COUNT],
    "preserved": Nullable(FLAG),
    "reference": later(COUNT),
    "rank": later(COUNT),
    "restricted": later([Nullable(NUMBER)]),
    "steps": later([Nullable(NUMBER)]),
}
ORIGIN = {
    "command": TEXT,
    "commit": TEXT,
    "started": TEXT,
    "machine": {"cpu": TEXT, "cores": COUNT, "memory_bytes": NUMBER, "device": TEXT},
}
CONSUMER = {
    "name": TEXT,
    "site": TEXT,
    "width": COUNT,
    "claimed": FLAG,
    "count": COUNT,
    "why": TEXT,
    "dead": Nullable(NUMBER),
    "weight_only": Nullable(NUMBER),
    "random": Nullable(
        {"median": Nullable(NUMBER), "min": Nullable(NUMBER), "max": Nullable(NUMBER)}
    ),
    "ratio": Nullable(NUMBER),
    "kfac": Nullable(NUMBER),
    "kfac_random": Nullable(NUMBER),
    "invariance": Nullable(NUMBER),
    "invariance_random": Nullable(NUMBER),
    "verdict": later(TEXT),
    "reason": later(TEXT),
}
ORDER = {
    "kind": TEXT,
    "k": Nullable(COUNT),
    "samples": [{"t": NUMBER, "fisher": Nullable(NUMBER)}],
}
CAUSE = {
    "cause": TEXT,
    "stack": TEXT,
    "block": Nullable(COUNT),
    "dimension": COUNT,
    "dead": Nullable(NUMBER),
    "random": CONSUMER["random"],
    "ratio": Nullable(NUMBER),
    "invariance": Nullable(NUMBER),
    "invariance_random": Nullable(NUMBER),
    "order": Nullable(ORDER),
    "order_random": Nullable(ORDER),
    "verdict": Nullable(TEXT),
    "reason": TEXT,
}

PAIR = {
    "name": TEXT,
    "norm": KINDS,
    "final": FLAG,
    "hidden_size": SIZE,
    "abs_cos": Nullable(NUMBER),
    "one_minus_abs_cos": Nullable(NUMBER),
    "angle": Nullable(NUMBER),
    "gamma_change": Nullable(NUMBER),
    "dimension": [COUNT],
    "gamma_min": [NUMBER],
    "coordinates": later([NUMBER]),
}
SEVERAL = {
    "labels": [TEXT],
    "steps": Nullable([COUNT]),
    "pairs": [{"model": COUNT, "norms": [PAIR]}],
    "models": [{"sites": [{"name": TEXT}]}],
    "environment": ENVIRONMENT,
}

TIMED = {
    "d": SIZE,
    "method": TEXT,
    "device": later(TEXT),
    "peer": later(TEXT),
    "model": later(TEXT),
}
TIMING = {
    "rows": [
        TIMED
        | {
            "seconds": DURATION,
            "repetitions": COUNT,
            "min": later(NUMBER),
            "max": later(NUMBER),
            "version": later(TEXT),
            "load": later({"busy": Nullable(FLAG)}),
        }
    ],
    "fits": later(
        [
            {
                "method": TEXT,
                "device": later(TEXT),
                "peer": later(TEXT),
                "exponent": Nullable(NUMBER),
                "coefficient": Nullable(NUMBER),
            }
        ]
    ),
    "skipped": later([TIMED | {"reason": TEXT}]),
    "commit": later(TEXT),
    "date": later(TEXT),
    "machine": later({"cpu": TEXT, "cores": COUNT, "memory_bytes": NUMBER}),
    "environment": ENVIRONMENT,
}
TOTALS = {"dead_directions": COUNT, "llc_lowering": NUMBER}
SUITE_ROW = {"model": TEXT, "init": INITS, "state": TEXT, "reason": later(TEXT)}

MEASURED = {"model": MODEL, "calibration": CALIBRATION, "environment": ENVIRONMENT}
SCHEMAS = {
    "deadray/verify/1": MEASURED
    | {
        "sites": [SITE],
        "residual": Nullable(RESIDUAL),
        "complete": later(FLAG),
        "suite": later(ORIGIN),
    },
    "deadray/fisher/1": MEASURED
    | {
        "consumers": [CONSUMER],
        "causes": later([CAUSE]),
        "totals": TOTALS,
        "complete": later(FLAG),
    },
    "deadray/predict-several/1": SEVERAL,
    "deadray/suite/1": {"roster": {"file": TEXT, "note": later(TEXT)}, "rows": [SUITE_ROW]},
    "deadray/timing/1": TIMING,
    "deadray/bench-predict/1": {
        "warm": [{"hidden_size": SIZE, "copy": DURATION, "predict": DURATION}],
        "environment": ENVIRONMENT,
    },
}
# Kinds that deadray writes and a report does not show.
OTHER_KINDS = ("predict", "census", "plan", "models", "bench-kernels", "gpu-check", "roster")
OWN = "deadray/report/1"

NAMES = {
    NUMBER: "a finite number",
    COUNT: "a whole number from 0",
    TEXT: "a string",
    FLAG: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


def check(value: object, spec: object, key: str = "") -> str | None:
    """The first thing that is wrong with `value`, or None.

    It is named by its key: "sites[2].exact.floor: missing".
    """
    if isinstance(spec, Nullable):
        return None if value is None else check(value, spec.inner, key)
    if isinstance(spec, Positive):
        if problem := check(value, spec.inner, key):
            return problem
        return (
            None
            if value > 0
            else (
                f"{key}: {value}, expected "
                f"{'at least 1' if spec.inner is COUNT else 'a number above 0'}"
            )
        )
    if isinstance(spec, OneOf):
        if isinstance(value, str) and value in spec.values:
            return None
        return f"{key}: {_found(value)}, expected {' or '.join(spec.values)}"
    if isinstance(spec, dict):
        if not isinstance(value, dict):
            return f"{key or 'the record'}: {_found(value)}, expected an object"
        for name, inner in spec.items():
            path = f"{key}.{name}" if key else name
            if name not in value:
                if isinstance(inner, Nullable) and inner.may_lack:
                    continue
                return f"{path}: missing"
            if problem := check(value[name], inner, path):
                return problem
        return None
    if isinstance(spec, list):
        if not isinstance(value, list):
            return f"{key}: {_found(value)}, expected a list"
        return next(
            (
                problem
                for i, item in enumerate(value)
                if (problem := check(item, spec[0], f"{key}[{i}]"))
            ),
            None,
        )
    return None if _is(value, spec) else f"{key}: {_found(value)}, expected {NAMES[spec]}"


def _is(value: object, spec: type) -> bool:
    if spec is FLAG or isinstance(value, bool):  # which Python counts among the numbers
        return spec is FLAG and isinstance(value, bool)
    if spec is TEXT:
        return isinstance(value, str)
    if spec is COUNT:
        return isinstance(value, int) and 0 <= value < 2**63
    return isinstance(value, (int, float)) and abs(value) < 1e308  # 1e999 is JSON, and infinite


def _found(value: object) -> str:
    if isinstance(value, (str, int, float)):
        text = repr(value)
        return text if len(text) <= 40 else text[:40] + "…"
    return NAMES[type(value)]
