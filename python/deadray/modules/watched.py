"""One norm under watch."""

from __future__ import annotations

import numpy as np
import torch

from deadray.errors import UnsupportedError
from deadray.modules.described import dtype_name
from deadray.modules.native import _measure
from deadray.modules.norms import NormOf
from deadray.modules.ranks import Ranks, together

_capsule = torch.utils.dlpack.to_dlpack


class Watched:
    """A norm, the rows that have passed it, and the probes that measure it.

    `seen`: rows that came; `counted`: those that the mask let through.
    `odd`: whether it was called with more than its input; such calls are left out.
    """

    def __init__(self, norm: NormOf, readings: str):
        self.norm = norm
        self._readings = readings
        self.seen = self.counted = 0
        self.odd = False
        self.device: str | None = None
        self.dtype: torch.dtype | None = None
        self._probes: _measure.Probes | None = None
        self._as_found = self._stored()

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
        probes.begin(norm.name, norm.kind, norm.gamma.tolist(), beta, norm.eps, dtype_name(dtype))

    def add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Rows [n, d] before and after the norm, on its device; n may be 0."""
        self._require_unchanged()
        self._require_alike(x)
        self.counted += x.shape[0]
        self._add(x, y)

    def add_nothing(self) -> None:
        """Of a norm that ran on other ranks alone."""
        none = torch.empty((0, self.norm.hidden_size), dtype=self.dtype, device=self.device)
        self._add(none, none)

    def finish(self, ranks: Ranks | None) -> None:
        """No more rows come. Collective."""
        self._probes.merge(self.norm.name)
        together(ranks, self._probes.decompose_due)

    def _add(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self._probes.add(
            self.norm.name,
            None if self._readings == "deployed" else _capsule(x),
            None if self._readings == "exact" else _capsule(y),
        )

    def _require_unchanged(self) -> None:
        """A prediction from one gamma says nothing of rows that another made."""
        if self._stored() != self._as_found:
            raise self._has_changed()

    def change(self) -> UnsupportedError | None:
        """What no version tells: values written through .data, or into shards. Collective."""
        now = self.norm.current()
        same = now is not None and np.array_equal(now.gamma, self.norm.gamma)
        if same and self.norm.beta is not None:
            same = now.beta is not None and np.array_equal(now.beta, self.norm.beta)
        return None if same else self._has_changed()

    def _stored(self) -> list[tuple[int, int]]:
        """Which tensors the norm has, and how often each was written to."""
        # Tensors of inference mode have no version; nothing trains them.
        tensors = [*self.norm.module.parameters(), *self.norm.module.buffers()]
        return [(id(t), 0 if t.is_inference() else t._version) for t in tensors]

    def _has_changed(self) -> UnsupportedError:
        return UnsupportedError(
            f"norm '{self.norm.name}': its parameters changed while it was watched: "
            "call report() before the next training step, and watch again after it"
        )

    def _require_alike(self, x: torch.Tensor) -> None:
        if x.shape[1] != self.norm.hidden_size or str(x.device) != self.device:
            raise UnsupportedError(
                f"norm '{self.norm.name}': it ran on rows of width {x.shape[1]} on {x.device}, "
                f"before on {self.norm.hidden_size} on {self.device}: watch one at a time"
            )
