"""Which linear maps read a norm's output, and which norm's output the model returns.

Found by a run of the model on `meta`, where shapes are all that is computed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

# What hands on the same numbers, as another object.
SAME = {
    *("view", "reshape", "flatten", "unsqueeze", "squeeze", "contiguous", "to", "type", "type_as"),
    *("dropout", "float", "half", "clone", "__getitem__"),
}
# What looks at a tensor without its numbers.
LOOKS = {
    "__get__",
    "size",
    "dim",
    "numel",
    "is_floating_point",
    "element_size",
    "stride",
    "__len__",
}


@dataclass
class Reading:
    readers: dict[str, list[str]] = field(default_factory=dict)  # module of a norm: modules of maps
    tied: set[str] = field(default_factory=set)  # maps whose weight is an embedding's too
    others: set[str] = field(default_factory=set)  # norms whose output something else reads too
    norms: set[str] = field(default_factory=set)  # that the model which ran has
    final: str | None = None
    failed: str = ""


class Watch(TorchFunctionMode):
    """Follows the outputs of norms through a forward pass."""

    def __init__(self, weights: dict[int, str], reading: Reading):
        super().__init__()
        self.weights, self.reading = weights, reading
        self.owner: dict[int, str] = {}
        self.kept: list[torch.Tensor] = []  # an id is reused once its tensor is gone

    def own(self, tensor: torch.Tensor, norm: str) -> None:
        self.owner[id(tensor)] = norm
        self.kept.append(tensor)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") == "__bool__":
            return True  # "all of the mask", "no packed sequences": meta has no numbers to ask
        out = func(*args, **kwargs)
        values = [*args, *kwargs.values()]
        flat = [v for a in values for v in (a if isinstance(a, (list, tuple)) else [a])]
        for tensor in flat:
            norm = self.owner.get(id(tensor)) if isinstance(tensor, torch.Tensor) else None
            if norm is not None:
                self.note(norm, getattr(func, "__name__", ""), flat, out)
        return out

    def note(self, norm: str, function: str, args: list, out) -> None:
        weight = {"linear": 1, "addmm": 2}.get(function)
        name = self.weights.get(id(args[weight])) if weight and len(args) > weight else None
        if name is not None:
            readers = self.reading.readers.setdefault(norm, [])
            if name not in readers:
                readers.append(name)
        elif function in SAME and isinstance(out, torch.Tensor):
            self.own(out, norm)
        elif function not in LOOKS:
            self.reading.others.add(norm)


def size_of(config, *names: str, default: int) -> int:
    for name in names:
        value = getattr(config, name, None)
        value = value[0] if isinstance(value, (list, tuple)) and value else value
        if isinstance(value, int) and value > 0:
            return value
    return default


def zeros(*shape: int, dtype=torch.bfloat16) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype, device="meta")


def inputs_of(model: PreTrainedModel) -> list[dict]:
    """Keyword arguments that the model may run on, likely ones first."""
    ids = zeros(1, 7, dtype=torch.long)
    vision = getattr(model.config, "vision_config", None) or model.config
    image = size_of(vision, "image_size", default=224)
    channels = size_of(vision, "num_channels", "in_channels", default=3)
    pixels = zeros(1, channels, image, image)
    text = [{"input_ids": ids}, {"input_ids": ids, "decoder_input_ids": ids}]
    picture = [{"pixel_values": pixels}, {"pixel_values": pixels, "input_ids": ids}]
    mels = zeros(1, size_of(model.config, "num_mel_bins", "num_mel", default=80), 3000)
    sound = [
        {"input_features": mels, "decoder_input_ids": ids},
        {"input_features": mels},
        {"input_features": mels.transpose(1, 2)},
        {"input_values": zeros(1, 16000)},
    ]
    first = getattr(model, "main_input_name", "input_ids")
    return {"input_ids": text, "pixel_values": picture}.get(first, sound)


def first_tensor(output):
    while not isinstance(output, torch.Tensor):
        values = list(output.values()) if hasattr(output, "values") else list(output or [])
        if not values:
            return None
        output = values[0]
    return output


def read(model: PreTrainedModel, norms: list[str]) -> Reading:
    """@param norms  the modules that are norms"""
    maps, tables = {}, set()
    for name, module in model.named_modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Embedding):
            tables.add(id(weight))
        elif isinstance(module, (nn.Linear, Conv1D)):
            maps[id(weight)] = name
    tied = {name for weight, name in maps.items() if weight in tables}
    reading = Reading()
    for kwargs in inputs_of(model):
        attempt = Reading(tied=tied, norms=set(norms))
        if run(model, norms, Watch(maps, attempt), kwargs):
            attempt.final = attempt.final or read_by_head(model, attempt)
            return attempt
        reading.failed = reading.failed or attempt.failed
    return reading


def read_by_head(model: PreTrainedModel, reading: Reading) -> str | None:
    """The norm before the logits, where the base model was not called as a whole."""
    heads = {name for name, m in model.named_modules() if m is model.get_output_embeddings()}
    found = [norm for norm, maps in reading.readers.items() if heads & set(maps)]
    return found[0] if len(found) == 1 else None


def run(model: PreTrainedModel, norms: list[str], watch: Watch, kwargs: dict) -> bool:
    handles = []

    def owns(norm: str):
        return lambda module, args, out: watch.own(first_tensor(out), norm)

    def returns(module: nn.Module, args, out) -> None:
        tensor = first_tensor(out)
        watch.reading.final = watch.owner.get(id(tensor)) if tensor is not None else None

    for norm in norms:
        handles.append(model.get_submodule(norm).register_forward_hook(owns(norm)))
    base = getattr(model, model.base_model_prefix, model) if model.base_model_prefix else model
    handles.append(base.register_forward_hook(returns))
    try:
        with torch.no_grad(), watch:
            model(**kwargs)
        return True
    except Exception as error:  # a model that needs other inputs, or looks at their numbers
        watch.reading.failed = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        return False
    finally:
        for handle in handles:
            handle.remove()
