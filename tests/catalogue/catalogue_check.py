#!/usr/bin/env python3
"""deadray predict on a checkpoint of norms alone, for every model type of transformers that builds.

DEADRAY=build/release/bin/deadray python3 tests/catalogue/catalogue_check.py
    [TYPE ...] [--sample N] [--part K/N --lines FILE] [--table FILE --from FILE ...]

It shares no code with scripts/norm_catalogue and finds norms another way: each module that holds
vectors is run, and its output compared with the closed forms of LayerNorm and RMSNorm, with gamma
and with 1 + gamma. The norms found are written, with random scales, to a checkpoint beside the
config.json of the type's default configuration, under the names that save_pretrained() would give
them. `deadray predict` must list these, no other, with kind, offset, width and range of gamma.
Exit code 77 (skipped): no $DEADRAY, or no transformers.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
warnings.simplefilter("ignore")
try:
    import torch
    import transformers
    from safetensors.torch import save_file
    from transformers.initialization import no_init_weights
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

AUTO = [
    *("AutoModelForCausalLM", "AutoModelForImageTextToText", "AutoModelForSeq2SeqLM"),
    *("AutoModelForMaskedLM", "AutoModel", "AutoModelForPreTraining", "AutoModelForSpeechSeq2Seq"),
    *("AutoModelForImageClassification", "AutoModelForTextToWaveform", "AutoModelForCTC"),
    *("AutoModelForDepthEstimation", "AutoModelForObjectDetection", "AutoBackbone"),
    *("AutoModelForMultimodalLM", "AutoModelForKeypointDetection"),
]
# The modules compute in float32: their results are within some 100 roundings of the formula.
TOLERANCE = 1e-4
BIG = 1e4  # inputs of this size make every epsilon vanish


def own_classes(config) -> list[type]:
    """Models of the configuration's own module that name it as theirs."""
    module = sys.modules.get(type(config).__module__.replace("configuration_", "modeling_"))
    if module is None:
        try:
            name = type(config).__module__.replace("configuration_", "modeling_")
            module = __import__(name, fromlist=["x"])
        except ImportError:
            return []
    return [
        cls
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, transformers.PreTrainedModel)
        and getattr(cls, "config_class", None) is type(config)
        and "PreTrainedModel" not in name
    ]


def build(model_type: str):
    """The model on meta, or why there is none."""
    reason = "no class takes its configuration"
    try:
        config = CONFIG_MAPPING[model_type]()
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
    ways = []
    others = sorted(name for name in dir(transformers) if name.startswith("AutoModel"))
    for name in dict.fromkeys([*AUTO, *others]):
        auto = getattr(transformers, name, None)
        mapping = getattr(auto, "_model_mapping", None)
        if mapping is not None and type(config) in mapping:
            ways.append(auto.from_config)
    ways = ways or own_classes(config)  # parts alone, where no whole model has this type
    for way in ways:
        try:
            with torch.device("meta"), no_init_weights():
                return way(CONFIG_MAPPING[model_type]()).eval(), ""
        except Exception as error:
            first = f"{type(error).__name__}: {error}"
            reason = first if reason.startswith("no class") else reason
    return None, reason


def vectors(module) -> dict[str, torch.Tensor]:
    """Its parameters, where all are vectors or tables of a few heads; else nothing."""
    own = dict(module.named_parameters(recurse=False))
    if not own:
        return {}
    maps = (torch.nn.Linear, torch.nn.Embedding, torch.nn.modules.conv._ConvNd)
    if isinstance(module, maps) or len(list(module.parameters())) != len(own):
        return {}
    long_axes = [[n for n in p.shape if n != 1] for p in own.values()]
    few_heads = all(len(a) == 1 or (len(a) == 2 and a[0] <= 256) for a in long_axes)
    return own if few_heads else {}


def trials(module, shape):
    """Inputs, and over which axis a norm of this scale would work."""
    sizes = [n for n in shape if n != 1]
    if len(sizes) == 2:
        yield (3, 13, *sizes), -1, sizes
        yield (3, sizes[0], 13, sizes[1]), -1, [sizes[0], 1, sizes[1]]
        return
    d = sizes[0]
    yield (3, 13, d), -1, [d]
    yield (3, d, 13), 1, [d, 1]
    yield (3, d, 5, 13), 1, [d, 1, 1]
    yield (13, d), -1, [d]
    groups = {v for v in vars(module).values() if isinstance(v, int) and 1 < v < d and d % v == 0}
    for g in sorted(groups):
        yield (3, 13, d), g, [d]


def normalised(x, axis, group, centred):
    if group:
        x = x.unflatten(-1, (x.shape[-1] // group, group))
    x = x - x.mean(axis, keepdim=True) if centred else x
    x = x / x.square().mean(axis, keepdim=True).sqrt()
    return x.flatten(-2) if group else x


def closed_form(module):
    """(kind, offset, scale, shift) of the formula that the module computes, or None."""
    own = vectors(module)
    run = copy.deepcopy(module).to_empty(device="cpu").double().eval()
    values = {}
    for i, (name, parameter) in enumerate(run.named_parameters(recurse=False)):
        generator = torch.Generator().manual_seed(i + 1)
        parameter.data = 0.5 + torch.rand(parameter.shape, generator=generator).double()
        values[name] = parameter.data
    for _, buffer in run.named_buffers():
        buffer.zero_()
    ran = False
    for scale in own:
        for shape, axis, view in trials(module, own[scale].shape):
            if ran and len(shape) == 2:
                continue  # without positions a group norm would look like a LayerNorm
            x = torch.randn(shape, generator=torch.Generator().manual_seed(99)).double() * BIG
            for gate in ([], [torch.ones_like(x)]):
                try:
                    with torch.no_grad():
                        out = run(x.clone(), *gate)
                except Exception:
                    continue
                if not isinstance(out, torch.Tensor) or out.shape != x.shape:
                    continue
                ran = True
                found = fit(out.double(), x, axis, view, values, scale, bool(gate))
                if found:
                    return found
    return None


def fit(out, x, axis, view, values, scale, gated):
    group = axis if axis > 1 else 0
    axis = -1 if group else axis
    size = values[scale].numel()
    others = [None, *(n for n in values if n != scale and values[n].numel() == size)]
    factors = (1.0, 0.7310585786300049) if gated else (1.0,)  # silu(1)
    for centred, offset, shift, factor in itertools.product((True, False), (0, 1), others, factors):
        if len(values) > 1 and shift is None:
            continue
        n = normalised(x, axis, group, centred)
        want = n * (values[scale].reshape(view) + offset)
        if shift is not None:
            want = want + values[shift].reshape(view)
        if (out - factor * want).abs().max() <= TOLERANCE * want.abs().max():
            if group and centred:
                return None  # one direction for each group: none of predict's kinds
            return ("layernorm" if centred else "rmsnorm", offset, scale, shift)
    return None


_known: dict = {}


def norm_modules(model) -> dict[str, tuple]:
    found = {}
    for name, module in model.named_modules():
        own = vectors(module) if name else {}
        if not own:
            continue
        plain = {k: v for k, v in vars(module).items() if isinstance(v, (int, float, str, tuple))}
        key = (type(module), str({k: p.shape for k, p in own.items()}), str(plain))
        if key not in _known:
            _known[key] = closed_form(module)
        if _known[key]:
            found[name] = _known[key]
    return found


def saved(model, tensors: dict[str, torch.Tensor]) -> dict[str, str]:
    """The names that save_pretrained() gives these tensors."""
    from transformers.core_model_loading import revert_weight_conversion

    try:
        renamed = revert_weight_conversion(model, dict(tensors))
        by_place = {tensor.data_ptr(): name for name, tensor in renamed.items()}
        return {name: by_place[tensor.data_ptr()] for name, tensor in tensors.items()}
    except Exception:  # a conversion that wants tensors which are not here
        return {name: name for name in tensors}


def expect(model) -> tuple[dict[str, torch.Tensor], dict[str, tuple]]:
    """Tensors of the checkpoint; of each site kind, offset, width, least and greatest gamma."""
    generator = torch.Generator().manual_seed(7)
    raw, sites, stored = {}, [], set(model.state_dict())
    for module, (kind, offset, scale, shift) in norm_modules(model).items():
        shape = model.get_submodule(module).get_parameter(scale).shape
        if f"{module}.{scale}" not in stored:
            continue
        gamma = 0.5 + torch.rand(shape, generator=generator)
        raw[f"{module}.{scale}"] = gamma - offset
        if shift:
            raw[f"{module}.{shift}"] = torch.randn(shape, generator=generator)
        sites.append((f"{module}.{scale}", kind, offset, gamma))
    names = saved(model, raw)
    want = {}
    for tensor, kind, offset, gamma in sites:
        stem = names[tensor].rsplit(".", 1)[0]
        long_axes = [n for n in gamma.shape if n != 1]
        rows = gamma.reshape(long_axes if len(long_axes) == 2 else [1, -1])
        for i, row in enumerate(rows):
            site = f"{stem}.{i}" if len(long_axes) == 2 else stem
            want[site] = (kind, offset, row.numel(), float(row.min()), float(row.max()))
    return {names[name]: tensor for name, tensor in raw.items()}, want


def near(a: tuple, b: tuple) -> bool:
    """Ranges agree within rounding of the stored float32."""
    return a[:3] == b[:3] and all(abs(x - y) < 1e-6 for x, y in zip(a[3:], b[3:], strict=True))


def differences(model, folder: Path) -> tuple[int, int, str]:
    """LayerNorms, RMSNorms, and what predict says that is not so."""
    tensors, want = expect(model)
    kinds = [what[0] for what in want.values()]
    counts = (kinds.count("layernorm"), kinds.count("rmsnorm"))
    if not want:
        return (*counts, "")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.architectures = [type(model).__name__]  # as its save_pretrained() writes
    model.config.save_pretrained(folder)
    done = subprocess.run(
        [os.environ["DEADRAY"], "predict", str(folder), "--json", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        return (*counts, done.stderr.strip().replace(str(folder), "MODEL"))
    got = {
        site["name"]: (
            site["norm"],
            site["gamma"]["offset"],
            site["hidden_size"],
            site["gamma"]["min"],
            site["gamma"]["max"],
        )
        for site in json.loads(done.stdout)["sites"]
        if site["gamma"]["stored"] != "none"
    }
    missing = sorted(want.keys() - got.keys())
    more = sorted(got.keys() - want.keys())
    wrong = sorted(n for n in want.keys() & got.keys() if not near(want[n], got[n]))
    said = [
        f"{len(names)} {word}: {', '.join(names[:2])}"
        + (f" ({got[names[0]]}, not {want[names[0]]})" if word == "differ" else "")
        for word, names in (("missing", missing), ("too many", more), ("differ", wrong))
        if names
    ]
    return (*counts, "; ".join(said))


def without_paths(reason: str) -> str:
    """On one line, and the same on every machine."""
    return re.sub(r" from '/[^']*'", "", " ".join(reason.split()))


def check(model_type: str) -> dict:
    model, reason = build(model_type)
    if model is None:
        return {"type": model_type, "built": False, "why": without_paths(reason)[:200]}
    with tempfile.TemporaryDirectory() as folder:
        layer, rms, wrong = differences(model, Path(folder))
    return {
        "type": model_type,
        "built": True,
        "class": type(model).__name__,
        "layernorm": layer,
        "rmsnorm": rms,
        "wrong": wrong,
    }


def table(rows: list[dict]) -> str:
    built = [row for row in rows if row["built"]]
    right = [row for row in built if not row["wrong"]]
    lines = [
        "# Model types: the norms that `deadray predict` finds",
        "",
        "`tests/catalogue/catalogue_check.py` runs every module of each type's default model and "
        "compares it",
        "with the formulas of LayerNorm and RMSNorm "
        f"(transformers {transformers.__version__}). It shares no code with the",
        "generator.",
        "",
        f"- {len(right)} of {len(built)} types that build agree: every norm found, no other; "
        "kind, offset, width",
        "  and range of γ equal.",
        f"- {sum(1 for row in built if row['layernorm'])} of them have LayerNorms.",
        f"- {len(rows) - len(built)} types do not build from their default configuration.",
        "",
        "| model_type | class | LayerNorms | RMSNorms | agrees |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['type']} | {r['class']} | {r['layernorm']} | {r['rmsnorm']} | "
        f"{r['wrong'].replace('|', '/')[:160] or 'yes'} |"
        for r in built
    ]
    lines += ["", "## Not built", "", "| model_type | why |", "|---|---|"]
    lines += [
        f"| {r['type']} | {r['why'].replace('|', '/')[:120]} |" for r in rows if not r["built"]
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("types", nargs="*")
    parser.add_argument("--sample", type=int, help="every N-th type")
    parser.add_argument("--part", default="1/1", help="K/N: the K-th of N parts of the types")
    parser.add_argument("--lines", type=Path, help="append each result, and skip what is there")
    parser.add_argument("--table", type=Path, help="write the table of the files after --from")
    parser.add_argument("--from", dest="sources", nargs="*", type=Path, default=[])
    options = parser.parse_args()
    if options.table:
        lines = [json.loads(line) for file in options.sources for line in file.open()]
        options.table.write_text(table(sorted(lines, key=lambda row: row["type"])))
        return 0
    if not os.environ.get("DEADRAY"):
        print("skipped: $DEADRAY does not name the program")
        return 77
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    part, parts = map(int, options.part.split("/"))
    types = options.types or sorted(CONFIG_MAPPING)[:: options.sample or 1][part - 1 :: parts]
    known = (
        options.lines.read_text().splitlines() if options.lines and options.lines.exists() else []
    )
    done = {json.loads(line)["type"] for line in known}
    failed = 0
    for model_type in types:
        if model_type in done:
            continue
        row = check(model_type)
        failed += bool(row.get("wrong"))
        if options.lines:
            with options.lines.open("a") as stream:
                stream.write(json.dumps(row) + "\n")
        if row.get("wrong") or not options.lines:
            print(json.dumps(row), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
