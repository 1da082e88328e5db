"""What passes a norm as rows [n, d], and in which shape they stood."""

from __future__ import annotations

import torch

from deadray.errors import UnsupportedError


def rows_of(tensor: torch.Tensor, axis: int) -> tuple[torch.Tensor, tuple[int, ...]]:
    """A norm's input or output as rows [n, d], and the shape of what they are rows of.

    axis: the one that is normalised. Not copied where the memory allows it.
    Raises UnsupportedError for tensors without values of their own.
    """
    tensor = _local(tensor)
    if tensor.is_meta or type(tensor).__name__ == "FakeTensor":
        raise UnsupportedError("a norm ran on tensors without values (meta, fake): nothing to see")
    if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        raise UnsupportedError(
            "a norm ran inside torch.func (vmap, grad, jvp): watch a plain forward pass"
        )
    last = tensor if axis == -1 else tensor.movedim(axis, -1)
    return last.reshape(-1, last.shape[-1]).contiguous(), tuple(last.shape[:-1])


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """The rows that this rank has of a distributed tensor."""
    placements = getattr(tensor, "placements", None)
    if placements is None:
        return tensor
    if any(place.is_partial() for place in placements):
        raise UnsupportedError(
            "a norm ran on a partial DTensor: its rows are sums still to be made"
        )
    if any(place.is_shard(tensor.ndim - 1) for place in placements):
        raise UnsupportedError(
            "a norm ran on a DTensor whose rows are split: no rank has whole rows"
        )
    return tensor.to_local()
