"""The predictor, as the program deadray has it."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy
from numpy.typing import NDArray

_Row: TypeAlias = tuple[str, str, list[int], int, str]
#: Record deadray/census/1 as JSON, table, rows of causes, rows of what is flat but for eps. A row:
#: name, stack, blocks, dimension of each, why there is none.
Counted: TypeAlias = tuple[str, str, list[_Row], list[_Row]]

class Norm:
    """A norm and the directions of its output that never vary.

    Its arrays are FP64 and read-only.
    """

    @property
    def name(self) -> str:
        """As its tensors are called: "h.0.ln_1"."""
    @property
    def kind(self) -> Literal["layernorm", "rmsnorm"]: ...
    @property
    def gamma(self) -> NDArray[numpy.float64]:
        """Effective scale [d]."""
    @property
    def beta(self) -> NDArray[numpy.float64] | None:
        """Shift [d]; None where there is none."""
    @property
    def direction(self) -> NDArray[numpy.float64] | None:
        """v* = (1/gamma)/|1/gamma| [d]; None for an RMSNorm, and where a scale is 0."""
    @property
    def basis(self) -> NDArray[numpy.float64]:
        """Orthonormal columns [d, dimension]; a new array."""
    @property
    def hidden_size(self) -> int:
        """The width d."""
    @property
    def dimension(self) -> int:
        """Number of dead directions."""
    @property
    def coordinates(self) -> list[int]:
        """Where gamma is numerically zero."""
    @property
    def constant(self) -> float | None:
        """What <1/gamma, output> equals; None where there is no v*."""
    @property
    def bound(self) -> float:
        """Most variance of a unit vector of the basis, in exact arithmetic."""
    @property
    def deployed_floor(self) -> float:
        """Least variance that rounding the output to FP32 leaves there."""
    @property
    def json(self) -> str:
        """What records hold under "predicted"."""

def predict_model(
    model: str, site: str = "all", tau: float | None = None, catalogue: str = ""
) -> tuple[str, list[Norm]]:
    """The record deadray/predict/1 of a model on disk, as JSON, and its norms."""

def predict_norm(
    name: str,
    kind: Literal["layernorm", "rmsnorm"],
    gamma: NDArray[numpy.float64],
    beta: NDArray[numpy.float64] | None,
    tau: float | None = None,
) -> Norm:
    """Predicts from a norm's parameters, FP64 [d]."""

def census_model(model: str) -> Counted:
    """The census of a model on disk."""

def census_config(config: str, name: str) -> Counted:
    """The same of a configuration, as JSON."""

def census_tensors(
    config: str,
    name: str,
    tensors: list[tuple[str, str, list[int]]],
    read: Callable[[int], NDArray[numpy.uint8]],
) -> Counted:
    """The same of a model in memory.

    tensors: name, dtype as safetensors spells it, shape. read: of an index there all its bytes.
    """
