"""What `deadray fisher` is compared with: v^T F v by curvlinops-for-pytorch.

    PYTHON=.venv-python/bin/python
    $PYTHON scripts/lib/fisher_curvlinops.py MODEL --tokens tokens.npy --directions DUMP...

The directions are those that `deadray fisher --dump` wrote. F is the generalised Gauss-Newton
matrix of the cross-entropy, mean over tokens. With the softmax for a likelihood it is exactly the
Fisher information of the model's own labels; nothing is sampled. GGNLinearOperator gives F v by a
derivative forward and one back; v^T F v is the product with v.

The choices are meant to be fair:
- the operator spans only the parameters that a group of directions moves
- all tokens are one batch
- no check for determinism, which costs passes of its own
- eager attention, since the fused one has no forward derivative

`seconds` counts building the operators and the products. It does not count the imports and the
loading of the model, which `seconds_before` counts. The result goes to standard output.
"""

from __future__ import annotations

import time

START = time.perf_counter()

import argparse  # noqa: E402
import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
from curvlinops import GGNLinearOperator  # noqa: E402
from safetensors import safe_open  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402
from transformers.pytorch_utils import Conv1D  # noqa: E402
from transformers.utils import logging  # noqa: E402

Tensors = dict[str, torch.Tensor]


class TokenLogits(torch.nn.Module):
    """[batch, sequence] -> [batch * sequence, vocabulary]."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.model(tokens, use_cache=False).logits.flatten(0, 1)


class Directions:
    """Directions of a dump as changes of a model's parameters."""

    def __init__(self, file: Path, model: TokenLogits):
        self.model, self.parameters = model, dict(model.named_parameters())
        with safe_open(file, framework="pt") as dump:
            self.cases = json.loads(dump.metadata()["cases"])
            names = dump.keys()  # the dump is no dict
            self.vectors = {name: dump.get_tensor(name) for name in names}

    def name_of(self, stem: str, ending: str) -> str:
        """Checkpoints leave the prefix of the base model away or not."""
        known = [
            f"model.{prefix}{stem}.{ending}"
            for prefix in ("", f"{self.model.model.base_model_prefix}.")
        ]
        for name in known:
            if name in self.parameters:
                return name
        raise SystemExit(
            f"fisher_curvlinops.py: {stem}.{ending} is no parameter of its own (tied?); leave its "
            "norm out"
        )

    def changes(self, case: dict) -> Tensors:
        changes: Tensors = {}
        if case["norm"]:
            changes[self.name_of(case["norm"], "bias")] = self.vectors[case["shift"]]
        for move in case["moves"]:
            weight = self.name_of(move["consumer"], "weight")
            transposed = isinstance(
                self.model.get_submodule(weight.removesuffix(".weight")), Conv1D
            )
            r = self.vectors[move["r"]]
            if move["u"]:
                u = self.vectors[move["u"]]
            else:
                w = self.parameters[weight].detach().double()
                u = (w.T if transposed else w) @ self.vectors[move["through"]]
            changes[weight] = torch.outer(r, u) if transposed else torch.outer(u, r)
            # part of the operator even where it stays
            if f"{weight.removesuffix('.weight')}.bias" in self.parameters:
                changes[self.name_of(move["consumer"], "bias")] = move["s"] * u
        return changes


def quadratic_forms(
    model: TokenLogits, batch: tuple[torch.Tensor, torch.Tensor], changes: list[Tensors]
) -> list[float]:
    """v^T F v of directions that move the same parameters."""
    names = list(changes[0])
    parameters = [model.get_parameter(name) for name in names]
    operator = GGNLinearOperator(
        model,
        torch.nn.CrossEntropyLoss(reduction="mean"),
        parameters,
        [batch],
        check_deterministic=False,
    )
    v = [
        torch.stack([change[name] for change in changes], -1).to(parameter.dtype)
        for name, parameter in zip(names, parameters, strict=True)
    ]
    products = zip(v, operator @ v, strict=True)
    return sum(
        (one.double() * other.double()).flatten(0, -2).sum(0) for one, other in products
    ).tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--tokens", required=True, metavar="FILE.npy", help="[batch, sequence]")
    parser.add_argument("--directions", required=True, nargs="+", type=Path, metavar="DUMP")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--columns", type=int, default=1, help="directions at once")
    arguments = parser.parse_args()

    logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    model = TokenLogits(
        AutoModelForCausalLM.from_pretrained(
            arguments.model, dtype=getattr(torch, arguments.dtype), attn_implementation="eager"
        ).eval()
    )
    tokens = torch.from_numpy(np.load(arguments.tokens).astype(np.int64))
    # the Hessian of the cross-entropy does not see the labels
    batch = (tokens, torch.zeros(tokens.numel(), dtype=torch.long))
    before = time.perf_counter() - START

    start = time.perf_counter()
    fisher: list[list[float]] = []
    for file in arguments.directions:
        directions = Directions(file, model)
        of_file = [0.0] * len(directions.cases)
        groups: dict[tuple[str, ...], list[int]] = {}
        changes = [directions.changes(case) for case in directions.cases]
        for i, change in enumerate(changes):
            groups.setdefault(tuple(change), []).append(i)
        for group in groups.values():
            for first in range(0, len(group), arguments.columns):
                some = group[first : first + arguments.columns]
                values = quadratic_forms(model, batch, [changes[i] for i in some])
                for i, value in zip(some, values, strict=True):
                    of_file[i] = value
        fisher.append(of_file)
    json.dump(
        {"fisher": fisher, "seconds": time.perf_counter() - start, "seconds_before": before},
        sys.stdout,
    )


if __name__ == "__main__":
    main()
