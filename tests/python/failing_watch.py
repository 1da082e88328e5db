"""One of several ranks that watch a block; words: folder, place of the fault.

On rank 1 that place fails as it would for want of memory. Each rank writes how it ended to
folder/RANK, and lives until all have: who waits for a rank waits for ever.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

import deadray
from deadray.modules.watched import Watched
from watched_block import Block, ids_of

folder, place = Path(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo")
rank = dist.get_rank()


def fail(*_: object) -> None:
    raise deadray.ResourceError("not enough memory:\nyou tried to allocate")


block = Block()
with deadray.watch(block) as probe, torch.no_grad():
    if place != "add_nothing" or rank == 0:  # then a rank allocates for what another one saw
        block(ids_of(rank))
    if rank == 1 and place == "values":
        block.first.weight.data.mul_(2)
if rank == 1:
    if place == "add_nothing":
        Watched.add_nothing = fail
    elif place != "values":
        setattr(type(next(iter(probe._probes.values()))), place, fail)
try:
    probe.report()
    line = "a report"
except deadray.Error as error:
    line = f"{type(error).__name__}: {error}"
(folder / f"{rank}.part").write_text(line)
(folder / f"{rank}.part").rename(folder / str(rank))
while not all((folder / str(other)).exists() for other in range(dist.get_world_size())):
    time.sleep(0.05)
dist.destroy_process_group()
