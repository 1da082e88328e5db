"""Spaces of parameter tangents that move no output: their directions, and projection off them.

All tangents are mappings from parameter names to tensors. Spaces of one model are orthogonal to
each other, so projecting off one after another projects off all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch

from deadray.modules.consumers import Consumer

Tangent = dict[str, torch.Tensor]


def working(tensor: torch.Tensor) -> torch.dtype:
    return torch.float64 if tensor.dtype == torch.float64 else torch.float32


@dataclass(frozen=True)
class Moved:
    """What moves of a consumer: its weight, its bias, or both, as one joint matrix.

    Joint matrices are [outputs, columns]: the inputs if the weight moves, and one for the bias.
    """

    consumer: Consumer
    weight: bool
    bias: bool

    @property
    def names(self) -> tuple[str, ...]:
        weight = (self.consumer.weight,) if self.weight else ()
        return (*weight, self.consumer.bias) if self.bias else weight

    def joint(self, tangent: Mapping[str, torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        parts = []
        if self.weight:
            weight = tangent[self.consumer.weight].to(dtype)
            parts.append(weight.T if self.consumer.transposed else weight)
        if self.bias:
            parts.append(tangent[self.consumer.bias].to(dtype)[:, None])
        return torch.cat(parts, 1) if len(parts) > 1 else parts[0]

    def parted(self, matrix: torch.Tensor) -> Tangent:
        tangent = {}
        if self.weight:
            weight = matrix[:, :-1] if self.bias else matrix
            tangent[self.consumer.weight] = weight.T if self.consumer.transposed else weight
        if self.bias:
            tangent[self.consumer.bias] = matrix[:, -1]
        return tangent


@dataclass(frozen=True)
class RowSpace:
    """u n^T for every u in R^outputs and every row n of `null`, which reads 0 of every input.

    null: [k, columns] of `moved`, orthonormal rows, float64 on the CPU.
    """

    moved: Moved
    null: torch.Tensor

    @property
    def count(self) -> int:
        return self.moved.consumer.width * len(self.null)

    @property
    def names(self) -> tuple[str, ...]:
        return self.moved.names

    def basis(self, parameters: Mapping[str, torch.Tensor]) -> Iterator[Tangent]:
        for n in self._null_beside(parameters):
            for output in range(self.moved.consumer.width):
                u = n.new_zeros(self.moved.consumer.width, 1)
                u[output] = 1.0
                yield self.moved.parted(u * n)

    def random(self, parameters: Mapping[str, torch.Tensor], generator) -> Tangent:
        shape = (self.moved.consumer.width, len(self.null))
        null = self._null_beside(parameters)
        u = torch.randn(shape, generator=generator, dtype=torch.float64).to(null)
        return self.moved.parted(u @ null)

    def dead_part(
        self, tangent: Mapping[str, torch.Tensor], parameters: Mapping[str, torch.Tensor]
    ) -> Tangent:
        matrix = self.moved.joint(tangent, working(tangent[self.names[0]]))
        null = self.null.to(matrix)
        return self.moved.parted((matrix @ null.T) @ null)

    def _null_beside(self, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
        return self.null.to(parameters[self.names[0]].device)


@dataclass(frozen=True)
class ShiftSpace:
    """a in R^hidden_size added to beta, which every consumer of the norm compensates.

    Each takes -(W a) row^T. Of one without bias `row` is f, with <f, h> = 1 for every output h. Of
    one with bias it is the bias's own direction, what is dead in any case taken off.
    """

    beta: str
    sign: float  #: with which the stored beta acts
    fixed: torch.Tensor  #: vectors v of constant <v, h>, [k, hidden_size], orthonormal rows
    compensating: tuple[tuple[Moved, torch.Tensor], ...]  #: with `row`, float64 on the CPU

    @property
    def count(self) -> int:
        return self.fixed.shape[1]

    @property
    def names(self) -> tuple[str, ...]:
        return (self.beta, *(name for moved, _ in self.compensating for name in moved.names))

    def basis(self, parameters: Mapping[str, torch.Tensor]) -> Iterator[Tangent]:
        """Orthonormal."""
        gram = self._gram(parameters, torch.float64)
        inverse = torch.linalg.solve_triangular(
            torch.linalg.cholesky(gram).mT, torch.eye(self.count).to(gram), upper=True
        )
        yield from (self._tangent(a, parameters) for a in inverse.T)

    def random(self, parameters: Mapping[str, torch.Tensor], generator) -> Tangent:
        """One along which the whole straight line is dead: what the norm fixes is not shifted."""
        a = torch.randn(self.count, generator=generator, dtype=torch.float64)
        kept = a - self.fixed.T @ (self.fixed @ a)
        return self._tangent(kept.to(parameters[self.beta].device), parameters)

    def dead_part(
        self, tangent: Mapping[str, torch.Tensor], parameters: Mapping[str, torch.Tensor]
    ) -> Tangent:
        dtype = working(tangent[self.beta])
        seen = self.sign * tangent[self.beta].to(dtype).flatten()
        for moved, row in self.compensating:
            matrix = moved.joint(tangent, dtype)
            weight = _weight(moved, parameters, matrix)
            seen = seen - (weight.T @ (matrix @ row.to(matrix))).to(seen)
        root = torch.linalg.cholesky(self._gram(parameters, dtype))
        return self._tangent(torch.cholesky_solve(seen[:, None].to(root), root)[:, 0], parameters)

    def _tangent(self, a: torch.Tensor, parameters: Mapping[str, torch.Tensor]) -> Tangent:
        tangent = {self.beta: self.sign * a}
        for moved, row in self.compensating:
            taken = _weight(moved, parameters, a) @ a
            tangent |= moved.parted(-taken[:, None] * row.to(a))
        return tangent

    def _gram(self, parameters: Mapping[str, torch.Tensor], dtype: torch.dtype) -> torch.Tensor:
        """Inner products of the tangents of two a: I + sum |row|^2 W^T W."""
        gram = torch.eye(self.count).to(parameters[self.beta].device, dtype)
        for moved, row in self.compensating:
            weight = _weight(moved, parameters, gram)
            gram += float(row @ row) * (weight.T @ weight)
        return gram


def _weight(moved: Moved, parameters: Mapping[str, torch.Tensor], like: torch.Tensor):
    """[outputs, hidden_size], as it is now."""
    weight = parameters[moved.consumer.weight].detach().to(like)
    return weight.T if moved.consumer.transposed else weight
