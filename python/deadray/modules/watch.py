"""Measures the norms of a PyTorch model while its user runs it."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from deadray.errors import UnsupportedError, UsageError
from deadray.modules.choice import Chosen, choose
from deadray.modules.described import described, dtype_name
from deadray.modules.masks import Given, Mask
from deadray.modules.native import _measure
from deadray.modules.norms import NormOf, find_norms
from deadray.modules.ranks import ranks_of, together
from deadray.modules.rows import rows_of
from deadray.modules.unwrap import unwrapped
from deadray.modules.watched import Watched
from deadray.modules.what_ran import Ran, what_ran
from deadray.prediction import tau_of
from deadray.report import Report

READINGS = ("both", "exact", "deployed")


def watch(
    model: nn.Module,
    norms: Chosen = "all",
    method: str = "eigh",
    mask: Given = None,
    group: Any = None,
    *,
    readings: str = "both",
    tau: float | None = None,
    seed: int = 0,
) -> Probe:
    """Measures norms of `model` during whatever forward passes run inside the `with` block.

    norms: "all"; a name or names, as deadray.predict(model) has them, or patterns with * in them;
        or a function of name and module.
    method: "eigh", "certificate" or "directional", as in `deadray verify --method`.
    mask: which rows count. None: those that the `attention_mask` [batch, length] of a call names.
        False: all. A tensor [batch, length]; or a function of the call's arguments and keywords
        that gives one, or None.
    group: a torch.distributed group whose ranks see data of their own; None: all ranks. Tensor
        parallel ranks see the same rows: give each a group of its own.
    readings: "both"; "exact", of the norm recomputed in FP64 from its input; or "deployed", of its
        output as the model made it. "deployed" alone keeps one matrix a norm, and takes a third of
        the products; it has no Schur ratio, and knows of no directions that the input brings along.
    tau: |gamma| below tau times its largest counts as zero; None: sqrt(2^-53).
    seed: of the random directions of "directional".

    Kept are FP64 moments alone, on the device where the norm runs: at most three matrices [d, d] a
    norm, none with "directional".

    Raises UsageError for a name that no norm has; UnsupportedError, by name, for what hides its
    modules' calls (scripted modules, nn.DataParallel), and during a pass for rows that cannot be
    seen (inside torch.func, meta or split tensors) and for a norm that is trained meanwhile.
    """
    return Probe(model, norms, method, mask, group, readings=readings, tau=tau, seed=seed)


class Probe:
    """The context manager of `watch`: run the model inside it, then call `report`."""

    def __init__(self, model, norms, method, mask, group, *, readings, tau, seed):
        self._began = time.perf_counter()
        self._model = unwrapped(model)
        if readings not in READINGS:
            raise UsageError(f"readings '{readings}': expected {', '.join(READINGS)}")
        if not 0 <= seed < 2**64:
            raise UsageError(f"seed {seed}: expected an integer from 0 to 2^64 - 1")
        chosen = choose(find_norms(self._model), norms)
        self._watched = [Watched(norm, readings) for norm in chosen]
        self._mask = Mask(mask)
        self._ranks = ranks_of(group)
        self._settings = {"method": method, "seed": seed, "tau": tau_of(tau)}
        self._readings = readings
        _measure.Probes(device="cpu", **self._settings)  # tells wrong words before any pass
        self._probes: dict[str, _measure.Probes] = {}
        self._in_order: list[Watched] = []  # of their first calls
        self._open: ExitStack | None = None
        self._outcome: Report | Exception | None = None
        self._one_at_a_time = threading.Lock()  # models may run in several threads

    def __enter__(self) -> Probe:
        if self._outcome is not None:
            raise UsageError("this probe has reported: make another with deadray.watch")
        if self._open is not None:
            raise UsageError("this probe is open already")
        with ExitStack() as opened:
            self._hook_into(opened)
            self._open = opened.pop_all()
        return self

    def _hook_into(self, opened: ExitStack) -> None:
        # A compiled graph calls no hooks: it runs as it was written while we watch. Where nothing
        # was compiled, the compiler would take a second and 100 MB to load.
        if "torch._dynamo" in sys.modules:
            opened.enter_context(torch.compiler.set_stance("force_eager"))
        opened.enter_context(self._mask.of_calls(self._model))
        for watched in self._watched:
            hook = self._hook(watched)
            handle = watched.norm.module.register_forward_hook(hook, with_kwargs=True)
            opened.callback(handle.remove)

    def __exit__(self, *_: object) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    @property
    def norms(self) -> list[NormOf]:
        """The norms under watch."""
        return [watched.norm for watched in self._watched]

    def report(self) -> Report:
        """Decomposes and judges. Of several ranks each gives the report of all: collective."""
        if self._outcome is None:
            self.__exit__()
            try:
                self._outcome = self._measured()
            except Exception as error:
                self._outcome = error
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def _hook(self, watched: Watched):
        def see(_module, arguments, keywords, output):
            given = arguments[0] if arguments else next(iter(keywords.values()), None)
            if _in_backward():
                return  # a checkpointed block that runs again
            more = [t for t in (*arguments[1:], *keywords.values()) if isinstance(t, torch.Tensor)]
            more = [tensor for tensor in more if tensor is not given]
            alike = getattr(output, "shape", None) == getattr(given, "shape", ())
            if more or not alike:
                watched.odd = True  # a gate, a residual: what it then makes is no norm of its input
                return
            with self._one_at_a_time:
                self._add(watched, given.detach(), output.detach())

        return see

    def _add(self, watched: Watched, given: torch.Tensor, output: torch.Tensor) -> None:
        x, leading = rows_of(given, watched.norm.axis)
        y, _ = rows_of(output, watched.norm.axis)
        if not watched.begun:
            self._begin(watched, str(x.device), y.dtype, y.shape[1])
            self._in_order.append(watched)
        watched.seen += x.shape[0]
        norm = watched.norm
        kept = self._mask.rows(leading, x.device, norm.name, norm.module)
        watched.add(*((x, y) if kept is None else (x[kept], y[kept])))

    def _begin(self, watched: Watched, device: str, dtype: torch.dtype, width: int) -> None:
        if device not in self._probes:
            if self._ranks and self._probes:
                raise UnsupportedError(
                    f"the model runs on {', '.join(self._probes)} and {device} in one of several "
                    "ranks: with ranks a model has one device"
                )
            self._probes[device] = _measure.Probes(
                device=device, ranks=self._ranks, **self._settings
            )
        watched.begin(self._probes[device], device, dtype, width)

    def _measured(self) -> Report:
        if self._ranks:
            self._begin_what_others_ran()
        if not self._in_order:
            raise UsageError("no norm has run: run the model inside `with deadray.watch(…)`")
        self._require_same_values()
        for watched in self._in_order:
            watched.finish(self._ranks)
        for probes in self._probes.values():
            together(self._ranks, probes.decompose)
        parts = [json.loads(probes.take()) for probes in self._probes.values()]
        sites = {site["name"]: site for part in parts for site in part["sites"]}
        seconds = {key: sum(part["seconds"][key] for part in parts) for key in parts[0]["seconds"]}
        environment = json.loads(next(iter(self._probes.values())).environment())
        return Report(
            {
                "schema": "deadray/verify/1",
                "model": described(self._model, self._in_order[0].dtype),
                "calibration": self._calibration(),
                "sites": [sites[watched.norm.name] for watched in self._in_order],
                "residual": None,
                "notes": self._notes(),
                "seconds": seconds | {"total": time.perf_counter() - self._began},
                "forward": None,
                "complete": True,
                "environment": environment,
            }
        )

    def _require_same_values(self) -> None:
        changes = [watched.change() for watched in self._in_order]

        def refuse() -> None:
            for change in filter(None, changes):
                raise change

        together(self._ranks, refuse)

    def _begin_what_others_ran(self) -> None:
        """Every rank has every norm, in one order: without rows where it saw none."""
        settings = [self._settings, self._readings, sorted(w.norm.name for w in self._watched)]
        mine = [
            Ran(w.norm.name, dtype_name(w.dtype), w.norm.hidden_size, w.seen, w.counted)
            for w in self._in_order
        ]
        ran, unfit = what_ran(self._ranks, settings, mine, list(self._mask.unfit))
        self._mask.unfit |= dict.fromkeys(unfit)
        by_name = {watched.norm.name: watched for watched in self._watched}
        self._in_order = [by_name[norm.name] for norm in ran]
        together(self._ranks, lambda: self._begin_without_rows(ran))
        for watched, norm in zip(self._in_order, ran, strict=True):
            watched.seen, watched.counted = norm.seen, norm.counted

    def _begin_without_rows(self, ran: list[Ran]) -> None:
        device = next(iter(self._probes), "cpu")
        for watched, norm in zip(self._in_order, ran, strict=True):
            if not watched.begun:
                self._begin(watched, device, getattr(torch, norm.dtype), norm.width)
                watched.add_nothing()

    def _calibration(self) -> dict[str, Any]:
        """As most norms saw it: one over heads sees several rows a token, a pooled one fewer."""
        counts = Counter((watched.seen, watched.counted) for watched in self._in_order)
        seen, counted = max(counts, key=lambda pair: (counts[pair], -pair[0]))
        return {
            "kind": "forward passes",
            "tokens": seen,
            "sequence_length": None,
            "seed": None,
            "pixels": None,
            "rows": counted,
            "masked": seen - counted,
            "skipped": 0,
        }

    def _notes(self) -> list[str]:
        idle = [watched.norm.name for watched in self._watched if not watched.begun]
        notes = [f"never ran: {', '.join(idle)}"] if idle else []
        odd = [watched.norm.name for watched in self._watched if watched.odd]
        if odd:
            notes.append(
                f"calls with more than the norm's input are not measured: {', '.join(odd)}"
            )
        if self._mask.unfit:
            notes.append(f"all rows counted, no mask fits: {', '.join(self._mask.unfit)}")
        return notes + [f"{w.norm.name}: {w.norm.note}" for w in self._in_order if w.norm.note]


def _in_backward() -> bool:
    return torch._C._current_graph_task_id() != -1
