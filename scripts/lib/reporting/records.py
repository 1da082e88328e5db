"""Reads the records of a folder.

A record that cannot be used becomes a problem that names file and key. The others are still read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from reporting.schemas import OTHER_KINDS, OWN, SCHEMAS, check
from tool import printable

WEIGHTS = {"random": "random", "checkpoint": "trained", "activations": "activations"}
MOST_BYTES = 100_000_000  # of one record
MOST_EXPONENT = 16  # of a fit: the largest dimension to this power is still a double


@dataclass(frozen=True)
class Record:
    file: str
    data: dict

    @property
    def model(self) -> str:
        return self.data["model"]["name"]

    @property
    def weights(self) -> str:
        return WEIGHTS[self.data["model"]["init"]]


@dataclass
class Records:
    """What a folder holds, in order of the files' names.

    Problems and notes are lines for people.
    """

    by_kind: dict[str, list[Record]] = field(
        default_factory=lambda: {kind_of(schema): [] for schema in SCHEMAS}
    )
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[Record]:
        return self.by_kind[kind]

    @property
    def count(self) -> int:
        return sum(map(len, self.by_kind.values()))

    @cached_property
    def verify(self) -> list[Record]:
        """Models in order of their names, random weights before trained ones."""
        order = list(WEIGHTS.values())
        return sorted(
            self.of("verify"), key=lambda r: (r.model.lower(), order.index(r.weights), r.file)
        )

    @cached_property
    def _same(self) -> Counter:
        return Counter((r.model, r.weights) for r in self.of("verify"))

    def name(self, record: Record) -> str:
        """The model's name, with the file where several records share model and initialisation."""
        return (
            f"{record.model} [{record.file.removesuffix('.json')}]"
            if self._same[record.model, record.weights] > 1
            else record.model
        )


def kind_of(schema: str) -> str:
    return schema.split("/")[1]


def read_folder(folder: Path) -> Records:
    records = Records()
    for file in sorted(folder.glob("*.json")):
        if file.is_file():
            _read_file(file, records)
    return records


def _read_file(file: Path, records: Records) -> None:
    name = printable(file.name)
    if problem := _why_unread(file):
        records.problems.append(f"{name}: {problem}; remove it")
        return
    try:
        text = file.read_bytes().decode()
        data = json.loads(text, parse_constant=_refuse_constant)
    except (OSError, UnicodeDecodeError) as error:
        records.problems.append(
            f"{name}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}; make it again, or "
            "remove it"
        )
        return
    except (ValueError, RecursionError) as error:
        records.problems.append(
            f"{name}: {_where_it_breaks(text, error)}; make it again, or remove it"
        )
        return
    schema = data.get("schema") if isinstance(data, dict) else None
    if not isinstance(schema, str) or not schema.startswith("deadray/"):
        records.notes.append(f"{name}: no record of deadray's, skipped")
    elif schema in SCHEMAS:
        if problem := check(data, SCHEMAS[schema]) or _contradiction(schema, data):
            records.problems.append(
                f"{name}: {problem} ({schema}); make it again with this version of deadray, or "
                "remove it"
            )
        else:
            records.by_kind[kind_of(schema)].append(Record(name, _printable(data)))
            if data.get("complete") is False:
                records.notes.append(
                    f"{name}: its run was stopped: only what was measured until then is shown"
                )
    elif schema in (f"deadray/{kind}/1" for kind in OTHER_KINDS):
        records.notes.append(f"{name}: {schema} is not shown in a report, skipped")
    elif schema != OWN:
        records.problems.append(
            f"{name}: schema: {printable(schema)!r}, expected {', '.join(SCHEMAS)}; make it again "
            "with this version of deadray, or remove it"
        )


def _why_unread(file: Path) -> str | None:
    """A folder from elsewhere must not make us read elsewhere, nor more than memory holds."""
    if not file.resolve().is_relative_to(file.parent.resolve()):
        return "is a link out of the folder"
    if (size := file.stat().st_size) > MOST_BYTES:
        return f"has {size} bytes, expected at most {MOST_BYTES}"
    return None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _contradiction(schema: str, data: dict) -> str | None:
    """Checks what types do not tell.

    Lists that belong together have one length, some must not be empty, a fit must have values.
    """
    if schema == "deadray/timing/1":
        for i, fit in enumerate(data.get("fits") or []):
            if abs(fit["exponent"] or 0) > MOST_EXPONENT:
                return (
                    f"fits[{i}].exponent: {fit['exponent']}, expected from -{MOST_EXPONENT} to "
                    f"{MOST_EXPONENT}"
                )
    if schema == "deadray/predict-several/1":
        return _contradiction_of_several(data)
    if schema != "deadray/verify/1":
        return None
    if not data["sites"]:
        return "sites: empty, expected at least one norm"
    for i, site in enumerate(data["sites"]):
        spectrum = site.get("spectrum") or {}
        for key in ("exact", "deployed"):
            if spectrum.get(key) is not None and len(spectrum[key]) != len(spectrum["index"]):
                return (
                    f"sites[{i}].spectrum.{key}: {len(spectrum[key])} values, expected "
                    f"{len(spectrum['index'])} as spectrum.index has"
                )
    residual = data["residual"]
    for key in ("centred", "ratio", "steps") if residual else ():
        # There may be no ratios, for example where every node is a LayerNorm's output: there is
        # nothing to divide by. Records of earlier versions have no steps.
        values = residual.get(key) or []
        if len(values) != len(residual["uncentred"]) and (key == "centred" or values):
            return (
                f"residual.{key}: {len(values)} values, expected {len(residual['uncentred'])} as "
                "residual.uncentred has"
            )
    return None


def _contradiction_of_several(data: dict) -> str | None:
    models = len(data["models"])
    if models < 2:
        return f"models: {models}, expected at least 2"
    for key in ("labels", "steps"):
        if data[key] is not None and len(data[key]) != models:
            return f"{key}: {len(data[key])} values, expected {models} as there are models"
    steps = data["steps"] or []
    if any(one >= other for one, other in pairwise(steps)):
        return "steps: not ascending"
    if [pair["model"] for pair in data["pairs"]] != list(range(1, models)):
        return f"pairs: expected one for each of the models 1 to {models - 1}, in this order"
    names = {site["name"] for site in data["models"][0]["sites"]}
    for i, pair in enumerate(data["pairs"]):
        for j, norm in enumerate(pair["norms"]):
            key = f"pairs[{i}].norms[{j}]"
            if norm["name"] not in names:
                return f"{key}.name: {norm['name']!r} is not among models[0].sites"
            for of_both in ("dimension", "gamma_min", "coordinates"):
                if of_both in norm and len(norm[of_both]) != 2:
                    return f"{key}.{of_both}: {len(norm[of_both])} values, expected 2"
            if (norm["abs_cos"] is None) != (norm["one_minus_abs_cos"] is None):
                return f"{key}: one of abs_cos and one_minus_abs_cos is null"
    return None


def _printable(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_printable(item) for item in value]
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return value


TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)


def _where_it_breaks(text: str, error: Exception) -> str:
    """The key at which a text stops being JSON, as check() would write it."""
    if not text.strip():
        return "empty"
    if not isinstance(error, json.JSONDecodeError):
        return f"not JSON: {' '.join(str(error).split())[:100]}"
    path: list[
        str | int
    ] = []  # of the containers that are open: the key or the index that is being read
    for token in TOKEN.findall(text[: error.pos]):
        if token in "{[":
            path.append("" if token == "{" else 0)
        elif token in "}]":
            path[-1:] = []
        elif token == "," and path:
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else ""
        elif path and path[-1] == "" and token.startswith('"'):
            path[-1] = token[1:-1]
    keys = "".join(
        f"[{key}]" if isinstance(key, int) else f".{key}" for key in path if key != ""
    ).lstrip(".")
    what = (
        "cut off"
        if error.pos >= len(text.rstrip()) - 1 or "Unterminated" in error.msg
        else f"not JSON ({error.msg.lower()}, line {error.lineno})"
    )
    return f"{what} at {printable(keys) or 'its beginning'}"
