"""What a norm keeps constant: vectors v with <v, h> the same for every output h."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from deadray.modules.norms import NormOf

# Of sum |v_i h_i|, over sqrt(d). Rounding moves <v, h> of a norm's rows by about the dtype's eps,
# 0.008 in bfloat16; of other rows it varies by about 1.
ROUNDING = 0.05


@dataclass(frozen=True)
class Functionals:
    """vectors: [k, hidden_size] with orthonormal rows; constants: [k]. float64, on the CPU.

    k is 1 for a LayerNorm: 1/gamma. Where k entries of gamma are zero, they are those unit vectors,
    of an RMSNorm too, and 1/gamma does not exist.
    """

    vectors: torch.Tensor
    constants: torch.Tensor

    @classmethod
    def of(cls, norm: NormOf) -> Functionals:
        gamma = torch.from_numpy(norm.gamma)
        beta = torch.zeros_like(gamma) if norm.beta is None else torch.from_numpy(norm.beta)
        zeros = (gamma == 0).nonzero().flatten()
        if len(zeros):
            return cls(torch.eye(len(gamma), dtype=torch.float64)[zeros], beta[zeros])
        if norm.kind == "rmsnorm" or not bool(gamma.isfinite().all()):
            return cls(gamma.new_zeros(0, len(gamma)), gamma.new_zeros(0))
        inverse = gamma.abs().min() / gamma  # at most 1, however small gamma is
        vector = inverse / inverse.norm()
        return cls(vector[None], (vector @ beta)[None])

    def __len__(self) -> int:
        return len(self.constants)

    def hold_for(self, x: torch.Tensor) -> bool:
        """Whether the rows of x [..., hidden_size] have these constants, up to rounding."""
        width = self.vectors.shape[1]
        if x.dim() == 0 or x.shape[-1] != width:
            return False
        if len(self) == 0:
            return True
        rows = x.detach().reshape(-1, width).to("cpu", torch.float64)
        off = (rows @ self.vectors.T - self.constants).abs()
        size = rows.abs() @ self.vectors.abs().T + self.constants.abs()
        return bool((off <= ROUNDING / width**0.5 * size).all())
