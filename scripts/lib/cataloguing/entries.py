"""From what walking a type has found to its line of the catalogue."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

Norm = dict[str, Any]
SAME = ("kind", "offset", "weight", "bias", "rows", "why")  # what two norms of one name agree in
# Not the last norm of a stream, although outside the blocks.
NOT_FINAL = re.compile(
    r"embed|head|predict|pre_|vision|visual|audio|image|project|proj|merger|pool"
)


def relative(name: str, prefix: str, is_base: bool) -> str:
    """Behind the base model's prefix; with a '/' what does not belong to the base."""
    if name.startswith(prefix):
        return name[len(prefix) :]
    return name if is_base else f"/{name}"


def merged(classes: list[dict]) -> dict[str, Norm]:
    """The norms of all classes of a type, by relative stem."""
    norms: dict[str, Norm] = {}
    for cls in classes:
        prefix = cls["prefix"]
        for record in cls["norms"]:
            ending = f".{record['weight']}"
            name = relative(record["tensor"].removesuffix(ending), prefix, prefix == "")
            norm = norms.setdefault(
                name,
                {key: record[key] for key in (*SAME, "eps", "members")}
                | {"names": set(), "reads": [], "tied": [], "final": False, "sole": False},
            )
            if any(norm[key] != record[key] for key in SAME):
                continue
            norm["names"] |= {stem.removesuffix(ending) for stem in record["names"]}
            if cls["ran"]:
                for key in ("reads", "tied"):
                    norm[key] = [relative(reader, prefix, prefix == "") for reader in record[key]]
                norm["final"], norm["sole"] = record["final"], record["sole"]
    return norms


def prefixes_of(norms: dict[str, Norm]) -> list[str]:
    """What stands before most of the names, the longest first."""
    counts: Counter[str] = Counter()
    for name, norm in norms.items():
        counts.update(stem[: -len(name)] for stem in norm["names"] if stem.endswith(name))
    found = [prefix for prefix, count in counts.items() if 2 * count >= len(norms)]
    return sorted(found, key=lambda prefix: (-len(prefix), prefix)) or [""]


def agree(norm: Norm, other: Norm) -> bool:
    return all(norm[key] == other[key] for key in SAME)


def variants(name: str, prefixes: list[str]) -> list[str]:
    """The name itself, without a prefix of its type, and as one outside the base model."""
    bare = [name.removeprefix(prefix) for prefix in prefixes if prefix and name.startswith(prefix)]
    return [name, *bare, f"/{name}"]


def names_said(twin: Norm, before: list[str], outer: list[str], bare: list[str]) -> set[str]:
    """What a part's entry calls a norm, under the prefixes that the part has here."""
    own = twin["names"] | {prefix + name.lstrip("/") for prefix in before for name in bare}
    return {prefix + name for prefix in outer for name in own}


def split_parts(norms: dict[str, Norm], classes: list[dict], types: dict[str, dict]) -> list[dict]:
    """Takes out of `norms` what the entries of other types say as well."""
    parts = []
    found = {
        (relative(path, cls["prefix"], cls["prefix"] == ""), part["model_type"], part["config"])
        for cls in classes
        for path, part in cls["parts"].items()
    }
    for path, model_type, config in sorted(found):
        inside = {
            name[len(path) + 1 :]: norm
            for name, norm in norms.items()
            if name.startswith(f"{path}.")
        }
        theirs = types.get(model_type, {})
        before = prefixes_of({n: norm for n, norm in theirs.items() if n[0] != "/"})
        twins = {
            name: twin
            for name in inside
            if (twin := next((theirs[n] for n in variants(name, before) if n in theirs), None))
        }
        # What this use of the type adds to it, cross-attention say, stays here.
        inside = {name: norm for name, norm in inside.items() if name in twins}
        if not inside or not all(agree(norm, twins[name]) for name, norm in inside.items()):
            continue
        part = {"config": config, "model_type": model_type, "prefixes": prefixes_of(inside)}
        if any(norm["final"] for norm in inside.values()):
            part["final"] = True
        parts.append(part)
        for name, norm in inside.items():
            said = names_said(twins[name], before, part["prefixes"], variants(name, before))
            norms[f"{path}.{name}"] = norm | {"names": norm["names"] - said}
            if not norms[f"{path}.{name}"]["names"]:
                del norms[f"{path}.{name}"]
    return parts


def mark_final(norms: dict[str, Norm], parts: list[dict]) -> None:
    """By its name, where no run of the model has shown it."""
    if any(norm["final"] for norm in norms.values()) or any("final" in part for part in parts):
        return
    text = [part for part in parts if part["config"] in ("text_config", "decoder")]
    outside = [
        norm
        for name, norm in norms.items()
        if "{}" not in name and not name.startswith("/") and not NOT_FINAL.search(name)
    ]
    of_decoder = [norm for norm in outside if any("decoder." in stem for stem in norm["names"])]
    outside = of_decoder if len(outside) > 1 else outside
    if len(text) == 1:
        text[0]["final"] = True
    elif len(outside) == 1 and not outside[0]["why"]:
        outside[0]["final"] = True


def in_every_block(name: str, norms: dict[str, Norm]) -> bool:
    if name.count("{}") != 1:
        return False
    container = name.split("{}")[0]
    most = max(
        norm["members"]
        for other, norm in norms.items()
        if other.count("{}") == 1 and other.startswith(container)
    )
    return norms[name]["members"] == most


def line_of_norm(name: str, norm: Norm, norms: dict[str, Norm], prefixes: list[str]) -> dict:
    """What differs from the defaults alone, so that the file stays small."""
    bare = name.removeprefix("/")
    known = {bare} if name.startswith("/") else {prefix + name for prefix in prefixes}
    line = {"name": name, "kind": norm["kind"]}
    optional = {
        "also": sorted(norm["names"] - known),
        "scale": norm["weight"] if norm["weight"] != "weight" else None,
        "shift": norm["bias"],
        "why": norm["why"],
        "offset": norm["offset"],
        "eps": norm["eps"],
        "rows": norm["rows"],
        "final": norm["final"],
        "some": "{}" in name and not in_every_block(name, norms),
        "reads": norm["reads"],
        "tied": norm["tied"],
        "sole": norm["sole"] and bool(norm["reads"]),
    }
    return line | {key: value for key, value in optional.items() if value}


def entry(model_type: str, walked: dict, types: dict[str, dict[str, Norm]]) -> dict:
    """@param types  the merged norms of every type"""
    if "failed" in walked:
        return {"model_type": model_type, "failed": walked["failed"]}
    classes = walked["classes"]
    norms = dict(merged(classes))
    parts = split_parts(norms, classes, types)
    mark_final(norms, parts)
    base = {name: norm for name, norm in norms.items() if not name.startswith("/")}
    prefixes = prefixes_of(base)
    line: dict[str, Any] = {"model_type": model_type}
    if prefixes != [""]:
        line["prefixes"] = prefixes
    if norms:
        line["norms"] = [line_of_norm(name, norm, norms, prefixes) for name, norm in norms.items()]
    if parts:
        line["parts"] = parts
    unscaled = {
        relative(name, cls["prefix"], True): kind
        for cls in classes
        for name, kind in cls["unscaled"].items()
    }
    if unscaled:
        line["unscaled"] = unscaled
    return line


def entries(walked: dict[str, dict]) -> list[dict]:
    types = {
        model_type: merged(found["classes"])
        for model_type, found in walked.items()
        if "failed" not in found
    }
    return [entry(model_type, walked[model_type], types) for model_type in sorted(walked)]
