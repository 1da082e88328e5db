"""One of four ranks, which watch a block in two groups: 0 and 1, 2 and 3.

Each writes its report to RANK.json in the folder that is named.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist

import deadray
from watched_block import Block, ids_of

dist.init_process_group("gloo")
rank = dist.get_rank()
groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
block = Block().double()
with deadray.watch(block, group=groups[rank // 2]) as probe, torch.no_grad():
    block(ids_of(rank))
(Path(sys.argv[1]) / f"{rank}.json").write_text(probe.report().to_json())
dist.destroy_process_group()
