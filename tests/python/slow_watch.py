"""python -m deadray, which tells each forward pass on standard error and rests after it.

So that ranks_test.py can end a rank in the middle.
"""

from __future__ import annotations

import os
import sys
import time

os.environ["TORCH_CPP_LOG_LEVEL"] = "ERROR"  # as deadray.__main__ does, before torch comes

from deadray import __main__ as program  # noqa: E402
from deadray.command import outcome  # noqa: E402

outcome.stop_at_once()

from deadray.command import watch_command  # noqa: E402

one_pass = watch_command._pass


def slow_pass(*arguments) -> None:
    one_pass(*arguments)
    print(f"pass {os.environ['RANK']} {os.getpid()}", file=sys.stderr, flush=True)
    time.sleep(2)


watch_command._pass = slow_pass
outcome.ending(program.main)
