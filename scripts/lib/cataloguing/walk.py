"""One model type: its classes built, their norms run, and what they are called in checkpoints."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from cataloguing import models
from cataloguing.behaviour import (
    Behaviour,
    behaviour_of,
    has_running_statistics,
    is_candidate,
    unscaled_kind,
)
from cataloguing.patterns import Names, places
from cataloguing.readers import Reading, read

# Heads that bring no norm of their own.
BARE_HEADS = (
    *("ForQuestionAnswering", "ForTokenClassification", "ForMultipleChoice"),
    *("ForSequenceClassification", "ForNextSentencePrediction", "ForQuestionAnsweringSimple"),
)
EPSILONS = (
    "eps",
    "variance_epsilon",
    "epsilon",
    "layer_norm_eps",
    "norm_eps",
    "layer_norm_epsilon",
)

_behaviours: dict[tuple, Behaviour | str | None] = {}


def behaviour(module: nn.Module) -> Behaviour | None:
    """The same module twice is run once."""
    if not (is_candidate(module) or has_running_statistics(module)):
        return None
    settings = {k: v for k, v in vars(module).items() if isinstance(v, (int, float, str, tuple))}
    shapes = [(k, tuple(p.shape)) for k, p in module.named_parameters(recurse=False)]
    key = (type(module), str(shapes), str(sorted(settings.items(), key=str)))
    if key not in _behaviours:
        try:
            _behaviours[key] = behaviour_of(module)
        except Exception:  # it cannot be run alone, and is listed by nobody
            _behaviours[key] = None
    return _behaviours[key]


def unscaled(module: nn.Module) -> str | None:
    key = (type(module), "unscaled", str(getattr(module, "normalized_shape", "")))
    if key not in _behaviours:
        try:
            _behaviours[key] = unscaled_kind(module)
        except Exception:
            _behaviours[key] = None
    return _behaviours[key]


def epsilon(module: nn.Module, config) -> str | float | None:
    """The key of config.json that holds it, or its value."""
    values = [getattr(module, name, None) for name in EPSILONS]
    value = next((v for v in values if isinstance(v, float)), None)
    if value is None:
        return None
    keys = [
        key
        for key, stored in config.to_dict().items()
        if "eps" in key and isinstance(stored, float) and stored == value
    ]
    return min(keys, key=lambda key: ("norm" not in key, len(key), key)) if keys else value


def tensor_names(model: PreTrainedModel) -> list[str]:
    return list(model.state_dict().keys())


def norms_of(model: PreTrainedModel) -> dict[str, dict[str, Any]]:
    """Module of each norm: what it is, and its tensors."""
    found = {}
    for name, module in model.named_modules(remove_duplicate=False):
        what = behaviour(module) if name else None
        if what is None or what.weight is None:
            continue
        found[name] = {
            "kind": what.kind,
            "weight": what.weight,
            "bias": what.bias,
            "offset": what.offset,
            "rows": what.rows,
            "gated": what.gated,
            "why": what.why,
            "eps": epsilon(module, model.config),
        }
    return found


def relative_readers(norm: str, readers: list[str]) -> list[str] | None:
    """Readers by the norm's own numbers: "h.{}.mlp.c_fc" where both have the same, "h.{+1}.attn"
    where the map is of the next block. None: of many blocks, as what a decoder asks an encoder."""
    parts = norm.split(".")
    result = []
    for reader in readers:
        words = reader.split(".")
        for place in places(reader):
            shared = place < len(parts) and parts[place].isdigit()
            step = int(words[place]) - int(parts[place]) if shared else None
            if step in (0, 1):
                words[place] = "{}" if step == 0 else "{+1}"
        result.append(".".join(words))
    return result if len(result) <= 12 else None


def record_class(model: PreTrainedModel, norms: dict[str, dict], reading: Reading) -> list[dict]:
    """The norms of one class as patterns, with what its files call them."""
    names = tensor_names(model)
    alike = {
        f"{norm}.{what['weight']}": (tuple(sorted(what.items(), key=str)), norm)
        for norm, what in norms.items()
    }
    kinds = {tensor: what for tensor, (what, _) in alike.items()}
    own = Names(names)
    saved = models.saved_names(model, names)
    back = Names(list(saved.values()))
    saved_kinds = {saved[tensor]: what for tensor, what in kinds.items() if tensor in saved}
    records: dict[str, dict] = {}
    for tensor, (_, norm) in alike.items():
        if tensor not in saved:
            continue
        pattern = own.pattern(tensor, kinds)
        record = records.setdefault(pattern, {"tensor": pattern, **norms[norm], "names": set()})
        record["names"].update({pattern, back.pattern(saved[tensor], saved_kinds)})
        record.setdefault("members", 0)
        record["members"] += 1
        merge_reading(record, norm, reading)
    return list(records.values())


def merge_reading(record: dict, norm: str, reading: Reading) -> None:
    record.setdefault("reads", [])
    record.setdefault("tied", [])
    record.setdefault("final", False)
    record.setdefault("sole", True)
    if norm not in reading.norms:
        return
    stems = reading.readers.get(norm, [])
    readers = relative_readers(norm, stems)
    for reader, stem in zip(readers or [], stems, strict=False):
        known = record["tied" if stem in reading.tied else "reads"]
        if reader not in known:
            known.append(reader)
    alone = norm not in reading.others and norm != reading.final and bool(readers)
    record["sole"] = record["sole"] and alone
    record["final"] = record["final"] or norm == reading.final


def unscaled_norms(model: PreTrainedModel, norms: dict[str, dict]) -> dict[str, str]:
    """Pattern of each norm that stores nothing, and its kind."""
    leaves = {
        name: module
        for name, module in model.named_modules()
        if name and not list(module.children()) and not module.state_dict()
    }
    kinds = {name: kind for name, module in leaves.items() if (kind := unscaled(module))}
    names = Names([*kinds, *(f"{norm}.weight" for norm in norms)])
    return {names.pattern(name, kinds): kind for name, kind in kinds.items()}


def inner_models(model: PreTrainedModel) -> dict[str, dict[str, str]]:
    """Where a part is a model of another type: its module, the type, its key of config.json."""
    found = {}
    config = model.config
    for name, module in model.named_modules():
        inner = getattr(module, "config", None)
        kind = getattr(inner, "model_type", "")
        if not name or not isinstance(module, PreTrainedModel) or kind in ("", config.model_type):
            continue
        key = next((key for key in config.sub_configs if getattr(config, key, None) is inner), None)
        if key is not None and not any(name.startswith(f"{other}.") for other in found):
            found[name] = {"model_type": kind, "config": key}
    return found


def walk(model_type: str) -> dict[str, Any]:
    """{"classes": [...], "norms": [...], "parts": {...}} or {"failed": reason}"""
    names = models.class_names(model_type)
    if not names:
        return {"failed": "transformers has no class of its own for it"}
    result: dict[str, Any] = {"classes": [], "failures": {}}
    chosen = [name for name in names if not name.endswith(BARE_HEADS)] or names
    for name in chosen:
        try:
            config = models.configuration(model_type)
            model = models.build(name, model_type, config)
        except Exception as error:
            result["failures"][name] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            continue
        norms = norms_of(model)
        first = not result["classes"]
        known = [norm for norm, what in norms.items() if what["kind"] != "other"]
        reading = read_quickly(name, model_type, known) if first and known else Reading()
        result["classes"].append(
            {
                "name": name,
                "prefix": base_prefix(model),
                "norms": record_class(model, norms, reading),
                "parts": inner_models(model),
                "unscaled": unscaled_norms(model, norms) if first else {},
                "ran": first and not reading.failed,
                "run_failed": reading.failed,
            }
        )
        del model
    if not result["classes"]:
        return {"failed": next(iter(result["failures"].values()))}
    return result


def read_quickly(name: str, model_type: str, norms: list[str]) -> Reading:
    """Of a model with few blocks, whose names are those of the first blocks of the whole one."""
    try:
        config = models.with_few_blocks(models.configuration(model_type))
        model = models.build(name, model_type, config, torch.bfloat16)  # grouped products want it
        modules = dict(model.named_modules())
        return read(model, [norm for norm in norms if norm in modules])
    except Exception as error:
        return Reading(failed=" ".join(f"{type(error).__name__}: {error}".split())[:160])


def base_prefix(model: PreTrainedModel) -> str:
    """What the base model's names begin with in this class; empty in the base itself."""
    prefix = model.base_model_prefix
    return f"{prefix}." if prefix and isinstance(getattr(model, prefix, None), nn.Module) else ""
