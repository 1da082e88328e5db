"""python -m deadray watch: one model, its passes, its report."""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback

import torch
from torch import nn

from ..errors import Error, MalformedError, ResourceError, UnsupportedError, UsageError
from ..modules.watch import Probe, watch
from ..report import Report
from .data_file import inputs_from_data
from .inputs import Inputs, arguments_of
from .launched import Group, launched, launched_rank
from .models import load_model
from .outcome import end_now, one_line, printable, say
from .record_file import check_record_file, write_record
from .tokens import inputs_from_text, random_inputs


def watch_command(options: argparse.Namespace) -> int:
    """Returns the exit code: of several ranks the first one's is the verdict's."""
    check_record_file(options)
    device = _device(options.device)
    with Group("nccl" if device.type == "cuda" else "gloo", _lost):
        report = _measured(options, device)
    if launched_rank() != 0:
        return 0
    if options.json:
        write_record(options.json, report)
    if not options.quiet and options.json != "-":
        print("\n".join(printable(line) for line in str(report).splitlines()))
    return report.exit_code


def _measured(options: argparse.Namespace, device: torch.device) -> Report:
    began = time.perf_counter()
    dtype = getattr(torch, options.dtype)
    torch.manual_seed(options.seed)  # of models that draw masks and noise
    model, notes = load_model(options.model, dtype, device, options.head)
    names = options.norms if options.norms == "all" else options.norms.split(",")
    probe = watch(model, names, options.method, seed=options.seed)
    inputs = _inputs(options, model, probe)
    inputs.complete(model, dtype, device)
    loaded = time.perf_counter()
    with probe:
        _run(options, model, inputs)
    passed = time.perf_counter()
    record = probe.report().to_dict()
    record["model"] |= {"name": options.model.resolve().name, "init": "checkpoint"}
    record["calibration"] |= {
        "kind": inputs.kind,
        "sequence_length": inputs.sequence_length,
        "seed": inputs.seed,
    }
    record["notes"] = notes + inputs.notes + record["notes"]
    seconds = record["seconds"]
    forward = passed - loaded - seconds["moments"]
    seconds |= {"load": loaded - began, "forward": forward, "total": time.perf_counter() - began}
    return Report(record)


def _inputs(options: argparse.Namespace, model: nn.Module, probe: Probe) -> Inputs:
    if options.data:
        return inputs_from_data(options.data, model)
    length = options.sequence_length
    if options.text:
        return inputs_from_text(options.text, options.model, model, length)
    width = max((norm.hidden_size or 0 for norm in probe.norms), default=0)
    n_tokens = options.random_tokens or max(width + -(-width // 4), 4096)
    return random_inputs(options.model, model, n_tokens, length, options.seed)


def _run(options: argparse.Namespace, model: nn.Module, inputs: Inputs) -> None:
    ranks = int(os.environ["WORLD_SIZE"]) if launched() else 1
    shown = sys.stderr.isatty() and not options.quiet and launched_rank() == 0
    done = 0
    for batch in inputs.batches(options.batch, launched_rank(), ranks):
        with torch.no_grad():
            _pass(options, model, batch)
        done += options.batch * ranks
        if shown:
            percent = min(100, 100 * done // inputs.sequences)
            print(f"\rforward pass {percent} %", end="", file=sys.stderr, flush=True)
    if shown:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _pass(options: argparse.Namespace, model: nn.Module, batch: dict[str, torch.Tensor]) -> None:
    try:
        model(**batch)
    except Error:
        raise
    except Exception as error:  # whatever a model raises
        if isinstance(error, MemoryError) or "memory" in str(error):
            raise ResourceError(f"{one_line(error)}; a smaller --batch needs less") from error
        if "deadray" in traceback.extract_tb(error.__traceback__)[-1].filename:
            raise
        what = f"{type(model).__name__} does not run on"
        if options.data:
            raise MalformedError(
                f"{options.data}: {what} {', '.join(batch)}: {one_line(error)}; it takes "
                f"{', '.join(arguments_of(model))}"
            ) from error
        raise UnsupportedError(
            f"{options.model}: {what} tokens alone: {one_line(error)}; give its inputs by --data"
        ) from error


def _device(name: str) -> torch.device:
    """cpu, cuda or cuda:N; of several ranks on a host each takes its own."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda") or name.startswith("cpu:"):
        raise UsageError(f"--device {name}: expected cpu, cuda or cuda:N")
    if device.type == "cpu":
        return device
    index = device.index
    if index is None:
        index = int(os.environ.get("LOCAL_RANK", "0")) if launched() else 0
    count = torch.cuda.device_count()
    if index >= count:
        raise ResourceError(f"--device {name}: {count} CUDA devices found; --device cpu needs none")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def _lost(line: str) -> None:
    say(line)
    end_now(ResourceError.exit_code)
