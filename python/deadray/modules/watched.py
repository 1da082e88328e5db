"""One norm under watch."""

from __future__ import annotations

import torch

from .. import _measure
from ..errors import UnsupportedError
from .norms import NormOf

capsule = torch.utils.dlpack.to_dlpack


class Watched:
    """A norm, the rows that have passed it, and the probes that measure it.

    `seen`: rows that came; `counted`: those that the mask let through.
    """

    def __init__(self, norm: NormOf, readings: str):
        self.norm = norm
        self._readings = readings
        self.seen = self.counted = 0
        self.device: str | None = None
        self.dtype: torch.dtype | None = None
        self._probes: _measure.Probes | None = None
        # Tensors of inference mode have no version; nothing trains them.
        own = norm.module.parameters(recurse=False)
        self._parameters = [p for p in own if not p.is_inference()]
        self._versions = [p._version for p in self._parameters]

    @property
    def begun(self) -> bool:
        return self._probes is not None

    def begin(self, probes: _measure.Probes, device: str, dtype: torch.dtype, width: int) -> None:
        """dtype, width: of its output, which a norm that stores nothing takes its own from."""
        norm = self.norm.of_width(width)
        if norm is None:
            raise UnsupportedError(
                f"norm '{self.norm.name}': it ran on rows of width {width} and is no norm of those"
            )
        self.norm, self._probes, self.device, self.dtype = norm, probes, device, dtype
        beta = [] if norm.beta is None else norm.beta.tolist()
        probes.begin(norm.name, norm.kind, norm.gamma.tolist(), beta, norm.eps, _name(dtype))

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Rows [n, d] before and after the norm, on its device; n may be 0."""
        self._require_unchanged()
        self.counted += x.shape[0]
        self._add(x, y)

    def add_nothing(self) -> None:
        """Of a norm that ran on other ranks alone."""
        none = torch.empty((0, self.norm.hidden_size), dtype=self.dtype, device=self.device)
        self._add(none, none)

    def finish(self) -> None:
        self._probes.finish(self.norm.name)

    def _add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self._probes.add(
            self.norm.name,
            None if self._readings == "deployed" else capsule(x),
            None if self._readings == "exact" else capsule(y),
        )

    def _require_unchanged(self) -> None:
        """A prediction from one gamma says nothing of rows that another made."""
        if [p._version for p in self._parameters] != self._versions:
            raise UnsupportedError(
                f"norm '{self.norm.name}': its parameters changed while it was watched: "
                "call report() before the next training step, and watch again after it"
            )


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
