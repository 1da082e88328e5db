"""The processes that a launcher started for one command: torchrun, or what sets RANK."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from deadray.errors import UsageError

_EVERY = 3.0  # seconds between signs of life
_ARRIVAL = timedelta(minutes=10)
_SLOWEST = timedelta(hours=12)  # ranks wait for each other at the end of all their passes
_OVER = "deadray/over"  # set once a rank has failed
_store: Any = None  # of torch.distributed, once the ranks have found each other


def launched() -> bool:
    """Whether this process is one of several."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def launched_rank() -> int:
    return int(os.environ["RANK"]) if launched() else 0


def joined() -> bool:
    """Whether the ranks have found each other."""
    return _store is not None


def speaks_for_all(usage: bool = False) -> bool:
    """Whether this process is the one that says why all of them end.

    The first that asks is. Before they have found each other each speaks for itself, but rank 0
    alone of what all see alike (`usage`).
    """
    if not launched():
        return True
    if _store is None:
        return launched_rank() == 0 or not usage
    try:
        return _store.add("deadray/said", 1) == 1
    except RuntimeError:  # rank 0 keeps the store where the launcher does not, and is gone
        return launched_rank() == 1


def end_others() -> None:
    """Makes the other ranks end at their next sign of life."""
    if not joined():
        return
    try:
        _store.set(_OVER, "1")
    except RuntimeError:
        return
    if launched_rank() == 0 and "TORCHELASTIC_USE_AGENT_STORE" not in os.environ:
        time.sleep(2 * _EVERY)  # the store, which they ask, ends with this process


def _silence() -> float:
    text = os.environ.get("DEADRAY_RANK_TIMEOUT", "45")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 2 * _EVERY:
        raise UsageError(f"DEADRAY_RANK_TIMEOUT={text}: expected seconds above {2 * _EVERY:g}")
    return seconds


class Group:
    """The default group of torch.distributed, ended as a whole when one rank is lost.

    Each rank shows signs of life, and looks for those of the next one. Nothing where the process is
    alone. `lost(line)` is called, from a thread, where the next rank is silent for
    DEADRAY_RANK_TIMEOUT seconds (45), or another rank found one silent.
    """

    def __init__(self, backend: str, lost: Callable[[str], None]):
        self._backend, self._lost = backend, lost
        self._silence = _silence() if launched() else 0.0
        self._done = threading.Event()

    def __enter__(self) -> Group:
        if not launched():
            return self
        import torch.distributed as dist
        from torch.distributed.rendezvous import rendezvous

        global _store
        store, rank, size = next(rendezvous("env://", timeout=_ARRIVAL))
        _store = store.clone()
        watcher = threading.Thread(target=self._watch, args=(store.clone(), rank, size))
        watcher.daemon = True
        watcher.start()
        dist.init_process_group(
            self._backend, store=store, rank=rank, world_size=size, timeout=_SLOWEST
        )
        return self

    def __exit__(self, kind: Any, *_: object) -> None:
        if kind is not None or not launched():
            return
        import torch.distributed as dist

        self._done.set()
        dist.barrier()  # rank 0 may keep the store: it goes last
        dist.destroy_process_group()

    def _watch(self, store: Any, rank: int, size: int) -> None:
        mine, following = f"deadray/alive/{rank}", f"deadray/alive/{(rank + 1) % size}"
        seen, since, beats = b"", time.monotonic(), 0
        while not self._done.wait(_EVERY):
            try:
                beats += 1
                store.set(mine, str(beats))
                found = store.get(following) if store.check([following]) else seen
                if found != seen:
                    seen, since = found, time.monotonic()
                silent = seen and time.monotonic() - since > self._silence
                if silent:
                    store.set(_OVER, "1")
                over = store.check([_OVER])
            except RuntimeError:
                silent, over = False, not self._done.is_set()
            if over:
                found = f"rank {(rank + 1) % size} showed no sign of life for {self._silence:g} s"
                self._lost(f"rank {rank} of {size}: {found if silent else 'another rank is lost'}")
