"""deadray._measure, if it fits the torch that is there. Import it from here, nowhere else."""

from __future__ import annotations

import torch

from deadray._build import FITS_TORCH, TORCH
from deadray.errors import ResourceError

_AGAIN = "install deadray's sources again with pip install --force-reinstall --no-deps"

if TORCH is None:
    raise ResourceError(
        f"deadray._measure: left out, for no torch {FITS_TORCH} was there when deadray was "
        f"installed; found torch {torch.__version__}; {_AGAIN}"
    )
if torch.__version__.split(".")[:2] != TORCH.split("."):
    raise ResourceError(
        f"deadray._measure: compiled for torch {TORCH}, found torch {torch.__version__}; {_AGAIN}"
    )

from deadray import _measure  # noqa: E402

__all__ = ["_measure"]
