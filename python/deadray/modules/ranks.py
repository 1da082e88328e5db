"""The processes of a torch.distributed group that measure the same norms on their own data."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from functools import cached_property

import numpy as np
import torch
import torch.distributed as dist

from deadray.errors import Error, ResourceError, error_of


def ranks_of(group: dist.ProcessGroup | None) -> Ranks | None:
    """The ranks of `group`, or of all processes; None where there is one."""
    if not dist.is_available() or not dist.is_initialized():
        return None
    return Ranks(group) if dist.get_world_size(group) > 1 else None


def together(ranks: Ranks | None, step: Callable[[], None]) -> None:
    """Runs `step` on every rank. Where it fails on one, all raise the line of that one.

    Else the others would wait for it at their next collective. `step` has none of its own.
    """
    if ranks is None:
        step()
        return
    failed, told = None, b""
    try:
        step()
    except Exception as error:
        line = " ".join(str(error).split()) or type(error).__name__
        code = getattr(error, "exit_code", Error.exit_code)
        failed, told = error, json.dumps([code, f"{ranks.name}: {line}"]).encode()
    first = next(filter(None, ranks.gather(told)), None)
    if first is not None:
        raise error_of(*json.loads(first)) from failed


class Ranks:
    """What deadray's measurement asks of a group: sums, broadcasts, bytes of every rank.

    `rank`: this process's number in the group, of `size`. `hosts`: the host of each. `name`: of
    this process among all, for people.
    Every method is collective, and so is the first look at `hosts`. They raise ResourceError where
    a rank cannot be reached.
    """

    def __init__(self, group: dist.ProcessGroup | None):
        self._group = group
        self.name = f"rank {dist.get_rank()} of {dist.get_world_size()}"
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        on_cpu = dist.get_backend(group) != "nccl"
        self._device = torch.device("cpu" if on_cpu else f"cuda:{torch.cuda.current_device()}")

    @cached_property
    def hosts(self) -> list[str]:
        return [name.decode() for name in self.gather(socket.gethostname().encode())]

    def sum_to(self, root: int, values: np.ndarray) -> None:
        """On `root`, `values` [n] FP64 become the sum over all ranks, in place."""
        sums = torch.from_numpy(values).to(self._device)
        self._call(dist.reduce, sums, self._member(root))
        values[:] = sums.cpu().numpy()

    def broadcast(self, root: int, values: np.ndarray) -> None:
        """`values` [n] FP64 become those of `root`, in place."""
        sent = torch.from_numpy(values).to(self._device)
        self._call(dist.broadcast, sent, self._member(root))
        values[:] = sent.cpu().numpy()

    def gather(self, data: bytes) -> list[bytes]:
        """The bytes of every rank, in order of rank."""
        parts: list[bytes] = [b""] * self.size
        self._call(dist.all_gather_object, parts, data)
        return parts

    def _member(self, rank: int) -> int:
        """torch.distributed names a root by its number among all processes."""
        return rank if self._group is None else dist.get_global_rank(self._group, rank)

    def _call(self, function, *arguments) -> None:
        try:
            function(*arguments, group=self._group)
        except RuntimeError as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ResourceError(
                f"{self.name} (process {os.getpid()}) failed to reach the others: {reason}; see "
                "what they printed"
            ) from error
