"""A tiny transformers model in float64, and the root of its exact Fisher, in rows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AutoConfig, PreTrainedModel

from census_ranking.cases import Case
from census_ranking.widening import Widening

EPS = 1e-3  # of every norm: with 1e-12 what is flat up to eps would look flat
SPREAD = 0.3  # of what is added to every parameter and stored buffer
ROWS_A_PARAMETER = 2.5  # so that singular values move little
EPS_NAMES = ("eps", "variance_epsilon")

Inputs = dict[str, torch.Tensor]


class TinyModel:
    """A model as its configuration has it, with generic parameters, in float64 all through."""

    def __init__(self, case: Case, seed: int):
        self.case, self.config = case, AutoConfig.for_model(**case.config)
        [self.kind] = case.config["architectures"]
        self.generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self.model: PreTrainedModel = getattr(transformers, self.kind)(self.config).eval().double()
        self.make_generic()
        self.widening = Widening(self.model)
        self.parameters: dict[str, torch.nn.Parameter] = {
            name: p for name, p in self.model.named_parameters() if name not in case.unread
        }
        n_parameters = sum(p.numel() for p in self.parameters.values())
        self.combinations = math.ceil(ROWS_A_PARAMETER * n_parameters / case.count)

    def make_generic(self) -> None:
        for module in self.model.modules():
            for name in EPS_NAMES:
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, EPS)
            if isinstance(module, torch.nn.Embedding):
                module.padding_idx = None  # it would stop the gradient of a row that counts
        stored = self.model.state_dict(keep_vars=True)
        values = {id(value): value for value in stored.values() if value.is_floating_point()}
        for value in values.values():  # a tied weight once
            value.data += SPREAD * torch.randn(
                value.shape, generator=self.generator, dtype=torch.float64
            )

    def random_inputs(self, count: int) -> Iterator[Inputs]:
        """`count` of them, a batch of one each."""

        def draw(below: int | None, shape: list[int]) -> torch.Tensor:
            if below is None:
                return torch.randn(1, *shape, generator=self.generator, dtype=torch.float64)
            return torch.randint(below, (1, *shape), generator=self.generator)

        for _ in range(count):
            yield {name: draw(below, shape) for name, (below, *shape) in self.case.inputs.items()}

    def save_config(self, folder: Path) -> None:
        """Writes the config.json that deadray reads."""
        self.config.architectures = [self.kind]
        self.config.save_pretrained(folder)
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"dtype": "float32"}, indent=1))

    def outputs(self, inputs: Inputs) -> list[torch.Tensor]:
        """The case's outputs, [rows, width] each."""
        output = self.model(**inputs)
        found = [value_at(output, path) for path in self.case.outputs]
        return [value.reshape(-1, value.shape[-1]) for value in found if value is not None]

    def fisher_root(self, inputs: Inputs) -> torch.Tensor:
        """S A [combinations, parameters]: A^T A the Fisher information of these inputs, summed.

        A is, of logits, the root of diag p − p pᵀ times their Jacobian, of other outputs the
        Jacobian. S is random: combinations of rows cost less than rows, and never add to the rank.
        """
        parameters = list(self.parameters.values())
        # the fused attention's backward has no batching rule
        with self.widening, sdpa_kernel(SDPBackend.MATH):
            outputs = self.outputs(inputs)
        n = min(self.combinations, sum(values.numel() for values in outputs))
        gradients = torch.autograd.grad(
            outputs,
            parameters,
            [self.cotangents(values.detach(), n) for values in outputs],
            is_grads_batched=True,
            allow_unused=True,
        )
        return torch.cat(
            [
                torch.zeros(n, p.numel(), dtype=torch.float64) if g is None else g.reshape(n, -1)
                for g, p in zip(gradients, parameters, strict=True)
            ],
            1,
        )

    def cotangents(self, values: torch.Tensor, n: int) -> torch.Tensor:
        """[n, rows, width]: random, of logits times the root of diag p − p pᵀ of their row."""
        g = torch.randn(n, *values.shape, generator=self.generator, dtype=torch.float64)
        if self.case.outputs != ("logits",):
            return g
        p = torch.softmax(values, -1)
        g *= p.sqrt()
        return g - p * g.sum(-1, keepdim=True)


def value_at(output: Any, path: str) -> torch.Tensor | None:
    for key in path.split("."):
        output = None if output is None else output.get(key)
    return output
