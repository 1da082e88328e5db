"""The linear maps that read each norm of a live model."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from deadray.errors import UnsupportedError, UsageError
from deadray.modules.fixed_functionals import Functionals
from deadray.modules.isolation import isolated
from deadray.modules.norms import NormOf, find_norms
from deadray.modules.parameters import modules_of
from deadray.modules.tracing import Trace
from deadray.modules.unwrap import unwrapped


@dataclass(frozen=True)
class Consumer:
    """One linear map. weight, bias: names as model.named_parameters() has them.

    transposed: its weight is [inputs, outputs]. bias is None without one that it has to itself.
    tied: its weight has another use. only: whether it reads this norm and nothing else.
    """

    name: str
    weight: str
    bias: str | None
    transposed: bool
    width: int
    tied: bool
    only: bool


@dataclass
class Readers:
    """What reads one norm. others: also something that is no linear map, or the model's user.

    beta: name of the parameter that shifts, None where beta is not the norm's own parameter.
    """

    norm: NormOf
    consumers: list[Consumer] = field(default_factory=list)
    others: bool = False
    beta: str | None = None


def find_readers(model: nn.Module, example=None) -> list[Readers]:
    """Runs `model` once, in evaluation mode, and follows each norm's output.

    example: arguments of the model: a tensor, a tuple, or a mapping of keywords; by default its
    dummy_inputs, which models of transformers have. Values do not matter, but what the example
    leaves out of the model is not seen.

    Norms that did not run are missing. A weight that is read by other means than linear(), addmm()
    or a product with it (within a fused kernel or an attention of torch.nn) is no consumer; nor is
    one of what was computed from the norm's output by more than moving its rows.

    Raises UsageError where the model does not run on its dummy_inputs; UnsupportedError where its
    parameters are not whole in memory.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    _check_whole(parameters)
    norms = {norm.name: norm for norm in find_norms(model)}
    ran: dict[str, NormOf] = {}
    functionals: dict[str, Functionals] = {}

    def rows_follow(name: str, x: torch.Tensor) -> bool:
        return functionals[name].hold_for(x)

    trace = Trace(parameters.values(), rows_follow)

    def noting(name: str):
        def hook(_module, _inputs, output):
            norm = norms[name].of_width(output.shape[norms[name].axis])
            if norm is not None and name not in ran:
                ran[name], functionals[name] = norm, Functionals.of(norm)
            trace.follow(output, name)

        return hook

    with _evaluating(model), contextlib.ExitStack() as stack:
        for name, norm in norms.items():
            stack.callback(norm.module.register_forward_hook(noting(name)).remove)
        _run(model, example, trace)
    owners = _owners(model)
    return [_readers_of(norm, trace, parameters, owners) for norm in ran.values()]


def _run(model: nn.Module, example, trace: Trace) -> None:
    inner = unwrapped(model)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    arguments, keywords = _arguments(inner, example, device)
    with isolated(device):
        try:
            with trace:
                outputs = inner(*arguments, **keywords)
        except Exception as error:
            if example is not None:
                raise
            raise UsageError(
                f"{type(inner).__name__}: does not run on its dummy_inputs ("
                f"{' '.join(str(error).split())[:200]}): give example=, the arguments of one call"
            ) from error
    trace.leaves(outputs)


def _arguments(model: nn.Module, example, device: torch.device) -> tuple[tuple, dict]:
    if example is None:
        example = getattr(model, "dummy_inputs", None)
    if example is None:
        raise UsageError(
            f"{type(model).__name__}: has no dummy_inputs: give example=, the arguments of one call"
        )

    def moved(value):
        return value.to(device) if isinstance(value, torch.Tensor) else value

    if isinstance(example, Mapping):
        return (), {key: moved(value) for key, value in example.items()}
    values = example if isinstance(example, (tuple, list)) else (example,)
    return tuple(map(moved, values)), {}


@contextlib.contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _check_whole(parameters: Mapping[str, torch.Tensor]) -> None:
    for name, parameter in parameters.items():
        spread = hasattr(parameter, "full_tensor") or parameter.is_meta or parameter.numel() == 0
        if spread or "_fsdp_wrapped_module" in name:
            raise UnsupportedError(
                f"{name}: it is not whole in this process's memory (sharded or offloaded), and "
                "dead_parameters reads every weight: give it the model before it is spread"
            )


def _readers_of(
    norm: NormOf, trace: Trace, parameters: Mapping[str, torch.Tensor], owners: Mapping[int, str]
) -> Readers:
    names = {id(p): name for name, p in reversed(parameters.items())}
    places = Counter(p.data_ptr() for p in parameters.values())
    bias_reads = Counter(b for reads in trace.reads.values() for b in {r.bias for r in reads})

    def tied(identity: int) -> bool:
        several = places[parameters[names[identity]].data_ptr()] > 1
        return several or identity in trace.used_otherwise

    found = Readers(norm, others=norm.name in trace.others)
    for weight, reads in trace.reads.items():
        if norm.name not in {read.origin for read in reads}:
            continue
        first = reads[0]
        own_bias = first.bias is not None and not tied(first.bias) and bias_reads[first.bias] == 1
        found.consumers.append(
            Consumer(
                name=owners[weight],
                weight=names[weight],
                bias=names[first.bias] if own_bias else None,
                transposed=first.transposed,
                width=parameters[names[weight]].shape[1 if first.transposed else 0],
                tied=tied(weight),
                only=all(read == first for read in reads),
            )
        )
    if norm.shift is not None and norm.shift.key is not None:
        shift = dict(norm.module.named_parameters()).get(norm.shift.key)
        if shift is not None and places[shift.data_ptr()] == 1:
            found.beta = names.get(id(shift))
    return found


def _owners(model: nn.Module) -> dict[int, str]:
    """Module of each parameter; of one that an embedding has too, not the embedding."""
    owners: dict[int, str] = {}
    for name, module in modules_of(model):
        for parameter in module._parameters.values():
            if id(parameter) not in owners or not isinstance(module, nn.Embedding):
                owners[id(parameter)] = name
    return owners
