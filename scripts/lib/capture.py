"""Captures what one norm of a Hugging Face model computes, for `deadray verify --activations`.

    scripts/capture samples/microformer-mgm --out final.safetensors
    scripts/capture MODEL --module model.layers.3.input_layernorm --tokens tokens.npy --out FILE
    scripts/capture MODEL --list

MODEL is a folder or a name on the hub. The file holds `input` [N, d] and `output` [N, d] as the
model computed them. It holds `weight` [d] and `bias` [d] as the norm applies them: gamma is
1 + stored where the model does so, ones where the norm has no scale. Its metadata holds norm
(layernorm or rmsnorm), eps, model, module.
Where the inputs have an attention_mask [batch, sequence], rows of tokens that it hides are left
out.
Kind and convention are not guessed from names: they are those that reproduce what the module
computes.
"""

from __future__ import annotations

import argparse
import copy
import inspect
import math
import os
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from transformers import AutoModel, PreTrainedModel
from transformers.utils import logging

from tool import (
    MALFORMED,
    RESOURCES,
    UNSUPPORTED,
    USAGE,
    ToolError,
    one_line,
    run_tool,
    write_whole,
)

DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def load_model(name: str, dtype: torch.dtype) -> PreTrainedModel:
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return AutoModel.from_pretrained(name, dtype=dtype).eval()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ToolError(
            MALFORMED, f"{name}: transformers cannot load it: {one_line(error)}"
        ) from error


def norm_modules(model: PreTrainedModel) -> dict[str, torch.nn.Module]:
    return {
        name: module
        for name, module in model.named_modules()
        if "norm" in type(module).__name__.lower() and not list(module.children())
    }


def inputs_of(model: PreTrainedModel, arguments: argparse.Namespace) -> dict[str, torch.Tensor]:
    if arguments.tokens is None:
        config = model.config.get_text_config()
        if "input_ids" not in inspect.signature(model.forward).parameters or not getattr(
            config, "vocab_size", None
        ):
            raise ToolError(
                USAGE,
                f"{arguments.model}: takes no token ids: give its inputs as --tokens "
                "FILE.safetensors, named as forward() names them",
            )
        length = min(
            arguments.sequence_length,
            getattr(config, "max_position_embeddings", None) or arguments.sequence_length,
        )
        generator = torch.Generator().manual_seed(arguments.seed)
        return {
            "input_ids": torch.randint(
                config.vocab_size, (arguments.batch, length), generator=generator
            )
        }
    path: Path = arguments.tokens
    if not path.is_file():
        raise ToolError(USAGE, f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tokens = np.load(path, allow_pickle=False)
    except Exception as error:  # numpy and safetensors raise a dozen kinds
        raise ToolError(
            MALFORMED, f"{path}: {one_line(error)}; .npy [batch, sequence] or safetensors expected"
        ) from error
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
        raise ToolError(
            MALFORMED,
            f"{path}: {tokens.dtype} {list(tokens.shape)} found, integers [batch, sequence] "
            "expected",
        )
    vocabulary = getattr(model.config.get_text_config(), "vocab_size", None)
    outside = np.argwhere((tokens < 0) | (tokens >= (vocabulary or np.inf)))
    if len(outside):
        place = tuple(int(i) for i in outside[0])
        raise ToolError(
            MALFORMED,
            f"{path}: token {tokens[place]} at {list(place)}: 0 to {vocabulary - 1} expected",
        )
    return {"input_ids": torch.from_numpy(tokens.astype(np.int64))}


def check_mask(inputs: dict[str, torch.Tensor], where: Path | None) -> None:
    mask = inputs.get("attention_mask")
    if mask is None:
        return
    ids = inputs.get("input_ids")
    found = f"{where}: attention_mask is {str(mask.dtype).removeprefix('torch.')}"
    if mask.dim() != 2 or mask.is_floating_point() or (ids is not None and mask.shape != ids.shape):
        raise ToolError(
            MALFORMED,
            f"{found} {list(mask.shape)}, expected integers or bools [batch, sequence] like "
            "input_ids",
        )
    wrong = ((mask != 0) & (mask != 1)).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        raise ToolError(
            MALFORMED,
            f"{where}: attention_mask is {mask[row, column].item()} at row {row}, column "
            f"{column}: 0 or 1 expected",
        )
    if not mask.any():
        raise ToolError(MALFORMED, f"{where}: attention_mask hides every token")


def kept_rows(
    mask: torch.Tensor | None, places: tuple[int, ...], module: str
) -> torch.Tensor | None:
    """Which of a norm's rows belong to tokens that the mask keeps, [N] bool; None: all do.

    `places` is the shape of what the norm reads, less its last dimension: [batch, sequence], with
    heads behind or between, or both flattened.
    """
    if mask is None or bool(mask.all()):
        return None
    batch, length = mask.shape
    kept = mask.bool()
    heads_behind = len(places) == 3 and places[:2] == (batch, length)
    heads_between = len(places) == 3 and (places[0], places[2]) == (batch, length)
    if heads_behind and heads_between:
        raise ToolError(
            UNSUPPORTED,
            f"{module}: {length} heads and {length} tokens cannot be told apart under a mask; "
            "give sequences of another length",
        )
    if heads_behind:
        return kept[:, :, None].expand(places).flatten()
    if heads_between:
        return kept[:, None].expand(places).flatten()
    if places in ((batch, length), (batch * length,)):
        return kept.flatten()
    raise ToolError(
        UNSUPPORTED,
        f"{module}: rows {list(places)} are not those of attention_mask {list(mask.shape)}; "
        "leave attention_mask out to capture all",
    )


@torch.inference_mode()
def capture(
    model: PreTrainedModel, inputs: dict[str, torch.Tensor], module: str | None
) -> tuple[str, torch.Tensor, torch.Tensor]:
    """Name, input and output [N, d] of `module`, or of the norm that is evaluated last.

    Of tokens that an attention_mask keeps.
    """
    seen: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def keep(name: str):
        def hook(_: torch.nn.Module, args: tuple, kwargs: dict, output: torch.Tensor) -> None:
            if module is None:
                seen.clear()  # only the last one counts
            elif name in seen:
                raise ToolError(
                    UNSUPPORTED,
                    f"{name}: evaluated more than once in a forward pass; choose another norm",
                )
            seen[name] = (args[0] if args else next(iter(kwargs.values())), output)

        return hook

    norms = norm_modules(model)
    if module is not None and module not in norms:
        raise ToolError(
            USAGE,
            f"no norm called {module}; there are: {', '.join(list(norms)[:3])} … "
            f"{', '.join(list(norms)[-3:])} (--list names all)",
        )
    hooks = [
        norm.register_forward_hook(keep(name), with_kwargs=True)
        for name, norm in norms.items()
        if module in (None, name)
    ]
    model(**inputs)
    for hook in hooks:
        hook.remove()
    if not seen:
        raise ToolError(
            UNSUPPORTED, f"{module or 'no norm'}: not evaluated in this model's forward pass"
        )
    name, (entering, leaving) = next(iter(seen.items()))
    kept = kept_rows(inputs.get("attention_mask"), tuple(entering.shape[:-1]), name)

    def rows(x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        return flat.contiguous() if kept is None else flat[kept]

    return name, rows(entering), rows(leaving)


@torch.inference_mode()
def describe_norm(
    norm: torch.nn.Module, width: int
) -> tuple[str, float, torch.Tensor, torch.Tensor | None]:
    """Finds kind, eps, gamma [d] and beta [d] from what the module makes of random rows.

    The rows have a mean that is not 0; a model's own rows may have none.
    """
    eps = float(
        next(
            (
                value
                for key in ("eps", "variance_epsilon", "norm_eps")
                if isinstance(value := getattr(norm, key, None), float)
            ),
            1e-5,
        )
    )
    stored, bias = getattr(norm, "weight", None), getattr(norm, "bias", None)
    if stored is not None and tuple(stored.shape) != (width,):
        raise ToolError(
            UNSUPPORTED,
            f"{type(norm).__name__}: weight has shape {list(stored.shape)}, [{width}] expected",
        )
    beta = None if bias is None else bias.double()
    scales = (
        [torch.ones(width, dtype=torch.float64)]
        if stored is None
        else [stored.double(), 1 + stored.double()]
    )
    rows = 1 + torch.randn(
        16, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    wanted = copy.deepcopy(norm).double()(rows)
    best = (math.inf, "", scales[0])
    for kind, values in (("layernorm", rows - rows.mean(-1, keepdim=True)), ("rmsnorm", rows)):
        z = values / (values.square().mean(-1, keepdim=True) + eps).sqrt()
        for gamma in scales:
            error = (
                (z * gamma if beta is None else z * gamma + beta) - wanted
            ).abs().max().item() / wanted.abs().max().item()
            best = min(best, (error, kind, gamma), key=lambda candidate: candidate[0])
    error, kind, gamma = best
    if not error < 1e-4:  # several norms compute in float32 whatever they are given
        raise ToolError(
            UNSUPPORTED,
            f"{type(norm).__name__}: follows neither LayerNorm nor RMSNorm of its weight (best: "
            f"{kind}, off by {error:.2g})",
        )
    return kind, eps, gamma, beta


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument(
        "--module", help="the norm, as named_modules() names it; default: the one evaluated last"
    )
    parser.add_argument(
        "--tokens",
        type=Path,
        metavar="FILE",
        help=".npy [batch, sequence], or .safetensors with the arguments of forward()",
    )
    parser.add_argument("--batch", type=int, default=16, help="random sequences (default 16)")
    parser.add_argument(
        "--sequence-length",
        type=int,
        default=256,
        help="tokens of each (default 256, or what the model takes)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="in which the model runs, and in which input and output are stored",
    )
    parser.add_argument("--out", type=Path, metavar="FILE")
    parser.add_argument("--list", action="store_true", help="name the norms and stop")
    arguments = parser.parse_args()
    if arguments.out is None and not arguments.list:
        parser.error("--out FILE is needed")
    if arguments.out is not None and not os.access(arguments.out.parent, os.W_OK):
        raise ToolError(RESOURCES, f"{arguments.out.parent}: no folder that can be written to")

    model = load_model(arguments.model, DTYPES[arguments.dtype])
    if arguments.list:
        print("\n".join(norm_modules(model)))
        return
    inputs = inputs_of(model, arguments)
    check_mask(inputs, arguments.tokens)
    name, entering, leaving = capture(model, inputs, arguments.module)
    kind, eps, gamma, beta = describe_norm(model.get_submodule(name), entering.shape[-1])
    tensors = {"input": entering, "output": leaving, "weight": gamma} | (
        {} if beta is None else {"bias": beta}
    )
    metadata = {
        "schema": "deadray/activations/1",
        "norm": kind,
        "eps": repr(eps),
        "model": arguments.model,
        "module": name,
    }
    write_whole(arguments.out, lambda stream: stream.write(save(tensors, metadata)))
    print(
        f"{arguments.out}: {name}, {kind}, {entering.shape[0]} rows of {entering.shape[1]}, "
        f"{arguments.dtype}"
    )


if __name__ == "__main__":
    run_tool(main)
