"""Directions of a transformer's activations and parameters that are dead, predicted and measured.

    import deadray
    deadray.predict("path/to/model").norms[-1].direction

What needs torch is imported when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deadray._build import VERSION as __version__
from deadray.counting import Cause, Census, census
from deadray.errors import (
    NO_TORCH,
    Error,
    InternalError,
    MalformedError,
    NetworkError,
    NotInstalledError,
    ResourceError,
    UnsupportedError,
    UsageError,
)
from deadray.prediction import Norm, Prediction, predict

if TYPE_CHECKING:
    from deadray.modules.dead_parameters import dead_parameters
    from deadray.modules.norms import find_norms
    from deadray.modules.watch import watch

__all__ = [
    "Cause",
    "Census",
    "Error",
    "InternalError",
    "MalformedError",
    "NetworkError",
    "Norm",
    "NotInstalledError",
    "Prediction",
    "ResourceError",
    "UnsupportedError",
    "UsageError",
    "__version__",
    "census",
    "dead_parameters",
    "find_norms",
    "predict",
    "watch",
]

_NEEDS_TORCH = {
    "dead_parameters": "deadray.modules.dead_parameters",
    "find_norms": "deadray.modules.norms",
    "watch": "deadray.modules.watch",
}


def __getattr__(name: str) -> Any:
    # hasattr() is to be False for what is not installed: hence an AttributeError of our own.
    if name not in _NEEDS_TORCH:
        raise AttributeError(f"module 'deadray' has no attribute {name!r}")
    try:
        value = getattr(import_module(_NEEDS_TORCH[name]), name)
    except ModuleNotFoundError as missing:
        if missing.name != "torch":
            raise
        raise NotInstalledError(f"deadray.{name}: {NO_TORCH}") from None
    except ResourceError as unfit:  # of the measuring part
        raise NotInstalledError(str(unfit)) from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
