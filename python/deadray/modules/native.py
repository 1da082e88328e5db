"""deadray._measure, if it fits the torch that is there. Import it from here, nowhere else."""

from __future__ import annotations

import torch

from deadray._build import TORCH
from deadray.errors import ResourceError

_AGAIN = "pip install --force-reinstall --no-deps with deadray's sources builds it for this torch"

if TORCH is None:
    raise ResourceError(
        f"deadray._measure: left out, for no torch was found when deadray was installed; {_AGAIN}"
    )
if torch.__version__.split(".")[:2] != TORCH.split("."):
    raise ResourceError(
        f"deadray._measure: compiled for torch {TORCH}, found torch {torch.__version__}; {_AGAIN}"
    )

from deadray import _measure  # noqa: E402

__all__ = ["_measure"]
